"""Turn a finished chain into one page that explains itself, and into the numbers that DVC shows.

stage.py -> report/index.html (page.py, page.html.j2, page.css, page.js), report/summary.json, plots/*.json
  finished_chain.py  everything known of the chain: metrics, analyses, features, losses, hashes
  image_grid.py      the prompt x k grid, images inside the page
  drift.py           each prompt's distance from its real image over k, and the worst, median and best
  descriptions.py    what was run, and what became of it, in sentences
  page.py's sections, each a list of figures.py's Figure:
    figures.py         how one is drawn; measures over k, generalisation and entropy among them
    projection.py      the map of D_0..D_K
    spectra.py, fingerprints.py
    within_k.py        losses, guidance, latents
"""
