"""Where an iteration, or a stray image or LoRA, comes from: back to D_0, M_0, the code, the parameters and the seeds.

a stray file ─> origin ─> the run and iteration it belongs to ─┐
Git's versions of dvc.lock ─> recording ─> the code that ran ──┤
dvc.lock, lineage.json, base.json of that run ─> ancestry ─────┴─> graph ─> tree (to read) or document (W3C PROV)
"""
