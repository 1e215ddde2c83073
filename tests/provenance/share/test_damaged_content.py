"""Content that is not what its hash says is neither sent nor taken: DVC itself compares nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.core.errors import UserError
from provenance.share.share_project import clone, redifine


def flip(path: Path) -> bytes:
    """Change one bit of a file, as a disk does, its rights left as they are -> what it held."""
    before, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    path.chmod(mode)
    return before


def held(store: Path, project: Path, path: str) -> Path:
    """The object of a recorded file in a cache or in a folder remote."""
    stages = YAML(typ="safe").load(project / "dvc.lock")["stages"].values()
    md5 = next(out["md5"] for stage in stages for out in stage.get("outs", []) if out["path"] == path)
    return store / "files/md5" / md5[:2] / md5[2:]


def test_a_flipped_bit_in_the_cache_is_not_sent(project: Path) -> None:
    object_ = held(project / ".dvc/cache", project, "data/T_2.jsonl")
    before = flip(object_)
    with pytest.raises(
        UserError, match=r"cache holds other bytes than dvc.lock records for data/T_2.jsonl, so nothing was sent"
    ):
        redifine(project, "share")
    assert not (project.parent / "store").exists() or not held(project.parent / "store", project, "data/T_2.jsonl").exists()
    object_.write_bytes(before)
    redifine(project, "share")


def test_a_flipped_bit_in_the_remote_reaches_no_work_tree(project: Path) -> None:
    redifine(project, "share")
    object_ = held(project.parent / "store", project, "data/T_2.jsonl")
    before = flip(object_)
    b = clone(project, "b")
    with pytest.raises(
        UserError, match=r"holds other bytes than dvc.lock records for data/T_2.jsonl, and none of this was put"
    ):
        redifine(b, "get", "2")
    assert not (b / "data/D_2").exists() and not (b / "data/T_2.jsonl").exists()
    object_.write_bytes(before)
    redifine(b, "get", "2")
    assert (b / "data/T_2.jsonl").read_bytes() == before
