"""What the paper's appendix G looks at: spectra of the images, the last latents, the guidance differences.

data/D_k, data/D_0 -> spectrum.py  radial and angular power densities
traces/k           -> latents.py   density, variance and kurtosis of the last latents
stage.py           -> analysis/k.json
"""
