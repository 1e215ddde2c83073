"""Where the chain is: DVC's own answers on a real project, and how they become states, reasons and times."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.run.status import stage_states, text, times
from pipeline.run.status.stage_states import StageState
from project import ROOT

DVC_YAML = """
stages:
  prepare: {cmd: echo 0 > d0, params: [seed], outs: [d0]}
  train:
    foreach: {"1": {prev: 0}, "2": {prev: 1}, "3": {prev: 2}}
    do:
      cmd: cat d${item.prev} > d${key}
      deps: ["d${item.prev}"]
      params: [cfg]
      outs: ["d${key}"]
"""


def dvc(root: Path, *arguments: str) -> None:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    subprocess.run([sys.executable, "-m", "dvc", *arguments, "-q"], cwd=root, env=environment, check=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of three stages after one, of which prepare, train@1 and train@2 have run."""
    root = tmp_path_factory.mktemp("chain")
    (root / "dvc.yaml").write_text(DVC_YAML)
    shutil.copy(ROOT / "params.yaml", root)
    dvc(root, "init", "--no-scm")
    dvc(root, "repro", "train@2")
    return root


def states(root: Path) -> dict[str, str]:
    return {stage.name: stage.state for stage in stage_states.read_stages(root)}


def test_what_ran_is_done_and_what_did_not_is_missing(project: Path) -> None:
    found = stage_states.read_stages(project)
    assert [(stage.name, stage.state) for stage in found] == [
        ("prepare", "done"), ("train@1", "done"), ("train@2", "done"), ("train@3", "missing"),
    ]  # fmt: skip
    assert (found[3].reasons, found[3].k, found[3].kind) == (("not run yet",), 3, "train")


def test_a_changed_parameter_is_named_and_what_follows_waits(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(before.replace("\nseed: 0\n", "\nseed: 1\n"))
    found = {stage.name: stage for stage in stage_states.read_stages(project)}
    assert found["prepare"] == StageState("prepare", "stale", ("seed changed",))
    assert found["train@1"] == StageState("train@1", "waiting", ("for prepare",))
    assert found["train@2"].state == "waiting" and found["train@3"].state == "missing"
    (project / "params.yaml").write_text(before)


def test_outputs_that_are_not_here_are_absent_with_the_command_that_brings_them(project: Path) -> None:
    content = (project / "d2").read_bytes()
    (project / "d2").unlink()
    found = {stage.name: stage for stage in stage_states.read_stages(project)}
    assert found["train@2"].state == "absent" and "d2 not here: 'dvc checkout'" in found["train@2"].reasons[0]
    (project / "d2").write_bytes(content)
    assert states(project)["train@2"] == "done"


def test_an_iteration_whose_forebears_were_not_fetched_is_done(project: Path) -> None:
    contents = {name: (project / name).read_bytes() for name in ("d0", "d1")}
    for name in contents:
        (project / name).unlink()
    try:
        expected = {"prepare": "absent", "train@1": "absent", "train@2": "done", "train@3": "missing"}
        assert states(project) == expected
        lines = text.reasons(stage_states.read_stages(project))
        assert lines[0] == "missing: train@3 (not run yet)" and lines[1].startswith("absent: prepare, train@1 (they ran")
        before = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(before.replace("\nseed: 0\n", "\nseed: 1\n"))
        assert states(project) == dict.fromkeys(expected, "waiting") | {"prepare": "stale", "train@3": "missing"}
        (project / "params.yaml").write_text(before)
    finally:
        for name, content in contents.items():
            (project / name).write_bytes(content)


def test_a_stage_that_another_process_runs_is_running(project: Path) -> None:
    lock = {"write": {str(project / "d3"): {"pid": os.getppid(), "cmd": "dvc repro"}}, "read": {}}
    (project / ".dvc/tmp/rwlock").write_text(json.dumps(lock))
    assert states(project) == {"prepare": "done", "train@1": "done", "train@2": "done", "train@3": "running"}
    (project / ".dvc/tmp/rwlock").unlink()


def test_a_folder_without_dvc_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="DVC cannot read the chain"):
        stage_states.read_stages(tmp_path)


