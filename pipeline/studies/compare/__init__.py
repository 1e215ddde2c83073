"""Compare finished chains: `redifine compare REV...` puts revisions and experiments side by side in one page.

revisions (pipeline/versioning) --runs.py--> ComparedRun   parameters, metrics[k] for k = 0..K; images and features
TableRow (arm, seed, k, metrics) ----------> ComparedRun   the same without DVC, from a table such as docs/results/results.csv
ComparedRun --groups.py--> Setting   runs that differ in the seed alone: means with 95 % intervals; may they be compared?
page.py draws the settings as index.html (page.html.j2, page.css, page.js, and the report's page.css):
  figures.py        trade-off with its Pareto front, curves over k, entropy, one t-SNE of all
  image_columns.py  the same prompts under every setting
"""
