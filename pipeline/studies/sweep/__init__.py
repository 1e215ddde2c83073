"""Whole chains side by side: a sweep file names arms and seeds; each chain ends as a DVC experiment. Who does what:

plan        sweeps/x.yaml, params.yaml -> chains, each a name and all its parameters; resources: what a job asks for
turns       a chain in pieces; on one machine: which chain may start, as no stage is computed by two at a time
locks       the same between processes and nodes
worktree    a checkout for each chain at work, on the clone's cache; a chain's result as a DVC experiment of the clone
running     one chain: its pieces in turn, an experiment after each iteration
  worker    the processes that it starts; child: how they start, pinned, and ending with the sweep
local       chains on this machine, some at a time, each on cores and GPUs of its own; machine: which
slurm       chains as arrays of jobs, through submitit; job: what a job does; multinode: a script for one chain on several nodes
notes       how far a chain is, in a file and on the Git remote; stages: names, times, the position that a log tells
standing    notes, jobs, logs, experiments -> the state of every chain; show: as a live table
preview     what a dry run prints; remotes: where results will go; launch: every check, then start
collect     experiments -> a table, docs/results/x.csv and a picture grid per arm
paper       which figure of the paper is which sweep
commands    the command line: `redifine sweep ...`, `redifine figure`
"""
