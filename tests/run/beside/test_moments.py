"""At any moment of a run something is done beside it: the record is truthful, the owner's files are in place, and nothing is
computed twice. `MOMENTS=50` sets how many moments the long form has in each test, `MOMENTS_SEED` which ones.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from run.beside.project import MODULE, Project, hold_lock, new_project

SECONDS = 1.5
"""How long a stage takes."""
_AFTER = 1.5
"""Up to so long after a stage has ended DVC hashes and records."""

DRAWN = "data/D_0/a.txt"

moments = pytest.mark.parametrize("seed", [
    pytest.param(int(os.environ.get("MOMENTS_SEED", "0")) + i, marks=[pytest.mark.slow] if i > 1 else [])
    for i in range(int(os.environ.get("MOMENTS", "50")))
])  # fmt: skip


def at_a_moment(project: Project, draw: random.Random) -> None:
    """Wait until a random time between the start of a stage and the record of it."""
    stage = draw.choice(["train@1", "sample@1", "report"])
    project.wait_for(lambda: project.begun(stage))
    time.sleep(draw.uniform(0.0, SECONDS + _AFTER))


def edit_parameter(project: Project, draw: random.Random) -> None:
    key, value = draw.choice([("cfg", "2.5"), ("rank", "4"), ("title", "Another"), ("seed", "7"), ("neighbours", "3")])
    project.set(key, value)


def edit_module(project: Project, draw: random.Random) -> None:
    (project.root / MODULE).write_text("# the second text\n")


def break_parameters(project: Project, draw: random.Random) -> None:
    (project.root / "params.yaml").write_text(draw.choice(["cfg: [", "", "cfg: 7.5\n"]))


def edit_image(project: Project, draw: random.Random) -> None:
    (project.root / DRAWN).write_text("another\n")


def touch_model(project: Project, draw: random.Random) -> None:
    for path in (project.root / "models/M_1").glob("*"):
        os.utime(path)


EDITS: list[Callable[[Project, random.Random], None]] = [
    edit_parameter, edit_parameter, edit_module, break_parameters, edit_image, touch_model,
]  # fmt: skip


def owners_files(project: Project) -> dict[str, bytes]:
    return {name: (project.root / name).read_bytes() for name in ("params.yaml", MODULE, DRAWN, "dvc.yaml", ".gitignore")}


def run_to_the_end(project: Project) -> str:
    code, said = project.redifine("repro")
    assert code == 0 and "Traceback" not in said, said
    assert project.untruths() == []
    return said


@moments
def test_an_edit_at_any_moment_is_never_the_record_of_what_did_not_read_it(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    project = new_project(tmp_path, SECONDS)
    try:
        before = owners_files(project)
        program = draw.choice(["pipeline", "pipeline", "dvc"])
        running = project.start("repro", program=program)
        at_a_moment(project, draw)
        edit = draw.choice(EDITS)
        edit(project, draw)
        said = project.said(running)
        assert "Traceback" not in said and running.returncode in (0, 2, 255), said
        if running.returncode == 0 and project.untruths():  # plain DVC looks about a second after a stage has ended
            assert program == "dvc"
            code, told = project.redifine("verify", "--all")
            assert code == 1 and "did not run with what dvc.lock says" in told, told
        stays = edit not in (break_parameters, touch_model) and draw.random() < 0.5
        if stays:
            run_to_the_end(project)
        for name, content in before.items():
            if (project.root / name).read_bytes() != content:
                (project.root / name).write_bytes(content)
        run_to_the_end(project)
        assert owners_files(project) == before
        # A result is not kept, and is said not to be, where an input changed, or code before all of it was imported.
        twice = [line.split('"')[1] for line, count in project.computed().items() if count > 1]
        not_kept = edit in (edit_image, edit_module) and "what it made is not kept" in said
        assert twice == [] or (not_kept and len(twice) == 1 and f"changed while {twice[0]} ran" in said), (edit.__name__, twice)
    finally:
        project.end()


BESIDE: list[list[str]] = [
    ["pipeline", "exp", "run", "-S", "cfg=2.5"],
    ["pipeline", "exp", "run", "--queue", "-S", "cfg=range(2,5,1)"],
    ["pipeline", "exp", "run", "--temp", "-S", "cfg=2.5"],
    ["pipeline", "exp", "save"],
    ["pipeline", "repro"],
    ["pipeline", "status"],
    ["pipeline", "get", "1"],
    ["pipeline", "ls"],
    ["pipeline", "verify", "--all"],
    ["pipeline", "lineage", "1"],
    ["dvc", "push"],
    ["dvc", "status"],
    ["dvc", "repro"],
    ["hold"],
]


@moments
def test_a_command_at_any_moment_changes_and_ends_nothing(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    project = new_project(tmp_path, SECONDS)
    try:
        before = owners_files(project)
        running = project.start("repro")
        at_a_moment(project, draw)
        words = BESIDE[seed % len(BESIDE)]
        beside = hold_lock(project, 8.0) if words == ["hold"] else project.start(*words[1:], program=words[0])
        said = project.said(running)
        told = project.said(beside)
        assert running.returncode == 0 and "Traceback" not in said, (words, said)
        assert "Traceback" not in told, (words, told)
        if words[1:4] != ["exp", "run", "-S"] or beside.returncode:
            assert owners_files(project) == before, words
            assert project.untruths() == []
            run_to_the_end(project)
        assert set(project.computed().values()) == {1}, (words, project.computed().keys())
    finally:
        project.end()
