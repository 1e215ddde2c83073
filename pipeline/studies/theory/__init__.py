"""Section 4's model on runs: measured powers, fits and forecasts of revisions, simulations, figures."""
