"""What is checked before a sweep, what a dry run says, where results go, and how others watch them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.application import main
from pipeline.run.status.times import FILE as TIMES
from pipeline.studies.sweep import chain_status, launch, plan, preview, progress_files, slurm, stages, status_table
from pipeline.studies.sweep.locks import LockOwner
from pipeline.studies.sweep.progress_files import ChainProgress
from pipeline.studies.sweep.resources import Resources
from project import ROOT
from studies.sweep.sweep_project import add_dvc_remote, add_remotes, git, new_project

FILE = Path("sweeps/s.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_project(tmp_path_factory.mktemp("launch") / "project")


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a small project, as the current folder."""
    folder = Path(shutil.copytree(made, tmp_path / "project"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TALLY", str(tmp_path / "tally"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["sweep", *words])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("executor", "wrong", "sentence"),
    [
        ("local", "sed -i s/cfg/cgf/ sweeps/s.yaml", "unknown key 'cgf' (did you mean 'cfg'?)"),
        ("slurm", "sed -i s/cfg/cgf/ sweeps/s.yaml", "unknown key 'cgf' (did you mean 'cfg'?)"),
        ("local", "echo >> stage.py", "stage.py differs from the last commit, and a sweep runs a commit"),
        ("slurm", "echo >> stage.py", "stage.py differs from the last commit, and a sweep runs a commit"),
        ("local", "/nowhere/at/all", "cannot be reached: there is no folder /nowhere/at"),
        ("slurm", "http://127.0.0.1:9", "is read only; share through another one"),
    ],
)
def test_wrong_use_ends_in_one_sentence_and_starts_nothing(
    project: Path, executor: str, wrong: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "check", lambda resources: None)
    if " " in wrong:
        subprocess.run(wrong, shell=True, check=True, cwd=project)
    else:
        add_dvc_remote(project, wrong)
    code, output = run("run", str(FILE), "--executor", executor)
    assert code == 2
    assert [line for line in output.splitlines() if line.startswith("Error: ")] == output.splitlines()[-1:]
    assert sentence in output.splitlines()[-1]
    assert not (project.parent / "tally").exists() and not (project / "logs").exists()


def test_without_a_remote_it_is_said_that_everything_stays_here(project: Path) -> None:
    said: list[str] = []
    assert launch.prepare(Path(), "origin", said.append).remote == ""
    assert said == ["no DVC remote is set ('make remote URL=...' sets one): experiments and their data stay in this clone"]


def test_without_a_remote_nothing_is_submitted_to_a_cluster(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "check", lambda resources: None)
    code, output = run("run", str(FILE), "--executor", "slurm")
    assert (code, output) == (
        2, "Error: no DVC remote is set ('make remote URL=...' sets one); with --no-push, everything stays in this clone\n",
    )  # fmt: skip
    assert not (project / "logs").exists()


def test_without_a_git_remote_nothing_is_sent_either(project: Path) -> None:
    add_remotes(project)
    said: list[str] = []
    assert launch.prepare(Path(), "upstream", said.append).remote == ""
    assert said[0].startswith("there is no Git remote 'upstream' to send experiments to ('git remote add' adds one): ")
    git(project, "remote", "set-url", "origin", str(project.parent / "gone.git"))
    assert launch.prepare(Path(), "origin", said.append).remote == ""
    assert said[1].startswith("the Git remote origin takes no experiments (git push failed")


def test_a_dry_run_prints_the_array_every_job_and_the_gpu_hours_of_distinct_stages(project: Path) -> None:
    """By hand: prepare once, train@1 and @2 once, measure@1 for guidance 1, 2 and 99, measure@2 for 1; a report each."""
    (project / TIMES).parent.mkdir()
    times = {"prepare": 3600, "train@1": 7200, "measure@1": 900}
    (project / TIMES).write_text("".join(json.dumps({"stage": k, "seconds": v}) + "\n" for k, v in times.items()))
    FILE.write_text(FILE.read_text() + "resources: {partition: big, gpus: 2, hours: 5, memory: 16, at_once: 3}\n")
    code, output = run("run", str(FILE), "--executor", "slurm", "--dry-run")
    lines = output.splitlines()
    assert code == 0
    each = "each 2 GPUs, 5 h, 16 GB, partition big"
    assert lines[0] == f"array 0-0: the M_1 that chains have in common, once for s-one-0; {each}"
    assert lines[1] == f"array 0-3: 4 chains that wait for it, one a job, at most 3 at a time; {each}"
    assert "     iterations=2 cfg=1.0 seed=0" in lines
    assert "     redifine sweep run sweeps/s.yaml --only long --seeds 0" in lines
    hours = 2 * (3600 + 2 * 7200 + 4 * 900) / 3600
    assert (
        lines[-2]
        == f"about {hours:.3g} GPU hours for 11 stages, shared ones once (from {TIMES}), without report, which never ended here"
    )
    assert lines[-1].startswith("but nothing would start: sweeps/s.yaml differs from the last commit")
    assert not (project.parent / "tally").exists() and not (project / "logs/sweeps").exists()


def test_a_dry_run_without_times_says_how_to_get_them(project: Path) -> None:
    lines = preview.lines(Path(), plan.chains(FILE), Resources(), True)
    assert lines[-1].startswith("how long that takes is not known: no stage has ended here yet")


@pytest.mark.slow
def test_a_sweep_is_sent_after_every_iteration_and_watched_where_only_the_remote_is(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remotes(project)
    code, output = run("run", str(FILE), "--workers", "2")
    assert code == 1 and "every iteration is sent to origin and shared" in output
    assert "run it again: redifine sweep run sweeps/s.yaml --only broken --seeds 0" in output
    elsewhere = project.parent / "elsewhere"
    git(project.parent, "clone", "--quiet", str(project.parent / "origin.git"), str(elsewhere))
    monkeypatch.chdir(elsewhere)
    code, output = run("status", str(FILE), "--json")
    found = {row["arm"]: row for row in json.loads(output)}
    assert {arm: (row["state"], row["k"]) for arm, row in found.items()} == {
        "one": ("done", 1), "two": ("done", 1), "long": ("done", 2), "broken": ("failed", 0),
    }  # fmt: skip
    assert "guidance is too strong" in found["broken"]["detail"]
    table = run("status", str(FILE))[1]
    assert "guidance is too strong" in table and "--only broken --seeds 0" in table
    subprocess.run([sys.executable, "-m", "pipeline", "get", "--exp", "s-long-0"], check=True, capture_output=True)
    assert json.loads(Path("metrics/2.json").read_text())["k"] == "2"


def test_cancel_says_when_there_is_nothing_to_cancel(project: Path) -> None:
    code, output = run("cancel", str(FILE))
    assert (code, output) == (2, "Error: no chain of sweeps/s.yaml runs or queues; see 'redifine sweep status sweeps/s.yaml'\n")


LOG = """\
=== s-one-0, by job 3_0
Running stage 'prepare':
Running stage 'train@1':
=== s-one-0, by job 3_0
Stage 'prepare' didn't change, skipping
Stage 'train@1' is cached - skipping run, checking out outputs
Running stage 'measure@1':
> python -m pipeline measure --k 1
"""


def test_a_log_tells_the_stage_that_runs_and_what_is_left() -> None:
    names = ["prepare", "train@1", "measure@1", "report"]
    assert stages.position(LOG, names) == stages.Position("measure@1", ("measure@1", "report"))
    assert stages.position(LOG + "Stage 'train@1' didn't change, skipping\n", names).stage == ""
    assert stages.position("", names) == stages.Position("", tuple(names))


@pytest.mark.parametrize(("timed", "left"), [(("train@1", "measure@1"), 30.0), (("train@1",), None), ((), None)])
def test_what_is_left_is_known_when_every_kind_of_stage_but_the_report_was_timed(
    tmp_path: Path, timed: tuple[str, ...], left: float | None
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / TIMES).write_text("".join(json.dumps({"stage": stage, "seconds": 10.0}) + "\n" for stage in timed))
    assert stages.seconds_left(tmp_path, ["train@2", "measure@2", "measure@3", "report"]) == left


def chain_and_progress(state: str, **values: object) -> tuple[plan.Chain, ChainProgress]:
    chain = plan.chains(FILE, only=["one"])[0]
    return chain, replace(ChainProgress(state, chain.digest), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "jobs", "shown"),
    [
        ("queued", {"3_0": "PENDING"}, "queued"),
        ("queued", {"3_0": "RUNNING"}, "running"),
        ("running", {"3_0": "PENDING"}, "queued"),  # in the queue again
        ("running", {}, "stopped"),
        ("running", None, "running"),  # no Slurm to ask
        ("failed", {}, "failed"),
    ],
)
def test_slurm_has_the_last_word_on_a_chain_under_way(
    project: Path, state: str, jobs: dict[str, str] | None, shown: str
) -> None:
    chain, progress = chain_and_progress(state, job="3_0", worktree=str(project))
    progress_files.write(Path(), chain, progress)
    found = chain_status.status_of(Path(), chain, jobs)
    assert found.state == shown
    assert bool(found.rerun) == (shown in ("stopped", "failed"))


def test_a_chain_of_a_dead_process_counts_as_stopped(project: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    chain, progress = chain_and_progress("running", owner=replace(LockOwner.here("s-one-0"), pid=process.pid))
    progress_files.write(Path(), chain, progress)
    assert chain_status.status_of(Path(), chain, {}).state == "stopped"


def test_progress_of_other_parameters_or_of_another_kind_does_not_count(project: Path) -> None:
    chain, progress = chain_and_progress("running")
    progress_files.write(Path(), chain, replace(progress, params="other"))
    assert progress_files.read(Path(), chain) is None
    for text in ("[]", "{", '{"state": 1, "more": 2}', "null"):
        progress_files.progress_file(chain).write_text(text)
        assert progress_files.read(Path(), chain) is None


def test_names_from_progress_cannot_colour_the_table(project: Path) -> None:
    chain, _ = chain_and_progress("running")
    one = chain_status.ChainStatus(
        chain.name, chain.arm, 0, "running", 1, stage="[bold]x", detail="[red]y[/red]", rerun="again"
    )
    from rich.console import Console

    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(status_table.render([one], "t"))
    assert "[bold]x" in (text := console.export_text()) and "[red]y[/red]" in text
