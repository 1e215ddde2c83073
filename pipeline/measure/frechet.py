"""The Frechet distance between two sets of features, and the distance that real images alone would show."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from pipeline.randomness import derive_seed

SPLITS = 8
"""Random halvings that the floor is averaged over."""


def frechet_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """[N,d], [M,d] -> |mean difference|^2 + tr(S_g + S_r - 2 (S_g S_r)^(1/2)), the covariances unbiased (n - 1).

    The trace of the root is the nuclear norm of the cross-product of the centred features,
    ||X Y^T||_* / sqrt((N-1)(M-1)): no covariance is formed and no matrix root taken, so the value is exact and
    real also where N < d, where scipy.linalg.sqrtm goes complex.
    Raises ValueError unless both sets have two rows and one width.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1] or min(len(generated), len(real)) < 2:
        raise ValueError(f"features must be [N >= 2, d] and [M >= 2, d], got {generated.shape} and {real.shape}")
    mean_g, x = _centre(generated)
    mean_r, y = _centre(real)
    spread = np.square(x).sum() + np.square(y).sum()
    distance = np.square(mean_g - mean_r).sum() + spread - 2.0 * _nuclear_norm_of_product(x, y)
    return max(float(distance), 0.0)


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


def _centre(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N,d] -> (mean [d], centred features / sqrt(N-1) [N,d]), float64."""
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    return mean, (values - mean) / np.sqrt(len(values) - 1)


def _nuclear_norm_of_product(x: np.ndarray, y: np.ndarray) -> float:
    """||x y^T||_* of x [N,d], y [M,d]; where both are longer than wide, their triangular factors [d,d] stand in."""
    if min(len(x), len(y)) > x.shape[1]:
        x, y = (scipy.linalg.qr(z, mode="r", check_finite=False)[0][: z.shape[1]] for z in (x, y))
    return float(scipy.linalg.svdvals(x @ y.T).sum())
