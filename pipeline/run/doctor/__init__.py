"""What this machine and checkout lack for a run, and what to do about it.

    machine   GPU, driver, torch, xformers, bitsandbytes, compiler, disk
    project   params.yaml, python on the path, packages, model, sd-scripts, what a killed experiment left
    sharing   Git, DVC remotes, cache

Every check is a function that gives one Finding; `commands` prints them.
"""
