"""A sweep in a small project: what runs, what is shared, what is left when something fails or is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.chain import presets
from pipeline.core.errors import UserError
from pipeline.studies.sweep import launch, local, worktree
from pipeline.studies.sweep.chain_status import status_of
from pipeline.studies.sweep.plan import Chain, chains
from project import ROOT
from studies.sweep.sweep_project import git, new_project

FILE = Path("sweeps/s.yaml")


def run(wanted: list[Chain]) -> list[local.Outcome]:
    """Two at a time, in the current folder; nothing is sent anywhere."""
    return local.run_chains(launch.prepare(Path(), None, lambda text: None), wanted, 2, lambda text: None)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[local.Outcome]]:
    """A project whose sweep has run once, and how its chains ended."""
    folder = tmp_path_factory.mktemp("sweep")
    project = new_project(folder / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setenv("TALLY", str(folder / "tally"))
        patch.setenv("PYTHONPATH", str(ROOT))
        return project, run(chains(FILE))


def tally(project: Path) -> list[str]:
    return (project.parent / "tally").read_text().splitlines()


def test_every_chain_but_the_broken_one_becomes_an_experiment(swept: tuple[Path, list[local.Outcome]]) -> None:
    project, outcomes = swept
    assert {o.chain.arm: o.state for o in outcomes} == {"one": "done", "two": "done", "broken": "failed", "long": "done"}
    names = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "list", "--name-only"], cwd=project, capture_output=True, text=True, check=True
    ).stdout.split()
    assert sorted(names) == ["s-long-0", "s-one-0", "s-two-0"]


def test_a_failure_says_its_last_lines(swept: tuple[Path, list[local.Outcome]]) -> None:
    (failed,) = [outcome for outcome in swept[1] if outcome.state == "failed"]
    assert "guidance is too strong" in failed.detail


def test_shared_stages_run_once_and_never_twice_at_a_time(swept: tuple[Path, list[local.Outcome]]) -> None:
    ended = [line.removeprefix("end ") for line in tally(swept[0]) if line.startswith("end")]
    once = {name: ended.count(name) for name in ("prepare", "train@1", "train@2", "measure@2")}
    assert once == {"prepare": 1, "train@1": 1, "train@2": 1, "measure@2": 1}
    assert ended.count("measure@1") == 2  # of guidance 1 (two chains) and of 2


def test_the_experiment_holds_parameters_metrics_and_the_summary(swept: tuple[Path, list[local.Outcome]]) -> None:
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(str(swept[0]), rev="s-two-0")
    assert json.loads(files.read_text("metrics/1.json"))["fid"] == 2.0
    assert json.loads(files.read_text("report/summary.json")) == {"FID": 2.0, "FID_1": 1.0}
    assert "\ncfg: 2.0" in files.read_text("params.yaml")


def test_the_clone_itself_is_untouched(swept: tuple[Path, list[local.Outcome]]) -> None:
    assert git(swept[0], "status", "--porcelain") == ""
    assert not (swept[0] / "metrics").exists()


def test_an_input_that_git_does_not_hold_does_not_get_there_with_the_experiment(
    swept: tuple[Path, list[local.Outcome]], tmp_path: Path
) -> None:
    """An own raw folder, and a model, are linked into the worktree that becomes an experiment."""
    folder = tmp_path / "worktree"
    head = git(swept[0], "rev-parse", "HEAD")
    worktree.check_out(swept[0], folder, head)
    try:
        for name in ("raw/a.png", "models/own/unet.safetensors", "metrics/1.json", "new.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("x")
        presets.assign({"model": "models/own", "cfg": 3.0}, folder / "params.yaml")
        held = git(swept[0], "show", "--name-only", "--format=", worktree.save(folder, head, "kept-out")).splitlines()
    finally:
        worktree.remove(swept[0], folder)
        git(swept[0], "update-ref", "-d", f"refs/exps/{head[:2]}/{head[2:]}/kept-out")
    assert "params.yaml" in held and "new.txt" in held
    assert not [name for name in held if name.startswith(("raw/", "models/own"))]


def test_a_second_run_does_the_rest_alone(swept: tuple[Path, list[local.Outcome]], monkeypatch: pytest.MonkeyPatch) -> None:
    project = swept[0]
    monkeypatch.chdir(project)
    before = tally(project)
    outcomes = run(chains(FILE, only=["one", "two", "long"]))
    assert {outcome.state for outcome in outcomes} == {"skipped"}
    assert tally(project) == before


def test_status_tells_done_failed_and_changed(
    swept: tuple[Path, list[local.Outcome]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(swept[0])
    found = {one.arm: one for one in (status_of(Path(), chain, {}) for chain in chains(FILE))}
    assert (found["long"].state, found["long"].k, dict(found["long"].fid)) == ("done", 2, {"1": 1.0, "2": 1.0})
    assert found["broken"].state == "failed"
    changed = tmp_path / "s.yaml"
    changed.write_text(FILE.read_text().replace("two: {cfg: 2.0}", "two: {cfg: 3.0}"))
    assert {one.arm: one.state for one in (status_of(Path(), chain, {}) for chain in chains(changed))}["two"] == "waiting"


def test_experiments_of_a_later_commit_take_the_name(swept: tuple[Path, list[local.Outcome]], tmp_path: Path) -> None:
    project = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(swept[0]), str(project))
    git(project, "config", "user.name", "Test")
    git(project, "config", "user.email", "test@example.com")
    (project / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
    first = git(project, "rev-parse", "HEAD")
    worktree.save(project, first, "s-x-0")
    git(project, "commit", "--quiet", "--allow-empty", "-m", "more")
    second = git(project, "rev-parse", "HEAD")
    worktree.save(project, second, "s-x-0")
    assert [one.baseline for one in worktree.experiments(project, "s-x-0")] == [second]


def test_an_experiment_on_its_way_is_not_done_and_takes_no_others_place(
    swept: tuple[Path, list[local.Outcome]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(swept[0]), str(project))
    git(project, "config", "user.name", "Test")
    git(project, "config", "user.email", "test@example.com")
    monkeypatch.chdir(project)
    (chain,) = chains(FILE, only=["one"])
    presets.assign(chain.values)
    first = git(project, "rev-parse", "HEAD")
    worktree.save(project, first, chain.name)
    git(project, "commit", "--quiet", "--allow-empty", "-m", "more")
    second = git(project, "rev-parse", "HEAD")
    worktree.save(project, second, chain.name, k=1)
    assert {one.baseline: one.complete for one in worktree.experiments(project, chain.name)} == {first: True, second: False}
    assert worktree.find(project, chain, second) is None
    worktree.save(project, second, chain.name)
    assert worktree.find(project, chain, second) is not None
    assert worktree.find(project, chain, first) is None


def test_an_uncommitted_change_is_told_before_anything_runs(
    swept: tuple[Path, list[local.Outcome]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(swept[0])
    before = Path("stage.py").read_text()
    try:
        Path("stage.py").write_text(before + "\n")
        with pytest.raises(UserError, match="^stage.py differs"):
            run(chains(FILE))
    finally:
        Path("stage.py").write_text(before)


def test_models_outside_git_are_there_in_the_worktree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project(tmp_path / "project")
    monkeypatch.chdir(project)
    (project / "models/big").mkdir(parents=True)
    (project / "models/big/unet.bin").write_bytes(b"weights")
    FILE.write_text("title: t\narms: {a: {model: models/big}}\n")
    (chain,) = chains(FILE)
    folder = project / ".dvc/tmp/sweeps/0"
    head = git(project, "rev-parse", "HEAD")
    for _ in range(2):
        worktree.set_up(project, folder, head, project / "cache", chain)
        (folder / "models/M_1").mkdir(parents=True)
        (folder / "scratch").mkdir(exist_ok=True)
    worktree.set_up(project, folder, head, project / "cache", chain)
    assert (folder / "models/big/unet.bin").read_bytes() == b"weights"
    assert not (folder / "models/M_1").exists()
    assert (folder / "scratch").is_dir()


def test_chains_whose_log_cannot_be_written_fail_and_none_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(new_project(tmp_path / "project"))
    wanted = chains(FILE)
    (Path("logs") / "sweeps").mkdir(parents=True)
    (Path("logs") / "sweeps" / FILE.stem).write_text("a file where a folder must be")
    assert {outcome.state for outcome in run(wanted)} == {"failed"}


@pytest.mark.parametrize("how", ["interrupt", "cancel"])
def test_an_interrupt_and_cancel_end_every_child(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project(tmp_path / "project")
    (project / FILE).write_text("title: t\narms: {slow: {cfg: 77.0}}\n")
    git(project, "commit", "--quiet", "-am", "slow")
    # A process that was started in the background may have inherited that interrupts are ignored.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path; from pipeline.studies.sweep import launch, local\n"
        "from pipeline.studies.sweep.plan import chains\n"
        "quiet = lambda text: None; context = launch.prepare(Path(), None, quiet)\n"
        f"print([o.state for o in local.run_chains(context, chains(Path({str(FILE)!r})), 1, quiet)])"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code], cwd=project, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TALLY": str(tmp_path / "tally"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    for _ in range(600):
        if (tmp_path / "tally").exists():
            break
        time.sleep(0.1)
    children = psutil.Process(running.pid).children(recursive=True)
    assert any("stage.py" in " ".join(child.cmdline()) for child in children)
    if how == "interrupt":
        running.send_signal(signal.SIGINT)
    else:
        monkeypatch.chdir(project)
        assert launch.cancel(Path(), chains(FILE)) == ["s-slow-0: told to stop"]
    output, _ = running.communicate(timeout=60)
    assert output == "['stopped']\n"
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
