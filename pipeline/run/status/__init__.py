"""Where the chain is, what is stale and why, and how long the rest will take.

stage_states        DVC's own status -> the state of every stage, with reasons
times               how long each stage took (logs/times.jsonl), and so what the remaining ones will
killed_experiment   what a killed `dvc exp run` left in the work tree, and what to do about it
text                states, FIDs and times as a table, lines and JSON
"""
