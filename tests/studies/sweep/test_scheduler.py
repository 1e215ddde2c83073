"""Which chains may run at once: none that would compute the same stage."""

from __future__ import annotations

import threading
from pathlib import Path

from pipeline.chain.params import Params, check
from pipeline.studies.sweep.local import ChainScheduler
from pipeline.studies.sweep.plan import Chain
from pipeline.studies.sweep.segments import segments_of


def params(**changes: object) -> Params:
    return check({"iterations": {"1": {"prev": 0}}} | changes)


def chain(arm: str, **changes: object) -> Chain:
    return Chain("s", arm, 0, (), params(**changes), 1)


def shared(a: Params, b: Params) -> list[bool]:
    """Whether the two may share D_0, M_1, iteration 1, the report."""
    return [one.lock_key == other.lock_key for one, other in zip(segments_of(a), segments_of(b), strict=True)]


def test_arms_that_differ_in_sampling_share_the_first_model() -> None:
    assert shared(params(cfg=1.0), params(cfg=2.5)) == [True, True, False, False]


def test_arms_that_differ_in_training_share_the_real_images() -> None:
    assert shared(params(condition_drop=0.2), params()) == [True, False, False, False]


def test_arms_that_differ_in_a_measure_share_every_image() -> None:
    assert shared(params(neighbours=3), params(neighbours=5)) == [True, True, True, False]


def test_what_measures_the_real_images_is_computed_again_for_other_measures() -> None:
    """The costly stages have a lock in common; only chains with all stages in common take each other's word for them."""
    one, other, same = (segments_of(params(neighbours=n, cfg=cfg)) for n, cfg in ((3, 1.0), (5, 1.0), (3, 2.0)))
    assert [segment.result_key == again.result_key for segment, again in zip(one, other, strict=True)][:2] == [False, False]
    assert [segment.result_key == again.result_key for segment, again in zip(one, same, strict=True)][:2] == [True, True]
    assert {segment.result_key for segment in one[2:]} == {""}


def test_seeds_share_nothing() -> None:
    assert shared(params(seed=1), params(seed=2)) == [False, False, False, False]


def test_a_longer_chain_shares_every_iteration_of_a_shorter_one() -> None:
    longer = params(iterations={"1": {"prev": 0}, "2": {"prev": 1}}, title="longer")
    assert [segment.lock_key for segment in segments_of(longer)][:3] == [segment.lock_key for segment in segments_of(params())][
        :3
    ]
    assert segments_of(longer)[-1].lock_key != segments_of(params())[-1].lock_key


def test_each_iteration_ends_with_a_piece_of_its_own() -> None:
    longer = params(iterations={str(k): {"prev": k - 1} for k in (1, 2, 3)})
    assert [segment.k for segment in segments_of(longer)] == [None, None, 1, 2, 3, None]
    assert len({segment.lock_key for segment in segments_of(longer)}) == 6


def test_a_chain_waits_until_what_it_shares_is_computed() -> None:
    first, second = chain("a", cfg=1.0), chain("b", cfg=2.0)
    scheduler = ChainScheduler([first, second])
    assert scheduler.next_chain() == first
    taken: list[Chain | None] = []
    waiting = threading.Thread(target=lambda: taken.append(scheduler.next_chain()))
    waiting.start()
    scheduler.release(first, segments_of(first.params)[0])
    waiting.join(0.2)
    assert taken == []
    scheduler.release(first, segments_of(first.params)[1])
    waiting.join(10)
    assert taken == [second]


def test_a_later_chain_that_shares_nothing_in_work_overtakes() -> None:
    first, same, other = chain("a", cfg=1.0), chain("b", cfg=2.0), chain("c", seed=1)
    scheduler = ChainScheduler([first, same, other])
    assert [scheduler.next_chain(), scheduler.next_chain()] == [first, other]


def test_what_one_chain_releases_another_may_still_hold() -> None:
    first, second, third = (chain(name, cfg=cfg) for name, cfg in (("a", 1.0), ("b", 2.0), ("c", 3.0)))
    scheduler = ChainScheduler([first, second, third])
    scheduler.next_chain()
    for segment in segments_of(first.params)[:2]:
        scheduler.release(first, segment)
    assert scheduler.next_chain() == second
    scheduler.release(first)
    taken: list[Chain | None] = []
    waiting = threading.Thread(target=lambda: taken.append(scheduler.next_chain()))
    waiting.start()
    waiting.join(0.2)
    assert taken == []
    scheduler.release(second)
    waiting.join(10)
    assert taken == [third]


def test_after_a_stop_nothing_is_handed_out() -> None:
    scheduler = ChainScheduler([chain("a")])
    scheduler.stop()
    assert scheduler.next_chain() is None


def test_pieces_name_stages_of_the_pipeline() -> None:
    from ruamel.yaml import YAML

    from project import ROOT

    stages = YAML(typ="safe").load(Path(ROOT / "dvc.yaml"))["stages"]
    assert {target.partition("@")[0] for segment in segments_of(params()) for target in segment.targets} <= set(stages)
