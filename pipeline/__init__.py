"""The Chain of Diffusion: finetune a text-to-image model on its own output, again and again, and measure it.

    prepare   raw images, captions       -> data/D_0/, data/prompts.jsonl, models/M_0/
    curate    D_0, D_{k-1}, T_{k-1}      -> data/T_k.jsonl
    train     T_k, M_0 (or M_{k-1})      -> models/M_k/
    sample    M_k, P                     -> data/D_k/, traces/k.safetensors
    measure   D_0, D_k, T_k              -> metrics/k.json, features/k.safetensors
    analyse   D_k, traces                -> analysis/k.json, analysis/k.safetensors
    report    everything                 -> report/index.html, report/summary.json

Stage = command = folder of this package. Beside the chain stand compare/ (runs side by side), sweep/ (many chains), theory/ (section 4's
model) and miniature/ (the built-in Stable Diffusion). Only `cli` reads params.yaml and picks the device.
"""
