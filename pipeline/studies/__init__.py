"""Many chains: compare finished ones, sweep over settings, fit section 4's model to them."""