def test_changes_of_every_kind_have_a_reason() -> None:
    status: list[str | dict[str, Any]] = [
        {"changed deps": {"data/D_0": "modified", "params.yaml": {"cfg": "modified", "new": "new"}}},
        {"changed outs": {"data/D_1": "modified"}},
        "changed command",
    ]
    reasons = ("data/D_0 changed", "cfg changed", "new new", "output data/D_1 changed", "its command changed")
    assert stage_states.classify("sample@1", status) == StageState("sample@1", "stale", reasons)
    assert stage_states.classify("sample@1", []) == StageState("sample@1", "done")


def test_the_time_of_a_stage_is_kept_when_it_ends_and_not_when_it_fails(tmp_path: Path) -> None:
    with times.timed("train@1", tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), times.timed("train@2", tmp_path):
        raise ZeroDivisionError
    with times.timed(None, tmp_path):
        pass
    (row,) = map(json.loads, (tmp_path / times.FILE).read_text().splitlines())
    assert row["stage"] == "train@1" and row["seconds"] >= 0


def test_a_time_that_cannot_be_written_fails_no_stage(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with times.timed("train@1", tmp_path):
        pass
    assert times.read_times(tmp_path) == {}


def test_the_last_three_times_of_a_kind_count_and_broken_lines_do_not(tmp_path: Path) -> None:
    rows = [("train@1", 900.0), ("train@2", 10.0), ("sample@1", 5.0), ("train@3", 30.0), ("train@4", 20.0)]
    lines = [json.dumps({"stage": stage, "seconds": seconds}) for stage, seconds in rows]
    (tmp_path / "logs").mkdir()
    (tmp_path / times.FILE).write_text("\n".join(["{half", "[1]", '{"stage": 3, "seconds": 1}', *lines]))
    assert times.read_times(tmp_path) == {"train": 20.0, "sample": 5.0}


def test_the_rest_is_the_sum_over_what_is_not_done(tmp_path: Path) -> None:
    rest = times.remaining(["train@5", "train@6", "sample@6", "report"], {"train": 20.0, "sample": 5.0})
    assert (rest.seconds, rest.unknown) == (45.0, ("report",))
    assert text.describe_remaining(rest) == (
        "at most about 45 s left, without report, which never ended here: 2 x train, sample, report (from logs/times.jsonl)"
    )
    assert "not known" in text.describe_remaining(times.remaining(["train@1"], {}))
    assert text.describe_remaining(times.remaining([], {})) == "nothing left to do"


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, "1 s"), (99, "99 s"), (130, "2 min"), (9000, "2 h 30 min")])
def test_durations_are_said_in_the_unit_that_one_thinks_in(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_the_command_prints_a_table_reasons_and_the_rest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (project / "metrics").mkdir()
    (project / "metrics/2.json").write_text('{"fid": 24.935}')
    output = CliRunner().invoke(main, ["status"]).output
    assert "k = 2             done" in output and "24.93" in output
    assert "missing: train@3 (not run yet)" in output and "left: train; how long that takes is not known" in output
    found = json.loads(CliRunner().invoke(main, ["status", "--json"]).output)
    assert found["fid"] == {"2": 24.935} and found["seconds_left"] is None and found["never_timed"] == ["train"]
    assert found["stages"][3] == {"name": "train@3", "k": 3, "state": "missing", "reasons": ["not run yet"]}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("cfg: .nan", "Error: params.yaml: cfg must be a finite number"),
        ("cfg: high", "Error: params.yaml: cfg must be a number, got 'high'"),
        ("cgf: 7.5", "unknown key 'cgf'"),
    ],
)
def test_parameters_that_no_stage_would_take_end_in_the_sentence_of_a_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch, line: str, sentence: str
) -> None:
    monkeypatch.chdir(project)
    before = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(before.replace("\ncfg: 7.5", f"\n{line}"))
    try:
        told, of_a_stage = (CliRunner().invoke(main, words) for words in (["status"], ["curate", "--k", "1"]))
    finally:
        (project / "params.yaml").write_text(before)
    assert told.exit_code == 2 and sentence in told.stderr
    assert told.stderr == of_a_stage.stderr
