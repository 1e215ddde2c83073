"""Base models: bring one here once, in diffusers layout, hashed and recorded; everything after that is offline.

Four modules see the four ways in, and what comes out is one folder:

    names      what a user means: a name of the catalogue, an id on the hub, a folder, a single file
    hub        what a repository has at one commit, with sizes and hashes; choose: the files that a chain needs
    single     the same folder from one file in the original key naming; header: which model that file is
    fetch      brings all of it or nothing to models/base/NAME; record: base.json, the hash of every file

`whole` says what a folder of an `architecture` lacks, from configs and headers; `check` also holds every file to the record.
`tokenizers` lays CLIP's vocabulary out for sd-scripts.
"""
