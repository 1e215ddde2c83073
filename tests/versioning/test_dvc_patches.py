"""Reflinks that DVC makes in our commands are whole as soon as they have their name."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
from dvc_objects.fs import system

from pipeline.versioning.dvc_patches import patch_dvc


@pytest.fixture
def object_and_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A file in the cache and where it shall be linked, with DVC's reflink changed for one test."""
    monkeypatch.setattr(system, "reflink", system.reflink)
    patch_dvc()
    patch_dvc()
    source, place = tmp_path / "object", tmp_path / "tree/T_1.jsonl"
    source.write_bytes(b"all of it")
    place.parent.mkdir()
    return source, place


def test_a_link_has_its_name_when_it_is_whole(object_and_place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, place = object_and_place
    seen = []

    def share(target: int, request: int, content: int) -> None:
        seen.append(place.exists())
        os.write(target, os.read(content, 100))

    monkeypatch.setattr(fcntl, "ioctl", share)
    system.reflink(str(source), str(place))
    assert (seen, place.read_bytes()) == ([False], b"all of it")
    assert list(place.parent.iterdir()) == [place]


def test_where_there_are_no_reflinks_nothing_ever_has_the_name(
    object_and_place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, place = object_and_place
    seen = []

    def refuse(*_: int) -> None:
        seen.append(place.exists())
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    with pytest.raises(OSError, match="not here"):
        system.reflink(str(source), str(place))
    assert seen == [False]
    assert list(place.parent.iterdir()) == []
