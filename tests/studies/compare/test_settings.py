from typing import Any

import pytest

from chains import parameters
from pipeline.core.errors import UserError
from pipeline.studies.compare.groups import check_features, columns, group_runs, warnings, without_duplicates
from pipeline.studies.compare.runs import ComparedRun, TableRow, runs_from_rows

REDIFINE = {"ReDiFine": {"cfg": 7.5, "schedule": "exponential", "cfg_decay": 2.0, "condition_drop": 0.2}}


def run(name: str, last: int = 3, fids: tuple[float, ...] = (10.0, 14.0, 30.0), n: int = 100, **changes: Any) -> ComparedRun:
    metrics = [{}, *({"fid": fid, "n": n} for fid in fids)]
    return ComparedRun(
        name, parameters(last, **changes).model_dump(), metrics, last, features_of=changes.pop("feature_model", "clip")
    )


def names(*runs: ComparedRun) -> list[str]:
    return [setting.name for setting in group_runs(runs, presets=REDIFINE)]


def test_runs_that_differ_in_seed_and_title_are_one_setting() -> None:
    found = group_runs([run("b", seed=1, title="second"), run("other", cfg=1.0), run("a", seed=0)])
    assert [[member.name for member in setting.runs] for setting in found] == [["a", "b"], ["other"]]


def test_how_a_set_is_stored_makes_no_other_setting() -> None:
    assert len(group_runs([run("loose", seed=0), run("in shards", seed=1, shard_above=10, shard_size=5)])) == 1


def test_the_parameter_to_average_over_can_be_another() -> None:
    runs = [run("a", rank=8), run("b", rank=16)]
    assert len(group_runs(runs)) == 2
    assert len(group_runs(runs, averaged=("rank",))) == 1


def test_a_setting_is_not_named_by_what_is_averaged() -> None:
    (setting,) = group_runs([run("a", cfg=1.0), run("b", cfg=2.5)], averaged=("cfg",))
    assert setting.name == "all runs"


def test_a_name_says_what_differs() -> None:
    assert names(run("a"), run("b", cfg=2.5), run("c", cfg=2.5, condition_drop=0.1)) == [
        "cfg=7.5",
        "cfg=2.5",
        "cfg=2.5, condition_drop=0.1",
    ]


def test_what_is_equal_everywhere_has_no_part_in_a_name() -> None:
    assert names(run("a", rank=8, cfg=1.0), run("b", rank=8, cfg=2.5)) == ["cfg=1", "cfg=2.5"]


def test_defaults_are_named_where_there_is_nothing_else_to_say() -> None:
    found = names(run("a"), run("b", training_set="mix"), run("c", training_set="mix", real_fraction=0.9))
    assert found == ["training_set=replace, real_fraction=0.5", "training_set=mix", "training_set=mix, real_fraction=0.9"]


def test_the_remedy_has_its_own_name_and_keeps_what_differs_besides() -> None:
    remedy = {"schedule": "exponential", "condition_drop": 0.2}
    found = names(run("a"), run("b", **remedy), run("c", **remedy, training_set="mix"), run("d", **remedy, cfg_decay=1.0))
    assert found[1:3] == ["ReDiFine", "ReDiFine, training_set=mix"]
    assert found[3] == "schedule=exponential, cfg_decay=1, condition_drop=0.2"


def test_a_longer_chain_is_a_setting_of_its_own() -> None:
    assert len(group_runs([run("a", last=3), run("b", last=12)])) == 2


def test_two_runs_with_the_same_seed_count_once() -> None:
    kept, notices = without_duplicates([run("a"), run("copy"), run("b", seed=1)])
    assert [member.name for member in kept] == ["a", "b"]
    assert len(notices) == 1 and "copy" in notices[0]


def test_rows_of_a_table_make_the_same_settings_as_runs() -> None:
    rows = [TableRow("ours", seed, k, {"fid": 10.0 * k + seed}) for seed in (0, 2) for k in (1, 2, 3)]
    rows += [TableRow("base", 0, k, {"fid": 20.0 * k}) for k in (3, 1, 2)]
    ours, base = group_runs(runs_from_rows(rows))
    assert (ours.name, base.name) == ("ours", "base")
    first, rate = columns()["FID_1"](ours), columns()["collapse rate"](base)
    assert first is not None and (first.mean, first.n) == (11.0, 2)
    assert rate is not None and (rate.mean, rate.half) == (20.0, None)


@pytest.mark.parametrize(
    ("ks", "message"), [([1, 3], "lacks k = 2"), ([1, 1], "k = 1 of arm, seed 0, twice"), ([0], "lacks k = 1")]
)
def test_a_table_with_holes_or_doubles_is_refused(ks: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        runs_from_rows([TableRow("arm", 0, k, {}) for k in ks])


def test_a_chain_that_ended_early_has_no_say_at_the_end() -> None:
    (setting,) = group_runs([run("whole"), run("early", fids=(12.0, 13.0), seed=1)])
    first, end = setting.at("fid", 1), setting.at_end("fid")
    assert first is not None and first.mean == 11.0
    assert end is not None and (end.mean, end.n) == (30.0, 1)


def test_warnings_name_early_ends_and_different_sizes() -> None:
    text = " ".join(warnings([run("whole"), run("early", fids=(12.0, 13.0), n=50)]))
    assert "early ended early: two iterations of 3" in text
    assert "50 in early" in text and "K = 2, 3" in text
    assert warnings([run("a"), run("b", cfg=1.0)]) == []


def test_fids_of_different_features_are_not_compared() -> None:
    check_features([run("a"), run("b")])
    with pytest.raises(UserError, match="a and b were measured with different features .*cannot stand in one figure"):
        check_features([run("a"), run("b", feature_model="other")])
