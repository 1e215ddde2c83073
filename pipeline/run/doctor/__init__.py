"""What this machine and checkout lack for a run, and what to do about it: functions that each return a CheckResult.

hardware      GPU, driver, torch, xformers, bitsandbytes, compiler, disk
project       params.yaml, python on the path, packages, model, sd-scripts, what a killed experiment left
git_and_dvc   Git, DVC remotes, cache
"""
