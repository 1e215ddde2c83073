"""Base models: bring one here once, in diffusers layout, hashed and recorded; everything after that is offline.

source         what a user names: the catalogue, an id on the hub, a folder, a single file
hub            what a repository has at one commit; needed_files: what of it a chain needs
single_file    one file in the original key naming: which model it is, and its tokenizer; convert: to diffusers layout
tokenizers     the layout that sd-scripts wants
fetch          all of it or nothing to models/base/NAME; record: base.json with every hash
check          every file against the record, and lists (diffusion/judgement says what is whole and known to be right)
identity       M_0's files and hash
"""
