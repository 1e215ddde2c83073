"""Where an iteration, or a stray image or LoRA, comes from: back to D_0, M_0, the code, the parameters and the seeds.

a stray file ─> origin ─> the run and iteration it belongs to ─┐
dvc.lock, lineage.json, base.json of that run ─────────────────┴─> graph ─> tree (to read) or document (W3C PROV)
"""
