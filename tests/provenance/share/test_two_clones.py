"""Bar: two clones and one remote. A runs and shares; B goes on from iteration 3; A gets B's iterations; nothing runs twice."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.share import loopback
from provenance.share.share_project import clone, commit, dvc, git, ran, redifine, set_iterations, tree

NEW = {f"{stage}@{k}" for stage in ("curate", "train", "sample", "measure", "analyse") for k in (4, 5)}


def drive(a: Path) -> None:
    """The whole story, with the remote that A's .dvc/config names."""
    redifine(a, "share")
    b = clone(a, "b")
    for local in [a / ".dvc/config.local"]:
        if local.is_file():
            (b / ".dvc/config.local").write_bytes(local.read_bytes())
    redifine(b, "get", "3")
    assert [path.name for path in (b / "data").glob("D_*")] == ["D_3"]
    assert tree(b / "data/D_3") == tree(a / "data/D_3")
    assert tree(b / "models/M_3") == tree(a / "models/M_3")
    set_iterations(b, 5)
    dvc(b, "repro", "--pull", "--allow-missing", "measure", "analyse")
    assert sorted(ran(b)) == sorted(NEW)
    commit(b, "two more")
    redifine(b, "share")
    git(b, "push", "--quiet")
    before = ran(a)
    git(a, "pull", "--quiet")
    redifine(a, "get", "4")
    redifine(a, "get", "5")
    assert tree(a / "data/D_5") == tree(b / "data/D_5")
    dvc(a, "repro", "measure", "analyse")
    assert ran(a) == before
    dvc(a, "repro")
    assert ran(a) == [*before, "report"]


def test_two_clones_share_a_chain_through_a_folder_and_nothing_runs_twice(project: Path) -> None:
    drive(project)


@pytest.fixture
def s3_server(tmp_path: Path) -> Iterator[str]:
    with loopback.s3(tmp_path) as address:
        yield address


@pytest.mark.slow
def test_two_clones_share_a_chain_through_s3_and_nothing_runs_twice(
    project: Path, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/chains", method="PUT")).close()
    options = {"endpointurl": s3_server, "access_key_id": "key-of-a-test", "secret_access_key": "secret-of-a-test",
               "region": "us-east-1"}  # fmt: skip
    redifine(project, "remote", "s3://chains/store", *(word for pair in options.items() for word in ("--set", "=".join(pair))))
    commit(project, "remote")
    git(project, "push", "--quiet")
    assert "of-a-test" not in git(project, "grep", "-h", "", "HEAD", "--", ".dvc")
    drive(project)
    rows = redifine(project, "ls")
    assert "main" in rows
