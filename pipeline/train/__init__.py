"""Finetune M_0 (or M_{k-1}) on T_k: a LoRA, M_k.

    T_k, M_0 -> config.py            train.toml, dataset.toml, metadata.json
                  |
      trainer: kohya                 trainer: builtin
    kohya/launch.py (parent)         builtin.py   the loop
    kohya/entry.py (child)           moments, draws, objective, low_rank
                                     together.py, team.py: in several processes
      sd-scripts' trainer, SD or SDXL
                  |
              stage.py -> models/M_k/lora.safetensors, loss.csv, lineage.json

Both trainers read the same TOML pair, so that either can be swapped for the other, or for sd-scripts run by hand.
"""
