"""Which chains may run at once: none that would compute the same stage."""

from __future__ import annotations

import threading
from pathlib import Path

from pipeline.params import Params, check
from pipeline.sweep.plan import Chain
from pipeline.sweep.turns import Turns, parts


def params(**changes: object) -> Params:
    return check({"iterations": {"1": {"prev": 0}}} | changes)


def chain(arm: str, **changes: object) -> Chain:
    return Chain("s", arm, 0, (), params(**changes), 1)


def shared(a: Params, b: Params) -> list[bool]:
    """Whether the two share D_0, M_1, everything."""
    return [one.key == other.key for one, other in zip(parts(a), parts(b), strict=True)]


def test_arms_that_differ_in_sampling_share_the_first_model() -> None:
    assert shared(params(cfg=1.0), params(cfg=2.5)) == [True, True, False]


def test_arms_that_differ_in_training_share_the_real_images() -> None:
    assert shared(params(condition_drop=0.2), params()) == [True, False, False]


def test_seeds_share_nothing() -> None:
    assert shared(params(seed=1), params(seed=2)) == [False, False, False]


def test_a_longer_chain_shares_all_of_a_shorter_one() -> None:
    longer = params(iterations={"1": {"prev": 0}, "2": {"prev": 1}}, title="longer")
    assert shared(longer, params()) == [True, True, True]


def test_a_chain_waits_until_what_it_shares_is_computed() -> None:
    first, second = chain("a", cfg=1.0), chain("b", cfg=2.0)
    turns = Turns([first, second])
    assert turns.take() == first
    taken: list[Chain | None] = []
    waiting = threading.Thread(target=lambda: taken.append(turns.take()))
    waiting.start()
    turns.release(first, parts(first.params)[0])
    waiting.join(0.2)
    assert taken == []
    turns.release(first, parts(first.params)[1])
    waiting.join(10)
    assert taken == [second]


def test_a_later_chain_that_shares_nothing_in_work_overtakes() -> None:
    first, same, other = chain("a", cfg=1.0), chain("b", cfg=2.0), chain("c", seed=1)
    turns = Turns([first, same, other])
    assert [turns.take(), turns.take()] == [first, other]


def test_what_one_chain_releases_another_may_still_hold() -> None:
    first, second, third = (chain(name, cfg=cfg) for name, cfg in (("a", 1.0), ("b", 2.0), ("c", 3.0)))
    turns = Turns([first, second, third])
    turns.take()
    for part in parts(first.params)[:2]:
        turns.release(first, part)
    assert turns.take() == second
    turns.release(first)
    taken: list[Chain | None] = []
    waiting = threading.Thread(target=lambda: taken.append(turns.take()))
    waiting.start()
    waiting.join(0.2)
    assert taken == []
    turns.release(second)
    waiting.join(10)
    assert taken == [third]


def test_after_a_stop_nothing_is_handed_out() -> None:
    turns = Turns([chain("a")])
    turns.stop()
    assert turns.take() is None


def test_pieces_name_stages_of_the_pipeline() -> None:
    from ruamel.yaml import YAML

    from project import ROOT

    stages = YAML(typ="safe").load(Path(ROOT / "dvc.yaml"))["stages"]
    assert {target.partition("@")[0] for part in parts(params()) for target in part.targets} <= set(stages)
