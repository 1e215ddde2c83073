"""Compare D_k with D_0: features -> statistics -> one metric per file.

    data/D_k -> features.py  -> image features [N,d], CLIP embeddings [N,e]
                frechet.py      FID_k, and its real-versus-real floor
                neighbours.py   precision, recall
                clip_score.py   do the images show their prompts
                sfd.py          how far each image has moved from its own original
                memorisation.py how far D_k keeps from T_k (training.py: T_k's features), entropies
                collapse.py     how fast FID grows
                power.py        high-frequency power, saturation
                sampled.py      a large set's prompts among which neighbours are looked for
    stage.py -> features/k.safetensors, metrics/k.json

Arguments are always in the order (generated, real).
"""
