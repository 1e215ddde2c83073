"""What the papers say, as comparisons between arms of the study, and what the study's runs say to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.compare.estimate import SeedMean, estimate
from pipeline.compare.figures import told
from pipeline.compare.groups import Setting
from pipeline.compare.runs import ComparedRun

QUANTITIES: dict[str, Callable[[ComparedRun], float | None]] = {
    "collapse rate": lambda run: run.collapse_rate,
    "FID_1": lambda run: run.value("fid", 1),
    "FID_K": lambda run: run.value("fid", run.last),
    "recall_K": lambda run: run.value("recall", run.last),
    "saturation_K / saturation_0": lambda run: run.value("saturation_growth", run.last),
    "S_K / S_0": lambda run: run.value("power_ratio", run.last),
    "GS_K": lambda run: run.value("generalisation_score", run.last),
    "entropy_K": lambda run: run.value("entropy", run.last),
}


@dataclass(frozen=True)
class Check:
    """`quantity` of `arm` is "below" or "above" that of another arm, or a number."""

    quantity: str
    arm: str
    relation: str
    other: str | float


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, and the checks that it comes to on the miniature."""

    text: str
    source: str
    checks: tuple[Check, ...]


def _rates(arm: str, relation: str, *others: str | float) -> tuple[Check, ...]:
    return tuple(Check("collapse rate", arm, relation, other) for other in others)


CLAIMS = (
    Claim("Finetuned on its own images, a model collapses", "sec. 3", _rates("cfg7.5", "above", 0.0)),
    Claim("The higher the guidance above 2.5, the faster", "sec. 3.2",
          _rates("cfg10", "above", "cfg7.5") + _rates("cfg7.5", "above", "cfg5") + _rates("cfg5", "above", "cfg2.5")),
    Claim("Guidance 2.5 degrades least; 1.0 degrades, too", "sec. 3.2", _rates("cfg2.5", "below", "cfg7.5", "cfg1")),
    Claim("High guidance saturates colours, and ReDiFine does so less", "sec. 3.2",
          (Check("saturation_K / saturation_0", "cfg7.5", "above", 1.0),
           Check("saturation_K / saturation_0", "redifine", "below", "cfg7.5"))),
    Claim("High guidance adds high frequencies, guidance 1.0 loses them", "sec. 4.2",
          (Check("S_K / S_0", "cfg7.5", "above", 1.0), Check("S_K / S_0", "cfg1", "below", 1.0))),
    Claim("ReDiFine slows the collapse of guidance 7.5", "sec. 5",
          (*_rates("redifine", "below", "cfg7.5"), Check("recall_K", "redifine", "above", "cfg7.5"))),
    Claim("ReDiFine, without tuning, is ahead of constant guidance 2.5", "sec. 5",
          (*_rates("redifine", "below", "cfg2.5"), Check("FID_1", "redifine", "below", "cfg2.5"))),
    Claim("Condition drop alone and the schedule alone help", "app. F",
          tuple(check for arm in ("drop0.1", "drop0.2", "drop0.4", "alpha1", "alpha2", "alpha3", "linear")
                for check in _rates(arm, "below", "cfg7.5"))),
    Claim("Both together help more than either", "app. F", _rates("redifine", "below", "drop0.2", "alpha2")),
    Claim("Real images mixed in slow the collapse", "app. C.3",
          _rates("mix50", "below", "cfg7.5") + _rates("mix90", "below", "mix50")),
    Claim("ReDiFine helps with real images mixed in, too", "sec. 5",
          _rates("mix50-redifine", "below", "mix50") + _rates("mix90-redifine", "below", "mix90")),
    Claim("Accumulating all images slows the collapse, and does not end it", "app. C.12",
          _rates("accumulate", "below", "cfg7.5") + _rates("accumulate", "above", 0.0)),
    Claim("ReDiFine still holds after 12 iterations", "app. E.2", (Check("FID_K", "redifine-12", "below", "cfg2.5-12"),)),
    Claim("Selecting a varied training set keeps the model generalising", "second paper",
          tuple(Check(quantity, arm, "above", "random") for arm in ("greedy", "threshold_decay")
                for quantity in ("GS_K", "entropy_K"))),
    Claim("Selecting a varied training set improves the images", "second paper",
          tuple(Check("FID_K", arm, "below", "random") for arm in ("greedy", "threshold_decay"))),
)  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """What the runs say to a check: the mean difference over seeds with its interval, and a verdict."""

    check: Check
    difference: SeedMean | None
    verdict: str

    def sentence(self) -> str:
        """ "collapse rate, cfg2.5 below cfg7.5: difference -11.2 ± 3.0, 3 seeds: shown"."""
        claim = f"{self.check.quantity}, {self.check.arm} {self.check.relation} {self.check.other}"
        if self.difference is None:
            return f"{claim}: **{self.verdict}**"
        seeds = f"{self.difference.n} seed{'s' if self.difference.n > 1 else ''}"
        return f"{claim}: difference {told(self.difference)}, {seeds}: **{self.verdict}**"


def judge(check: Check, settings: Sequence[Setting]) -> Judgement:
    """Compare seed by seed, so that what a seed does to both arms cancels.

    A verdict needs the 95 % interval of the difference on one side of 0.
    """
    runs = {setting.name: {run.seed: run for run in setting.runs} for setting in settings}
    difference = estimate(_differences(check, runs))
    return Judgement(check, difference, _verdict(difference, 1.0 if check.relation == "above" else -1.0))


def _differences(check: Check, runs: dict[str, dict[int, ComparedRun]]) -> list[float | None]:
    value = QUANTITIES[check.quantity]
    mine = runs.get(check.arm, {})
    if not isinstance(check.other, str):
        return [None if (found := value(run)) is None else found - check.other for run in mine.values()]
    theirs = runs.get(check.other, {})
    pairs = [(value(mine[seed]), value(theirs[seed])) for seed in sorted(mine.keys() & theirs.keys())]
    return [None if a is None or b is None else a - b for a, b in pairs]


def _verdict(difference: SeedMean | None, sign: float) -> str:
    if difference is None:
        return "not run"
    agrees = difference.mean * sign > 0
    if difference.half is None:
        return "as claimed in one seed" if agrees else "not so in one seed"
    if abs(difference.mean) <= difference.half:
        return "not resolved"
    return "shown" if agrees else "contrary"
