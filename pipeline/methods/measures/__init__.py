"""Measures of an image set: pure functions of features or pixels."""
