"""The miniature: a Stable Diffusion in small, trained from scratch on procedurally drawn creatures.

    drawings    creatures -> images, captions and labels to train on
    tokenizer   captions -> a CLIP byte-pair vocabulary
    clip_towers CLIP text and image towers, contrastively        (text_encoder/, clip/)
    vae         AutoencoderKL, factor 8, 4 channels               (vae/)
    unet        eps-prediction on the VAE's latents               (unet/)
    classifier  attribute classifier, real drawings only          (classifier/)
    training_loop  Muon, AdamW, cosine decay, EMA: what all of these share
    evaluate    held-out quality -> evaluation.json, contact sheet

`redifine miniature build` runs them in this order and writes models/miniature/ in diffusers layout.
"""

PARTS = ("towers", "vae", "classifier", "unet", "unet_restart", "unet_restart_2")
