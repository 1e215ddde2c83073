"""Which models are known to be drawn and trained right: one judgement, for every entry that takes a model, VAE or LoRA.

recognise     the configs of a folder -> its family, or which other model it is (families/allow_list.py has the rules)
usable        what a folder lacks, and what of it is not known: `require_usable` is asked before anything is loaded
tensors       the names and shapes that its configs promise, against the headers of its weights; tokenizers
metadata      what a file of weights says of itself
"""
