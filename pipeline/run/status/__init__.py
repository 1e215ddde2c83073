"""Where the chain is, what is stale and why, and how long the rest will take.

times    stage -> logs/times.jsonl, as it ends; logs/times.jsonl -> seconds that a stage takes
chain    DVC's own status -> the state of every stage, with reasons
interrupted  what a killed experiment left in the work tree -> what to do about it
words    states, FIDs, times -> text
"""
