"""Compare D_k with D_0: features -> statistics; the measures themselves are in pipeline/methods/measures, one a file.

data/D_k -> features.py  -> image features [N,d], CLIP embeddings [N,e]
            sets.py      -> what is compared: D_k, one image a prompt, D_0, T_k; fewer where neighbours are looked for
stage.py -> features/k.safetensors, metrics/k.json
"""
