"""What is edited while a stage runs never gets into the record of a run that did not read it; nothing is computed twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from run.beside.project import MODULE, Project, new_project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = new_project(tmp_path)
    yield made
    made.end()


def _edit_parameter(project: Project) -> None:
    project.set("cfg", "2.5")


def _edit_module(project: Project) -> None:
    (project.root / MODULE).write_text("# the second text\n")


def _break_parameters(project: Project) -> None:
    (project.root / "params.yaml").write_text("cfg: [")


EDITS = {"cfg (7.5, now 2.5)": _edit_parameter, MODULE: _edit_module, "params.yaml": _break_parameters}


@pytest.mark.parametrize("named", EDITS)
@pytest.mark.parametrize("program", ["pipeline", "dvc"])
def test_a_stage_fails_where_what_it_read_is_another_at_its_end(project: Project, named: str, program: str) -> None:
    before = {name: (project.root / name).read_text() for name in ("params.yaml", MODULE)}
    running = project.start("repro", program=program)
    project.wait_for(lambda: project.begun("sample@1"))
    EDITS[named](project)
    said = project.said(running)
    assert running.returncode == (2 if program == "pipeline" else 255)
    assert "changed while sample@1 ran, and DVC would record it so: " in said and named in said and "Traceback" not in said
    assert "what it made is kept" in said and project.untruths() == []
    for name, text in before.items():
        (project.root / name).write_text(text)
    code, said = project.redifine("repro")
    assert code == 0, said
    assert "sample@1 had ended before with just these inputs" in said
    assert len(project.computed()) == 3 and set(project.computed().values()) == {1} and project.untruths() == []
    assert not (project.root / "scratch/finished").exists()


def test_with_the_new_value_it_runs_anew_and_the_old_one_is_still_there(project: Project) -> None:
    running = project.start("repro")
    project.wait_for(lambda: project.begun("sample@1"))
    project.set("cfg", "2.5")
    project.said(running)
    assert project.redifine("repro")[0] == 0 and project.untruths() == []
    project.set("cfg", "7.5")
    assert project.redifine("repro")[0] == 0 and project.untruths() == []
    assert set(project.computed().values()) == {1}
    assert [line.split('"')[1] for line in project.computed()] == ["train@1", "sample@1", "sample@1", "report", "report"]


def test_a_file_that_changes_under_a_training_ends_it_and_one_that_was_touched_does_not(project: Project) -> None:
    drawn = project.root / "data/D_0/a.txt"
    running = project.start("repro", "train@1")
    project.wait_for(lambda: project.begun("train@1"))
    drawn.write_text("another\n")
    said = project.said(running)
    assert running.returncode == 2 and "data/D_0/a.txt" in said and "it cannot be told what it read" in said
    assert not (project.root / "scratch/finished").exists()
    drawn.write_text("drawn by hand\n")
    assert project.redifine("repro", "sample@1")[0] == 0
    (project.root / "begun/report").unlink(missing_ok=True)
    running = project.start("repro")
    project.wait_for(lambda: project.begun("report"))
    os.utime(project.root / "data/D_1/record.json")
    assert project.said(running).count("changed while") == 0 and running.returncode == 0


def test_another_parameter_than_the_stages_own_changes_nothing(project: Project) -> None:
    running = project.start("repro", "train@1")
    project.wait_for(lambda: project.begun("train@1"))
    project.set("title", "Another")
    assert project.said(running).count("changed while") == 0 and running.returncode == 0 and project.untruths() == []


def test_a_stage_whose_dvc_was_killed_as_it_ended_is_not_computed_again(project: Project) -> None:
    running = project.start("repro", "train@1", program="dvc")
    project.wait_for(
        lambda: (project.root / "scratch/finished").is_dir() and any((project.root / "scratch/finished").glob("t*"))
    )
    running.kill()
    running.wait()
    code, said = project.redifine("repro", "train@1")
    assert code == 0, said
    assert len(project.computed()) == 1 and set(project.computed().values()) == {1}
    project.redifine("repro", "--force", "train@1")
    assert [*project.computed().values()] == [2], "forced, it is computed again"


@pytest.mark.parametrize("recorded", ["cfg", MODULE])
def test_what_plain_dvc_recorded_falsely_is_told_and_mended(project: Project, recorded: str) -> None:
    """dvc.lock as DVC leaves it after a change in the second between a stage's end and its look."""
    from pipeline.versioning import finished_work
    from pipeline.versioning.hashes import digest_bytes

    running = project.start("repro", "sample@1", program="dvc")
    project.wait_for(lambda: any((project.root / "scratch/finished").glob("sample@1-*/inputs.json")))
    project.said(running)
    assert running.returncode == 0 and [one["stage"] for _, one in finished_work.kept_last(project.root)] == ["sample@1"]
    lock = project.root / "dvc.lock"
    start, sample, rest = lock.read_text().partition("  sample@1:")
    if recorded == "cfg":
        project.set("cfg", "2.5")
        rest = rest.replace("cfg: 7.5", "cfg: 2.5")
    else:
        (project.root / MODULE).write_text("# the second text\n")
        rest = rest.replace(digest_bytes(b"# the first text\n").md5, digest_bytes(b"# the second text\n").md5)
    lock.write_text(start + sample + rest)
    assert project.untruths() == [f"sample@1: {recorded}"]
    code, said = project.redifine("verify", "--all")
    assert code == 1 and "sample@1 did not run with what dvc.lock says: " in said and recorded in said
    going_on = project.start("repro", program="dvc")
    assert "run 'redifine repro', which mends this" in project.said(going_on)
    code, said = project.redifine("repro")
    assert code == 0 and "sample@1 did not run with what dvc.lock says" in said, said
    runs = project.root / ".dvc/cache/runs"
    assert all(any(folder.iterdir()) for folder in runs.glob("*/*")), "DVC fails at an empty one"
    assert project.untruths() == [] and set(project.computed().values()) == {1}
