"""The paper's theory (section 4, appendix D): the power of images as a trait under selection, on numpy and scipy alone.

truncation.py    shares (r1, r2), hard or soft -> shift and c2 of the selected
  recursion.py   + (mu_0, sigma_G0, sigma_E, sigma_M) -> mean and variance over iterations, and their limits (Theorem 1)
population.py    the same with simulated individuals, and without selection (Wright-Fisher)
paper_values.py  the paper's parameters, misprints corrected
powers -> fit_problem.py -> fit.py, uncertainty.py -> forecast.py

What reads chains, draws and prints is `pipeline/studies/theory`.

Two things are called drift elsewhere: the mean's steady change under selection (here: response), and what chance does to
a finite population (here: Wright-Fisher sampling).
"""
