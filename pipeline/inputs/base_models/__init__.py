"""Base models: bring one here once, in diffusers layout, hashed and recorded; everything after that is offline.

source         what a user names: the catalogue, an id on the hub, a folder, a single file
hub            what a repository has at one commit; needed_files: what of it a chain needs
single_file    one file in the original key naming: which model it is; convert: to diffusers layout
clip_vocabulary, tokenizers    a single file's missing tokenizer; the layout that sd-scripts wants
fetch          all of it or nothing to models/base/NAME; record: base.json with every hash
architecture   which model a folder is; completeness: what it lacks; check: every file against the record
identity       M_0's files and hash; listing: the catalogue and what is here
"""
