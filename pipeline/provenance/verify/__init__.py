"""Check a chain against its records, without computing anything again (`audit`) or by computing it again (`recompute`).

dvc.lock, DVC's lists of folders ─> locked ─┐
what was never here ─> fetched ─────────────┤
every file's md5 and sha256 ─> hashes ──────┼─> outputs ─> sound files ─> records, shards ─> findings
manifests, T_k, lineage.json, base.json ────┘

a scratch copy of the project ─> scratch ─> the stages' own commands ─> difference ─> the tolerance holds, or not
"""
