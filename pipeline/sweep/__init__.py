"""Whole chains side by side: a sweep file names arms and seeds; each chain ends as a DVC experiment. Who does what:

plan        sweeps/x.yaml, params.yaml -> chains, each a name and all its parameters
turns       which chain may start: two that share a stage never compute it at once
worktree    a checkout for each worker, beside the clone; a finished chain as an experiment of the clone
local       runs chains on this machine, some at a time, each on cores of its own
  child     how a process of a chain starts: pinned, and ending with the sweep
collect     experiments -> a table, docs/results/x.csv and a picture grid per arm
paper       which figure of the paper is which sweep
commands    the command line: `redifine sweep ...`, `redifine figure`
"""
