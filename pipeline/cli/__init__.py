"""The command line `redifine`: a file for each group of commands.

application    all of them, and how each of their errors ends
stages         the commands that dvc.yaml calls
options        options that several commands share
run_commands   several of them in one process
fork_server    the process that imports the libraries once, and forks for stages
"""
