"""Stage curate: choose T_k, the images that M_k is finetuned on, as a list of files.

policies   replace, mix, accumulate: on lists of records alone
pools      select: which images to choose from, and which of them by their features
selection  the rules greedy and threshold_decay, on [N,d] features
"""
