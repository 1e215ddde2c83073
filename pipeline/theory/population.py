"""Monte-Carlo simulation of the model with individuals: knows how they are drawn and chosen, none of the closed forms.

Without selection it is Wright-Fisher sampling (section 4.3): what a finite population loses by chance (genetic drift).

Mutation. The paper gives its effect, the weaker regression of eq. 16, and no mechanism. The one here: what a parent passes on
is its phenotype after a random change of deviation sigma_M, and its child's genetic value is that of an individual that looks
like the changed parent. A resemblance says less about the genes the larger the change, and nothing of eq. 16 is put in.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from pipeline.theory.recursion import Trait
from pipeline.theory.truncation import Selection

Inheritance = Literal["gaussian", "copied"]


class Populations(NamedTuple):
    """Moments of simulated populations, [R,K+1] each: R replicates, iterations 0..K. Variances divide by N."""

    mean: np.ndarray
    variance_G: np.ndarray
    variance_P: np.ndarray

    def estimate(self, name: Literal["mean", "variance_G", "variance_P"]) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean over the replicates and its standard error, [K+1] each."""
        values = getattr(self, name)
        return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def simulate(
    selection: Selection,
    trait: Trait,
    iterations: int,
    size: int,
    replicates: int,
    seed: int,
    inheritance: Inheritance = "gaussian",
) -> Populations:
    """Simulate `replicates` independent populations of `size` individuals over `iterations`; trait and shares are scalars.

    Each individual has a genetic value g and a phenotype p = g + e. Parents are chosen by p. The children's g are spread as
    the parents' p (the paper's assumption), around a mean that moves as the mean g of the parents does.
    "gaussian": drawn from a normal distribution, as the theory supposes. "copied": each child takes the deviation of one
    parent, drawn with replacement, so that the shape evolves freely; without selection and environment this is
    Wright-Fisher sampling.
    """
    rng = np.random.default_rng(seed)
    genetic = rng.normal(float(trait.mu_0), float(trait.sigma_G0), (replicates, size))
    rows = []
    for t in range(iterations + 1):
        phenotype = genetic + float(trait.sigma_E) * rng.standard_normal(genetic.shape)
        rows.append((genetic.mean(axis=1), genetic.var(axis=1), phenotype.var(axis=1)))
        if t < iterations:
            chosen = select_parents(phenotype, selection, rng)
            genetic = _children(genetic, phenotype, chosen, float(trait.sigma_M), inheritance, rng)
    return Populations(*(np.stack(column, axis=-1) for column in zip(*rows, strict=True)))


def select_parents(phenotype: np.ndarray, selection: Selection, rng: np.random.Generator) -> np.ndarray:
    """Select parents, [R,N] phenotypes -> [R,N] bool; the zone's edges are each population's own quantiles."""
    if selection.r1 == 0.0 and selection.r2 == 0.0:
        return np.ones(phenotype.shape, dtype=bool)
    size = phenotype.shape[1]
    cut_low, cut_high = round(float(selection.r1) * size), round(float(selection.r2) * size)
    if cut_low + cut_high >= size:
        raise ValueError(f"of {size} individuals none is left when r1 = {selection.r1} and r2 = {selection.r2} are cut off")
    order = np.sort(phenotype, axis=1)
    low, high = order[:, [cut_low]], order[:, [size - 1 - cut_high]]
    if not selection.soft:
        return (phenotype >= low) & (phenotype <= high)
    distance = np.maximum(low - phenotype, 0.0) * (cut_low > 0) + np.maximum(phenotype - high, 0.0) * (cut_high > 0)
    return rng.random(phenotype.shape) < np.exp(-selection.rate * distance)


def _children(
    genetic: np.ndarray,
    phenotype: np.ndarray,
    chosen: np.ndarray,
    sigma_M: float,
    inheritance: Inheritance,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return [R,N] genetic values of the next iteration."""
    everyone = genetic.mean(axis=1, keepdims=True)
    inherited = _seen_through_mutation(genetic, phenotype, sigma_M, rng) if sigma_M else genetic
    response = inherited.mean(axis=1, keepdims=True, where=chosen) - everyone
    spread = phenotype.std(axis=1, keepdims=True, where=chosen)
    if inheritance == "gaussian":
        return everyone + response + spread * rng.standard_normal(genetic.shape)
    parents = _draw_parents(chosen, rng)
    deviation = np.take_along_axis(phenotype, parents, axis=1) - phenotype.mean(axis=1, keepdims=True, where=chosen)
    return everyone + response + deviation


def _seen_through_mutation(genetic: np.ndarray, phenotype: np.ndarray, sigma_M: float, rng: np.random.Generator) -> np.ndarray:
    """Return [R,N] what each individual would pass on: the genetic value of those that look most like it once it has mutated.

    "Those" are the next below and above it among the mutated phenotypes: others than itself, whose genes say nothing of
    whether it was chosen.
    """
    order = np.argsort(phenotype + rng.normal(0.0, sigma_M, phenotype.shape), axis=1)
    ranked = np.take_along_axis(genetic, order, axis=1)
    padded = np.concatenate([ranked[:, 1:2], ranked, ranked[:, -2:-1]], axis=1)
    alike = (padded[:, :-2] + padded[:, 2:]) / 2.0
    passed_on = np.empty_like(genetic)
    np.put_along_axis(passed_on, order, alike, axis=1)
    return passed_on


def _draw_parents(chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return [R,N] indices of parents, drawn with replacement among each row's chosen."""
    first = np.argsort(~chosen, axis=1, kind="stable")
    picks = (rng.random(chosen.shape) * chosen.sum(axis=1, keepdims=True)).astype(np.intp)
    return np.take_along_axis(first, picks, axis=1)


def variance_left(size: int, iterations: int) -> np.ndarray:
    """Return the expected share of the first population's variance that is left, [K+1]: (1 - 1/N)^t.

    N children that each copy a parent drawn with replacement: two of them have the same parent with probability 1/N, and
    then do not differ. The same holds when N values are drawn from a normal distribution fitted to the N before. What
    is lost within a population is found between replicates: their means spread by 1 - (1 - 1/N)^t of the variance.
    """
    return (1.0 - 1.0 / size) ** np.arange(iterations + 1)


def half_life(size: int) -> float:
    """Return the iterations until half of the variance is lost, about 0.69 N: for N = 1000 images, 693."""
    return 1.0 if size <= 1 else math.log(0.5) / math.log1p(-1.0 / size)


def wright_fisher(size: int, iterations: int, replicates: int, seed: int) -> Populations:
    """Simulate populations without selection and environment, from variance 1 and mean 0."""
    return simulate(Selection(0.0, 0.0), Trait(0.0, 1.0, 0.0), iterations, size, replicates, seed, "copied")
