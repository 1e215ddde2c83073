"""The measured powers of a setting's runs, in one table for the fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.core.errors import UserError

FEWEST_ITERATIONS = 3


class PowerTable(NamedTuple):
    """n powers of m runs: `value` [n] in units of `unit`, the mean first power; `run` [n] in 0..m-1 and `t` [n] from 0."""

    value: np.ndarray
    run: np.ndarray
    t: np.ndarray
    unit: float

    @property
    def runs(self) -> int:
        return int(self.run[-1]) + 1

    @property
    def last(self) -> int:
        """Return the largest t."""
        return int(self.t.max())

    @property
    def lengths(self) -> np.ndarray:
        """Return the number of powers of each run, [m]."""
        return np.bincount(self.run)

    def means(self, values: np.ndarray) -> np.ndarray:
        """[...,n] -> the mean over each run, [...,m]."""
        return values @ (np.eye(self.runs)[self.run] / self.lengths)

    def centred(self, values: np.ndarray) -> np.ndarray:
        """[...,n] less the mean over each run."""
        return values - self.means(values)[..., self.run]


def table_of_powers(runs: Sequence[Sequence[float]]) -> PowerTable:
    """Return each run's S_0..S_K as one table. Raises UserError for no run, K < 3, or a value that is no power."""
    arrays = [_checked(powers) for powers in runs]
    if not arrays:
        raise UserError("a fit needs at least one run; name a folder or revisions that have metrics")
    unit = float(np.mean([powers[0] for powers in arrays]))
    return PowerTable(
        value=np.concatenate(arrays) / unit,
        run=np.repeat(np.arange(len(arrays)), [len(powers) for powers in arrays]),
        t=np.concatenate([np.arange(len(powers)) for powers in arrays]),
        unit=unit,
    )


def _checked(powers: Sequence[float]) -> np.ndarray:
    values = np.asarray(powers, dtype=np.float64)
    if len(values) < FEWEST_ITERATIONS + 1:
        raise UserError(
            f"a fit needs the power of at least {FEWEST_ITERATIONS} iterations after the first images, "
            f"got {max(len(values) - 1, 0)}; run more iterations or start from an earlier one (--start)"
        )
    if not np.all(np.isfinite(values) & (values > 0)):
        raise UserError(f"a power must be a number above 0, got {list(powers)}; measure the chain again")
    return values
