"""Run a chain and say how it stands.

repro         checks before `dvc repro`, and what a killed one left torn
fork_client   stages run in forks of a process that has imported the libraries
status/       where the chain is, what is stale, how long the rest takes
doctor/       what this machine lacks
"""
