"""Section 4's model (pipeline/theory) on runs, for `redifine theory`.

measured_power.py    S_k of a chain's folder, or of the settings of `redifine compare`
fit_and_forecast.py  fits and forecasts them -> fit.svg, forecast.svg, *.json and text
simulations.py       the paper's settings, and drift alone -> cfg.svg, redifine.svg, wright-fisher.svg, *.csv and text
figures.py           draws all of these
"""
