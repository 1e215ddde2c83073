"""Turn a finished chain into one page that explains itself, and into the numbers that DVC shows.

metrics, analyses, losses, hashes -> record.py    everything known about the chain
data/D_k/*.png                    -> pictures.py  the prompt x k grid, images inside the page
params                            -> words.py     what was run, in sentences
record.py -> figures.py -> chart.py               curves as inline SVG
stage.py  -> report/index.html (page.html.j2, page.css, page.js), metrics/summary.json, plots/*.json
"""
