"""Colour statistics of a set: mean and spread of each channel (saturation is a metric: measure/power.py)."""

from __future__ import annotations

import cv2
import numpy as np


def colour_moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[H,W,3] uint8 -> (mean of R, G, B, mean of their squares), each [3] float64, pixels in 0..1."""
    mean, deviation = (values.ravel() / 255 for values in cv2.meanStdDev(image))
    return mean, np.square(deviation) + np.square(mean)


def spread(mean: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Moments of all pixels of a set, each [3] -> their standard deviation [3]."""
    return np.sqrt(np.maximum(square - np.square(mean), 0.0))
