"""Finetune M_0 (or M_{k-1}) on T_k: a LoRA, M_k.

    T_k, M_0 -> job.py               what there is to train from, checked
                config.py            train.toml, dataset.toml, metadata.json
                unpacked.py          images of shards as files, as long as the trainer runs
                  |
      trainer: kohya                 trainer: builtin
    kohya/launch.py (parent)         builtin.py   the loop
    kohya/entry.py (child)           moments, draws, objective, low_rank
                                     together.py, group.py: in several processes
      sd-scripts' trainer, SD or SDXL
                  |
              stage.py -> models/M_k/lora.safetensors, loss.csv, lineage.json

Both trainers read the same TOML pair, so that either can be swapped for the other, or for sd-scripts run by hand.
"""
