"""What the paper's appendix G looks at: spectra, fingerprints and colours of the images, last latents, guidance differences.

data/D_k -> image_statistics.py, per image: spectrum.py     power densities
                                            fingerprint.py  what a denoiser takes away (denoise.py, dncnn.py): its spectrum
                                            mean and standard deviation of R, G, B
traces/k -> latents.py            density, moments and Gaussian fit of the last latents
stage.py -> analysis/k.json, analysis/k.safetensors
"""
