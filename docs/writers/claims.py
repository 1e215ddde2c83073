"""What the papers say, as comparisons between arms of the study, and what the study's runs say to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.charts.numbers import plus_minus
from pipeline.charts.statistics import SeedMean, estimate
from pipeline.studies.compare.groups import Setting
from pipeline.studies.compare.runs import ComparedRun

QUANTITIES: dict[str, Callable[[ComparedRun], float | None]] = {
    "collapse rate": lambda run: run.collapse_rate,
    "FID_1": lambda run: run.value("fid", 1),
    "FID_K": lambda run: run.value("fid", run.last),
    "recall_K": lambda run: run.value("recall", run.last),
    "CLIP score_1": lambda run: run.value("clip_score", 1),
    "CLIP score_K": lambda run: run.value("clip_score", run.last),
    "SFD_K": lambda run: run.value("sfd", run.last),
    "saturation_K / saturation_0": lambda run: run.value("saturation_growth", run.last),
    "S_K / S_0": lambda run: run.value("power_ratio", run.last),
    "GS_K": lambda run: run.value("generalisation_score", run.last),
    "entropy of D_K": lambda run: run.value("entropy", run.last),
    "entropy of T_K": lambda run: run.value("entropy_training", run.last),
}
_SIGNS = {"above": 1.0, "below": -1.0, "not below": 1.0, "not above": -1.0}
"""A relation -> the sign of a difference that speaks for it."""


@dataclass(frozen=True)
class Check:
    """`quantity` of `arm` is "below", "above", "not below" or "not above" that of another arm, or a number.

    `remarks` are {verdict: why that may be}: what is said of a verdict stands only where the runs give that verdict.
    """

    quantity: str
    arm: str
    relation: str
    other: str | float
    remarks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PaperClaim:
    """One sentence of a paper, and the checks that it comes to on the miniature."""

    text: str
    source: str
    checks: tuple[Check, ...]


def _rates(arm: str, relation: str, *others: str | float, **remarks: str) -> tuple[Check, ...]:
    reasons = {verdict.replace("_", " "): why for verdict, why in remarks.items()}
    return tuple(Check("collapse rate", arm, relation, other, reasons) for other in others)


# Why a verdict may be as it is.
_OPTIMUM = (
    "the best constant scale differs between data sets in the paper, too (1.5 for CelebA-1k and Butterfly); the miniature's "
    "captions say all that its pictures show, so that it hardly needs guidance to draw what is asked for"
)
_SPREAD = "the seeds of one of the two arms lie far apart; more seeds would tell"
_SPOILT = "at 10 the first D_1 is spoilt already, and leaves less to lose"
_BLOTS = "a collapsed image of the miniature is black and white stripes or a coloured blot, and which differs between seeds"
_HIDDEN = "no difference is seen, which is what the paper says; but with three seeds one of this size could hide"
_SCHEDULE = (
    "in the miniature the schedule does most of it; the paper finds either alone ahead on Pokemon, behind on the other "
    "three data sets"
)
_COUNTERPART = (
    "here it does: each image gives way to its own real counterpart, and the miniature's 48 creatures share one style, so "
    "that half of them may hold it"
)
_ALMOST_REAL = "with about 43 of 48 images real in every iteration no collapse is seen in six"
_DRIVEN_OFF = (
    "the training set is wider, and yet the images are not farther from it: at guidance 7.5 they turn into what stands in "
    "no training set, and then the score measures no memorising"
)
_NOT_MEMORISED = (
    "the second paper's models memorise; this one is driven off by its guidance, which no selection among its own images undoes"
)
_IN_STYLE = (
    "ReDiFine's images lie nearer to what it was finetuned on; they also lie nearer to the real images, and the score "
    "cannot tell a copy from a picture that stays in style"
)

CLAIMS = (
    PaperClaim("Finetuned on its own images, a model collapses", "sec. 3", _rates("cfg7.5", "above", 0.0)),
    PaperClaim("The higher the guidance above 2.5, the faster", "sec. 3.2",
          _rates("cfg10", "above", "cfg7.5", not_resolved=_SPOILT) +
          _rates("cfg7.5", "above", "cfg5") + _rates("cfg5", "above", "cfg2.5")),
    PaperClaim("Guidance 2.5 degrades least; 1.0 degrades, too", "sec. 3.2",
          _rates("cfg2.5", "below", "cfg7.5") + _rates("cfg1", "above", 0.0) +
          _rates("cfg2.5", "below", "cfg1", contrary=_OPTIMUM) +
          (Check("FID_1", "cfg2.5", "below", "cfg1"), Check("FID_K", "cfg2.5", "below", "cfg1"),
           Check("CLIP score_1", "cfg2.5", "above", "cfg1"),
           Check("CLIP score_K", "cfg2.5", "above", "cfg1", {"contrary": "1.0 begins behind and ends ahead"}),
           Check("SFD_K", "cfg2.5", "below", "cfg1", {"contrary": "1.0 begins behind and ends ahead"}))),
    PaperClaim("High guidance saturates colours, and ReDiFine does so less", "sec. 3.2",
          (Check("saturation_K / saturation_0", "cfg7.5", "above", 1.0,
                 {"not resolved": _BLOTS}),
           Check("saturation_K / saturation_0", "redifine", "below", "cfg7.5", {"not resolved": _BLOTS}))),
    PaperClaim("High guidance adds high frequencies, guidance 1.0 loses them", "sec. 4.2",
          (Check("S_K / S_0", "cfg7.5", "above", 1.0), Check("S_K / S_0", "cfg1", "below", 1.0))),
    PaperClaim("ReDiFine slows the collapse of guidance 7.5, from a better first iteration", "sec. 5",
          (*_rates("redifine", "below", "cfg7.5"), Check("FID_1", "redifine", "below", "cfg7.5"),
           Check("recall_K", "redifine", "above", "cfg7.5"))),
    PaperClaim("ReDiFine, without tuning, is about as good as the best constant guidance", "sec. 5",
          (*_rates("redifine", "not above", "cfg2.5"), Check("FID_K", "redifine", "not above", "cfg2.5"),
           *_rates("redifine", "not above", "cfg1", "cfg1.5",
                   not_resolved=_HIDDEN),
           Check("FID_K", "redifine", "not above", "cfg1"))),
    PaperClaim("Condition drop alone and the schedule alone help", "app. F",
          tuple(check for arm in ("drop0.1", "drop0.2", "drop0.4", "alpha1", "alpha2", "alpha3", "linear")
                for check in _rates(arm, "below", "cfg7.5", not_resolved=_SPREAD))),
    PaperClaim("Condition drop mitigates saturation, 0.2 best", "app. F.1",
          tuple(Check("saturation_K / saturation_0", "drop0.2", "below", other, {"not resolved": _BLOTS})
                for other in ("cfg7.5", "drop0.1", "drop0.4"))),
    PaperClaim("Both together help more than either", "sec. 5",
          _rates("redifine", "below", "drop0.2") +
          _rates("redifine", "below", "alpha2", not_resolved=_SCHEDULE)),
    PaperClaim("Half of the images replaced by real ones rarely slows the collapse of guidance 7.5", "app. C.3",
          _rates("mix50", "not below", "cfg7.5", contrary=_COUNTERPART)),
    PaperClaim("With 90 % real images guidance 7.5 still collapses", "sec. 5, fig. 7",
          _rates("mix90", "above", 0.0, not_resolved=_ALMOST_REAL)),
    PaperClaim("ReDiFine slows the collapse more than mixing in real images", "sec. 1, sec. 5",
          _rates("redifine", "below", "mix50", not_resolved=_SPREAD) +
          _rates("redifine", "below", "mix90", contrary="90 % real images leave little to collapse here (above)")),
    PaperClaim("ReDiFine helps with real images mixed in, too", "sec. 5",
          _rates("mix50-redifine", "below", "mix50") +
          _rates("mix90-redifine", "below", "mix90", not_resolved="there is hardly a collapse to slow")),
    PaperClaim("Training on all earlier images as well does not stop the collapse", "app. C.12",
          _rates("accumulate", "above", 0.0) + _rates("accumulate", "below", "cfg7.5", not_resolved=_SPREAD)),
    PaperClaim("After 12 iterations ReDiFine is ahead of constant guidance 2.5", "app. E.2",
          (Check("FID_K", "redifine-12", "below", "cfg2.5-12", {"not resolved": _SPREAD}),)),
    PaperClaim("Selection widens the training set", "second paper",
          tuple(Check("entropy of T_K", arm, "above", "random") for arm in ("greedy", "threshold_decay"))),
    PaperClaim("Selecting a varied training set keeps the model generalising", "second paper",
          tuple(Check(quantity, arm, "above", "random",
                      {"not resolved": _DRIVEN_OFF if quantity == "GS_K" else _SPREAD})
                for arm in ("greedy", "threshold_decay") for quantity in ("GS_K", "entropy of D_K"))),
    PaperClaim("Selecting a varied training set improves the images", "second paper",
          tuple(Check("FID_K", arm, "below", "random", {"not resolved": _NOT_MEMORISED})
                for arm in ("greedy", "threshold_decay"))),
    PaperClaim("What prevents the collapse does not make the model memorise", "not a claim of the papers",
          (Check("GS_K", "redifine", "not below", "cfg2.5", {"contrary": _IN_STYLE}),
           Check("GS_K", "redifine", "not below", "cfg7.5", {"not resolved": _SPREAD}))),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
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
        why = self.check.remarks.get(self.verdict)
        return f"{claim}: difference {plus_minus(self.difference)}, {seeds}: **{self.verdict}**" + (f" ({why})" if why else "")


def compare_arms(check: Check, settings: Sequence[Setting]) -> Finding:
    """Compare seed by seed, so that what a seed does to both arms cancels.

    A verdict needs the 95 % interval of the difference on one side of 0.
    """
    runs = {setting.name: {run.seed: run for run in setting.runs} for setting in settings}
    difference = estimate(_differences(check, runs))
    return Finding(check, difference, _verdict(difference, _SIGNS[check.relation]))


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
