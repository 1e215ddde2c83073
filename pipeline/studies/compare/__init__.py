"""Compare finished chains: `redifine compare REV...` puts revisions and experiments side by side in one page.

names --revisions.py--> Revision       what Git and DVC hold of one commit, branch, tag, experiment, or the work tree
Revision --runs.py--> ComparedRun      parameters, metrics[k] for k = 0..K; images and features when asked for
TableRow (arm, seed, k, metrics) ----> ComparedRun    the same without DVC, from a table such as docs/results/results.csv
runs --groups.py--> Setting            runs that differ in the seed alone: means with 95 % intervals (estimate.py)
settings --figures.py--> charts     trade-off with its Pareto front (pareto.py), curves over k, map, entropy
everything --page.py--> index.html
"""
