"""Run a chain and say where it is.

repro         what is checked before `dvc repro`, and the repair of what a killed one left torn
fork_client   stages run in forks of a process that has imported the libraries
status/       state of every stage, what is stale, time left
doctor/       what this machine lacks
"""
