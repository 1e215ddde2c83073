"""Turn a finished chain into one page that explains itself, and into the numbers that DVC shows.

metrics, analyses, features, losses, hashes -> reading.py, chain.py   everything known about the chain
data/D_k/*.png      -> pictures.py    the prompt x k grid, images inside the page
features            -> families.py    each prompt's path away from its real image, and the worst, median and best
                    -> scatter.py     the map of D_0..D_K
maps                -> heatmaps.py    fingerprints as pictures
params              -> words.py       what was run, in sentences
chain.py -> figures.py, colour.py, memory.py, spectra.py, latents.py -> chart.py   curves as inline SVG
stage.py  -> report/index.html (page.py, page.html.j2, page.css, page.js), report/summary.json, plots/*.json
"""
