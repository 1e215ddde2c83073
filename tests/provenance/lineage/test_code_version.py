"""The code's commit is the one that first recorded the output, and its files are held against what ran."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.lineage import lineage as command
from pipeline.provenance.lineage.graph import trace
from pipeline.provenance.lineage.runs import CodeVersion, work_tree
from provenance.verify.recorded import git, record_with_dvc, write_recorded_chain


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain whose record is the only commit, on branch main; read only."""
    root = tmp_path_factory.mktemp("recorded") / "project"
    write_recorded_chain(root)
    record_with_dvc(root)
    return root


@pytest.fixture
def project(recorded: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(recorded, tmp_path / "project"))


def code(root: Path) -> CodeVersion:
    return trace(work_tree(root), "data/D_2", root).code


def edit_and_commit(root: Path, name: str) -> str:
    (root / name).write_text("# edited\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", f"edit {name}")
    return git(root, "rev-parse", "HEAD")


def run_again(root: Path) -> None:
    """dvc.lock as after another run: with another hash of D_2, which Git does not hold."""
    lock = root / "dvc.lock"
    lock.write_text(lock.read_text().replace(work_tree(root).md5("data/D_2") or "", "f" * 32 + ".dir"))


def test_it_is_the_commit_that_recorded_the_output_and_not_a_later_one(project: Path) -> None:
    first = git(project, "rev-parse", "HEAD")
    assert code(project) == CodeVersion(first, "main", None, ())
    edit_and_commit(project, "pipeline/prepare/stage.py")
    assert code(project) == CodeVersion(first, None, None, ())


def test_of_several_branches_it_is_the_oldest_commit_with_its_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(project, "branch", "where-it-ran")
    first = git(project, "rev-parse", "HEAD")
    for variable in ("GIT_COMMITTER_DATE", "GIT_AUTHOR_DATE"):
        monkeypatch.setenv(variable, "2098-01-01T00:00:00Z")
    git(project, "commit", "--amend", "-qm", "the same again")
    assert git(project, "rev-parse", "HEAD") != first
    assert code(project) == CodeVersion(first, "where-it-ran", None, ())


def test_an_experiment_is_named_and_dvcs_own_notes_of_it_are_not(project: Path) -> None:
    start = git(project, "rev-parse", "HEAD")
    run_again(project)
    git(project, "commit", "-qam", "experiment")
    made = git(project, "rev-parse", "HEAD")
    for reference in (f"refs/exps/{start[:2]}/{start[2:]}/fuzzy-oxen", "refs/exps/exec/EXEC_APPLY"):
        git(project, "update-ref", reference, made)
    lock = (project / "dvc.lock").read_text()
    git(project, "reset", "-q", "--hard", start)
    (project / "dvc.lock").write_text(lock)
    assert code(project) == CodeVersion(made, "fuzzy-oxen", None, ())


def test_what_no_commit_records_yet_is_told_with_head(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_again(project)
    head = git(project, "rev-parse", "HEAD")
    assert code(project) == CodeVersion(None, None, head, ())
    monkeypatch.chdir(project)
    assert f"code: not committed yet; HEAD is {head}\n" in CliRunner().invoke(command, []).stdout
    agent = json.loads(CliRunner().invoke(command, ["--json"]).stdout)["agent"]["chain:software/redifine"]
    assert (agent["chain:commit"], agent["chain:head"]) == ("not committed yet", head)


def test_a_stash_is_no_run(project: Path) -> None:
    run_again(project)
    git(project, "stash")
    git(project, "stash", "apply")
    assert code(project).commit is None


def test_code_that_was_edited_between_the_run_and_its_commit_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_again(project)
    commit = edit_and_commit(project, "pipeline/prepare/stage.py")
    assert code(project) == CodeVersion(commit, "main", None, ("pipeline/prepare",))
    monkeypatch.chdir(project)
    told = CliRunner().invoke(command, []).stdout
    assert f"code: commit {commit} (main)" in told and "another version than ran of: pipeline/prepare" in told
    agent = json.loads(CliRunner().invoke(command, ["--json"]).stdout)["agent"]["chain:software/redifine"]
    assert (agent["chain:commit"], agent["chain:name"], agent["chain:changed"]) == (commit, "main", "pipeline/prepare")


def test_code_of_head_that_is_not_what_ran_is_named_while_nothing_is_committed(project: Path) -> None:
    head = edit_and_commit(project, "pipeline/prepare/new.py")
    run_again(project)
    assert code(project) == CodeVersion(None, None, head, ("pipeline/prepare",))


def test_without_git_the_work_trees_code_is_held_against_the_record(project: Path) -> None:
    shutil.rmtree(project / ".git")
    assert code(project) == CodeVersion(None, None, None, ())
    os.unlink(project / "pipeline/prepare/stage.py")
    assert code(project) == CodeVersion(None, None, None, ("pipeline/prepare",))


def test_a_real_image_has_no_seed_to_tell(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    assert "(seed" not in CliRunner().invoke(command, ["data/D_0/00001.png"]).stdout
    assert "(seed " in CliRunner().invoke(command, ["data/D_1/00001.png"]).stdout
