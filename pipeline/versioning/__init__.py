"""Git, DVC and dvc.lock: one reader of each.

git, tracked, submodule, code     what Git holds
dvc_lock, cache, fetched, partial, hashes    what DVC recorded, what its cache has, what was never here
dvc_command, dvc_links            DVC run in this process
experiments, experiment_refs, apply, revisions   DVC experiments
"""
