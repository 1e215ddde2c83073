"""The Chain of Diffusion: finetune a text-to-image model on its own output, again and again, and measure it.

    prepare   raw images, captions       -> data/D_0/, data/prompts.jsonl, models/M_0/
    curate    D_0, D_{k-1}, T_{k-1}      -> data/T_k.jsonl
    train     T_k, M_0 (or M_{k-1})      -> models/M_k/
    sample    M_k, P                     -> data/D_k/, traces/k.safetensors
    measure   D_0, D_k, T_k              -> metrics/k.json, features/k.safetensors
    analyse   D_k, traces                -> analysis/k.json, analysis/k.safetensors
    report    everything                 -> report/index.html, report/summary.json

Stage = command = folder. A folder imports only itself and folders below it here (import-linter checks, `make lint`):

    cli          the commands; alone reads params.yaml and picks the device
    studies      compare chains, sweep over settings, fit section 4's model
    run          repro, status, doctor
    provenance   verify, lineage, share
    miniature    how the built-in Stable Diffusion was made
    the seven stages, none of which imports another
    versioning   Git, DVC and dvc.lock
    inputs       base models, raw data sets, captions, drawn creatures
    theory       section 4's mathematics
    chain        parameters, presets, paths, image sets
    methods      guidance schedules, training-set policies, measures: one file each (yours: extensions/)
    diffusion    the model: loading, prompts, LoRA, precision
    charts       drawings and statistics
    core         files, errors, guards, randomness, the machine
"""
