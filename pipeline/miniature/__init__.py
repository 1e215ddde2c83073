"""The miniature: a Stable Diffusion in small, trained from scratch on procedurally drawn creatures.

    creatures   attributes -> drawing [64,64,3] uint8, caption
    tokenizer   captions -> a CLIP byte-pair vocabulary
    towers      CLIP text and image towers, contrastively        (text_encoder/, clip/)
    vae         AutoencoderKL, factor 8, 4 channels               (vae/)
    unet        eps-prediction on the VAE's latents               (unet/)
    classifier  attribute classifier, real drawings only          (classifier/)
    evaluate    held-out quality -> evaluation.json, contact sheet

`redifine miniature build` runs them in this order and writes models/miniature/ in diffusers layout.
"""
