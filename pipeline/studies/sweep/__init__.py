"""Whole chains side by side: a sweep file names arms and seeds; each chain ends as a DVC experiment.

plan            sweeps/x.yaml, params.yaml -> chains, each a name and all its parameters; resources: what a job asks for
segments        a chain in segments, and which of them chains share; stages: the names, times and order of its stages
locks           one chain at a time computes a stage, between processes and nodes
worktree        a checkout for each chain at work, on the clone's cache; a chain's result as a DVC experiment of the clone
chain_run       one chain: its segments in turn, an experiment after each iteration
  worker        the processes that it starts; pinned_process: how they start, and end with the sweep
local           chains on this machine, some at a time, each on cores and GPUs of its own; which of them may start
slurm           chains as arrays of jobs, through submitit; slurm_job: what a job does; slurm_queue: what Slurm knows of jobs
multinode       a script for one chain on several nodes
progress_files  how far a chain is, in a file and on the Git remote
chain_status    progress, jobs, logs, experiments -> the state of every chain; status_table: as a live table
preview         what a dry run prints; launch: every check, then start or cancel
collect         experiments -> a table, docs/results/x.csv and an image grid per arm
figures         which figure of the papers is which sweep
"""
