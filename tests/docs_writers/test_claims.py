"""What docs/results.md says of a claim is decided by the runs, seed by seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from docs.writers.claims import CLAIMS, Check, compare_arms
from pipeline.studies.compare.groups import Setting, group_runs
from pipeline.studies.compare.runs import TableRow, runs_from_rows
from pipeline.studies.sweep import plan
from project import ROOT


def study(**last_fids: list[float]) -> list[Setting]:
    """Arms of two iterations: FID_1 is 10, FID_2 as given for each seed, so that the rate is FID_2 - 10."""
    rows = [
        TableRow(arm, seed, k, {"fid": 10.0 if k == 1 else fid})
        for arm, fids in last_fids.items()
        for seed, fid in enumerate(fids)
        for k in (1, 2)
    ]
    return group_runs(runs_from_rows(rows))


def test_the_difference_is_taken_seed_by_seed_with_students_interval() -> None:
    a, b = [12.0, 15.0, 11.0], [22.0, 25.5, 20.0]
    finding = compare_arms(Check("collapse rate", "a", "below", "b"), study(a=a, b=b))
    interval = stats.ttest_1samp(np.subtract(a, b), 0.0).confidence_interval(0.95)
    assert finding.difference is not None
    assert (finding.difference.low, finding.difference.high) == pytest.approx((interval.low, interval.high))
    assert finding.verdict == "shown"


@pytest.mark.parametrize(
    ("relation", "fids", "verdict"),
    [
        ("below", [30.0, 30.5, 29.5], "contrary"),
        ("above", [30.0, 30.5, 29.5], "shown"),
        ("below", [30.0, 1.0, 22.0], "not resolved"),
        ("above", [30.0], "as claimed in one seed"),
        ("below", [30.0], "not so in one seed"),
        ("below", [], "not run"),
    ],
)
def test_the_verdict_follows_the_interval(relation: str, fids: list[float], verdict: str) -> None:
    arms = study(a=fids, b=[20.0, 20.0, 20.0]) if fids else study(b=[20.0])
    assert compare_arms(Check("FID_K", "a", relation, "b"), arms).verdict == verdict


@pytest.mark.parametrize(("relation", "verdict"), [("not below", "contrary"), ("not above", "shown")])
def test_a_claim_may_deny_a_difference(relation: str, verdict: str) -> None:
    assert compare_arms(Check("FID_K", "a", relation, "b"), study(a=[9.0, 8.0, 7.0], b=[20.0, 20.0, 20.0])).verdict == verdict


def test_a_remark_stands_with_its_verdict_alone() -> None:
    check = Check("FID_K", "a", "below", "b", {"contrary": "because it rained"})
    high, low = [30.0, 30.5, 29.5], [10.0, 10.5, 9.5]
    assert compare_arms(check, study(a=high, b=low)).sentence().endswith("**contrary** (because it rained)")
    assert compare_arms(check, study(a=low, b=high)).sentence().endswith("**shown**")


def test_a_claim_may_compare_with_a_number() -> None:
    assert compare_arms(Check("collapse rate", "a", "above", 0.0), study(a=[20.0, 21.0, 22.0])).verdict == "shown"


def test_every_arm_of_a_claim_is_in_the_study() -> None:
    arms = plan.arms(plan.load(ROOT / "sweeps/results.yaml"))
    named = {arm for claim in CLAIMS for check in claim.checks for arm in (check.arm, check.other) if isinstance(arm, str)}
    assert named <= arms.keys()
