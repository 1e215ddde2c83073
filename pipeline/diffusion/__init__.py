"""The model: load it, encode prompts, predict, add and remove noise, change it by a LoRA; the same bytes each time.

models                    load M_0 of whichever family, or look at its small files
  families/               all in which Stable Diffusion 1.x and XL differ, one folder each
    text                  prompts -> token ids -> the text encoder's states
    noise_schedule        noise in training and sampling, and the solver
    cross_attention_cache, cpu_layout    a U-Net's calls made faster, to the same numbers
    loading               one part of a model from its folder
lora                      kohya's file format: read, write, merge
devices                   device, precision, and what each can compute
deterministic, compiled   the same bytes twice; a compiled network
"""
