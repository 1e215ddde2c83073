"""The model: load a Stable Diffusion, encode prompts, read and write LoRAs, compile, compute the same bytes twice."""
