"""The paper's theory (section 4, appendix D): the power of images as a trait under selection, on numpy and scipy alone.

truncation.py  shares (r1, r2), hard or soft -> shift and c2 of the selected
  recursion.py   + (mu_0, sigma_G0, sigma_E, sigma_M) -> mean and variance over iterations
  asymptotics.py   where that ends: Theorem 1
population.py  the same with simulated individuals; drift.py: without selection (Wright-Fisher)
settings.py    the paper's parameters, misprints corrected
metrics/k.json -> measured.py -> fit.py -> forecast.py
commands.py -> studies.py -> figures.py    `redifine theory`: figures, tables, text
"""
