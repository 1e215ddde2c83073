"""Pass iterations on: to a DVC remote and back, and as data sets and models that others' tools read.

sharing         `redifine share` and `get`, step by step
iterations      which outputs an iteration is: what is fetched, what is shared; what dvc.lock records of them
transfer        push, fetch and check out; what arrived stays, so a second try goes on
applying        `redifine exp apply`: an experiment's files and outputs in the work tree
listing         `redifine ls`: which iterations of which experiments a remote has
remotes         a DVC remote from its address; secrets in .dvc/config.local alone
export          `redifine export`: a folder in one of the formats, with lineage, cards and croissant
importing       `redifine import`: someone's D_k, from a folder or the web, as raw images for a D_0
"""
