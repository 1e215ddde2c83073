"""The Frechet distance between two sets of features, and the distance that real images alone would show."""

from __future__ import annotations

import numpy as np

from pipeline.core.randomness import derive_seed
from pipeline.methods.measures import MeasuredSets, measure

SPLITS = 8
"""Random halvings that the floor is averaged over."""

_ROWS = 8192
"""Images whose features are held in float64 at a time, where there are more of them than dimensions."""


@measure(
    "fid",
    title="FID",
    note="Distance of all images, as a distribution, from the real ones",
    better="lower",
    source="Frechet distance of two Gaussians, fitted to the features; Heusel et al. 2017",
    pages=("compare", "table", "summary", "plots"),
    plot="FID",
    from_zero=True,
)
def _fid(sets: MeasuredSets) -> float:
    return frechet_distance(sets.one_each, sets.real)


@measure(
    "fid_1",
    title="FID_1",
    note="FID of D_1: what one finetuning costs",
    better="lower",
    pages=("summary",),
    plot="FID_1",
)
def _fid_1(sets: MeasuredSets) -> float:
    return sets.found["fid"] if sets.k == 1 else sets.previous["fid_1"]


@measure(
    "fid_floor",
    title="FID floor",
    note="FID of two random halves of D_0 from one another: what two sets of real images are apart",
    sets="both",
    pages=("plots",),
    plot="floor",
)
def _fid_floor(sets: MeasuredSets) -> float:
    return real_floor(sets.real)[0] if sets.k == 0 else sets.of_real["fid_floor"]


@measure("fid_floor_n", title="Images of the floor", note="Images in such a half of D_0", sets="real", pages=())
def _fid_floor_n(sets: MeasuredSets) -> int:
    return len(sets.real) // 2


def frechet_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """[N,d], [M,d] -> |mean difference|^2 + tr(S_g + S_r - 2 (S_g S_r)^(1/2)), the covariances unbiased (n - 1).

    With X^T X = S_g and Y^T Y = S_r the trace of the root is the nuclear norm ||X Y^T||_*. X and Y are the centred features
    themselves, or the triangular factor of the covariance where there are more images than dimensions: so the value is real
    also where scipy.linalg.sqrtm goes complex, and memory does not grow with the number of images.
    Raises ValueError unless both sets have two rows and one width.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1] or min(len(generated), len(real)) < 2:
        raise ValueError(f"features must be [N >= 2, d] and [M >= 2, d], got {generated.shape} and {real.shape}")
    import scipy.linalg

    mean_g, spread_g, x = _root(generated)
    mean_r, spread_r, y = _root(real)
    nuclear_norm = scipy.linalg.svdvals(x @ y.T).sum()
    return max(float(np.square(mean_g - mean_r).sum() + (spread_g + spread_r) - 2.0 * nuclear_norm), 0.0)


def real_floor(real: np.ndarray, splits: int = SPLITS) -> tuple[float, int]:
    """[M,d] -> (mean Frechet distance of two random halves of the real images, the size M // 2 of a half).

    Two samples of one distribution are not at distance 0: the bias falls about as 1 / n. A half is smaller than D_k,
    so this floor is above what M fresh real images would score against D_0 (about twice that, once M >> d): an FID_k
    near the floor cannot be told from real images. The halvings are drawn from a private seed.
    Raises ValueError below 4 images.
    """
    half = len(real) // 2
    if half < 2:
        raise ValueError(f"the floor needs at least 4 real images, got {len(real)}")
    orders = (np.random.default_rng(derive_seed("floor", split)).permutation(len(real)) for split in range(splits))
    distances = [frechet_distance(real[order[:half]], real[order[half : 2 * half]]) for order in orders]
    return float(np.mean(distances)), half


def _root(features: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """[N,d] -> (mean [d], tr S, X with X^T X = S), float64; X is [N,d], or [d,d] where there are more images than dimensions.

    That triangular factor comes from a QR of each block of rows below the factor of those before it: S itself would square
    the error.
    """
    by_covariance = len(features) > features.shape[1]
    mean = features.mean(axis=0, dtype=np.float64)
    spread, factor = 0.0, np.empty((0, features.shape[1]))
    rows = _ROWS if by_covariance else len(features)
    for start in range(0, len(features), rows):
        part = (features[start : start + rows] - mean) / np.sqrt(len(features) - 1)
        spread += float(np.square(part).sum())
        factor = _triangle(np.vstack([factor, part])) if by_covariance else part
    return mean, spread, factor


def _triangle(values: np.ndarray) -> np.ndarray:
    """R of values = QR, [min(n,d),d]."""
    import scipy.linalg

    return scipy.linalg.qr(values, mode="r", overwrite_a=True, check_finite=False)[0][: values.shape[1]]
