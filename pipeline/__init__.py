"""The Chain of Diffusion: finetune a text-to-image model on its own output, again and again, and measure it.

    prepare   raw images, captions       -> data/D_0/, data/prompts.jsonl, models/M_0/
    curate    D_0, D_{k-1}, T_{k-1}      -> data/T_k.jsonl
    train     T_k, M_0 (or M_{k-1})      -> models/M_k/
    sample    M_k, P                     -> data/D_k/, traces/k.safetensors
    measure   D_0, D_k, T_k              -> metrics/k.json, features/k.safetensors
    analyse   D_k, traces                -> analysis/k.json, analysis/k.safetensors
    report    everything                 -> report/index.html, report/summary.json

Stage = command = folder of this package. Below the command line no stage reads params.yaml or picks a device: it is given
values. Beside the chain stand

    datasets/, captions/   raw sets as people get them -> images with captions, for `dataset: folder`
    compare/, sweep/       runs side by side; many chains
    verify/, lineage/      is everything what was recorded, and where does it come from
    share/                 iterations through a DVC remote
    doctor/, status/       what this machine lacks; where the chain is
    theory/                section 4's model
    miniature/             the built-in Stable Diffusion
"""
