"""Finetune M_0 (or M_{k-1}) on T_k: a LoRA, M_k.

    T_k, M_0 -> training_inputs.py   what there is to train from, checked; images of shards as files
                config.py            train.toml, dataset.toml, metadata.json
                  |
      trainer: kohya                 trainer: builtin
    kohya/launch.py (parent)         settings.py   the TOMLs read back
    kohya/entry.py (child)           builtin.py    the loop
      one of sd-scripts' scripts       posterior_latents, step_noise, condition_drop, trainable_lora, checkpoint
                  |                    distributed_launch.py, distributed.py: in several processes
              stage.py -> models/M_k/lora.safetensors, loss.csv, lineage.json

`redifine finetune` is the kohya column alone, on somebody's own TOMLs: kohya/finetune.py (parent), finetune_entry.py (child),
finetune_checks.py before, finetune_outcome.py after; hooks.py is what both children do inside of sd-scripts.

Both trainers read the same TOML pair, so that either can be swapped for the other, or for sd-scripts run by hand.
"""
