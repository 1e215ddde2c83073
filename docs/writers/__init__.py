"""docs/results.md: what the study's runs say to the papers' claims; no number on the page is typed by hand.

docs/results/*.csv (`redifine sweep collect`) -> tables.py -> Setting, one per arm
  figures.py  curves, trade-off, entropies, and the README's picture
  claims.py   the papers' sentences as comparisons between arms, judged seed by seed
  page.py     the page
paper.py    docs/paper.md, from the sweep files
__main__.py writes both pages
"""
