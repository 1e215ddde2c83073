"""Pass iterations on: to a DVC remote and back, and as data sets and models that others' tools read.

URL --remotes.py--> .dvc/config          a remote; secrets in .dvc/config.local alone
dvc.lock --record.py--> Record           what each iteration is: files, hashes, sizes, parameters
k --iterations.py--> paths               what the stages of iteration k wrote, and what gives it meaning
paths --transfer.py--> remote, cache     push, fetch and check out; what arrived stays, so a second try goes on
part of D_k --partial.py--> note         which sets `redifine get --images` brought in part, for `redifine verify --all`
name --references.py--> experiment       a commit under refs/exps, to and from the Git remote, and into the work tree
remote --listing.py--> rows              which iterations of which experiments are there
D_k, M_k --export.py--> folder           formats.py, cards.py, croissant.py, lora.py; SHA256SUMS lists every file
folder, URL --importing.py--> raw   the way back: someone's D_k as raw images for a D_0
"""
