"""Modules of a commit against the hashes of those that ran: files and folders, as Git holds them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.versioning.changed_code import changed_code, changed_code_at
from pipeline.versioning.dvc_lock import PathEntry, StageEntry
from pipeline.versioning.git import committed_files
from provenance.verify.recorded import git

FILES = {"pipeline/one.py": b"one\n\n", "pipeline/train/a.py": b"", "pipeline/train/deep/b.py": b"caf\xc3\xa9 \x00\xff\r\n"}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


LIST = (
    f'[{{"md5": "{md5(FILES["pipeline/train/a.py"])}", "relpath": "a.py"}}, '
    f'{{"md5": "{md5(FILES["pipeline/train/deep/b.py"])}", "relpath": "deep/b.py"}}]'
)
RAN = (PathEntry("pipeline/one.py", md5(FILES["pipeline/one.py"])), PathEntry("pipeline/train", f"{md5(LIST.encode())}.dir"))
STAGES = {"train@1": StageEntry("train@1", "", (*RAN, PathEntry("data/D_0", "0" * 32)), (), {})}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "core.autocrlf", "false")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "code")
    return tmp_path


def test_a_commit_gives_its_files_byte_for_byte(project: Path) -> None:
    assert committed_files(project, "HEAD", ["pipeline/one.py", "pipeline/train", "none"]) == FILES
    assert committed_files(project, "HEAD", []) == {}
    assert committed_files(project, "no-such-commit", ["pipeline"]) == {}


def test_the_modules_that_ran_are_those_of_their_commit_whatever_the_work_tree_holds(project: Path) -> None:
    (project / "pipeline/one.py").unlink()
    (project / "pipeline/train/new.py").write_text("")
    assert changed_code_at(project, "HEAD", STAGES) == []
    assert changed_code(project, STAGES) == ["pipeline/one.py", "pipeline/train"]


def test_a_module_that_the_commit_holds_otherwise_or_not_at_all_is_named(project: Path) -> None:
    git(project, "rm", "-q", "pipeline/one.py")
    (project / "pipeline/train/deep/b.py").write_bytes(b"other")
    git(project, "commit", "-qam", "edit")
    assert changed_code_at(project, "HEAD", STAGES) == ["pipeline/one.py", "pipeline/train"]
    assert changed_code_at(project, "HEAD~1", STAGES) == []
