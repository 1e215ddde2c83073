"""What DVC leaves out of a folder's hash, our own hashes of folders leave out."""

from __future__ import annotations

from pipeline.versioning.hashes import IGNORED
from project import ROOT


def test_ignored_names_are_those_of_dvcignore() -> None:
    lines = (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines()
    assert set(IGNORED) == {line.rstrip("/") for line in lines if line and not line.startswith("#")}
