"""Git, DVC and dvc.lock: one reader of each.

git               Git's command line; what HEAD or another commit holds
dvc_lock          dvc.lock: stages, their dependencies and outputs with checksums
hashes            checksums of files and folders as DVC computes them; its cache
cache_objects     what DVC's cache holds that is not what its name says; remote_objects: single objects of the remotes
not_fetched       outputs that are missing and were never here
changed_code      modules that are not those that the stages ran
dvc_command       `dvc ...` run in this process
dvc_repo          the DVC project opened in this process
dvc_patches       the parts of DVC that are replaced in this process
experiments, experiment_checks, revisions    DVC experiments; any revision's files
experiment_files  an experiment's files brought into the work tree, where no edit is lost
leftovers         what iterations that the chain no longer has have left
put_away          what a plain `dvc exp apply` has put away
settings_put_back   a run that did not end leaves the work tree as it was
submodules        their entries, which DVC's commits of experiments drop
untracked_code    modules that Git does not know
"""
