"""Check a chain against its records: `audit` computes nothing again, `recompute` does.

audit             every file's checksum against dvc.lock (expected_files) and the chain's own records (consistency)
records           manifests, T_k, lineage.json, base.json
shard_audit       images inside shards
findings          what is wrong with a file, and which record is believed when two disagree
repair            the recorded bytes again, where the work tree or DVC's cache has others
recompute         an iteration again, in a scratch copy of the project
comparison        a recomputed file and the recorded one: equal, within the tolerance, or beyond it
"""
