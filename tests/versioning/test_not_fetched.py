"""After `redifine get K` the audit tells what was never fetched in one line; what was lost is a finding all the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.verify import verify as command
from pipeline.core.errors import UserError
from pipeline.provenance.share import sharing
from pipeline.provenance.verify.audit import Audit, audit
from pipeline.versioning.dvc_lock import read_lock
from pipeline.versioning.hashes import cache_folder, read_listing
from provenance.verify.recorded import git, record_with_dvc, write_recorded_chain


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of two iterations that was shared on a folder, and beside it a clone in which nothing is; read only."""
    world = tmp_path_factory.mktemp("world")
    root = world / "a"
    write_recorded_chain(root)
    record_with_dvc(root)
    (world / "store").mkdir()
    (root / ".dvc/config").write_text("[core]\n    remote = near\n['remote \"near\"']\n    url = ../../store\n")
    git(root, "commit", "-qam", "remote")
    sharing.share(root, [], None, False, None, "origin")
    git(world, "clone", "-q", "a", "b")
    return world / "b"


@pytest.fixture
def clone(shared: Path, tmp_path: Path) -> Path:
    shutil.copytree(shared.parent, tmp_path / "world", symlinks=True)
    return tmp_path / "world/b"


def get(clone: Path, k: int) -> None:
    sharing.get(clone, k, None, False, None, "origin")


def named(found: Audit) -> dict[str, str]:
    return {finding.path: finding.kind for finding in found.findings}


def uncache(clone: Path, path: str) -> None:
    """Remove a file of D_2 from the cache."""
    folder, _, name = path.rpartition("/")
    cache = cache_folder(clone)
    assert cache is not None
    md5 = (read_listing(cache, next(i.md5 for i in read_lock(clone)["sample@2"].outs if i.path == folder)) or {})[name]
    (cache / md5[:2] / md5[2:]).unlink()


def test_a_record_that_git_holds_and_that_is_gone_is_a_finding(clone: Path) -> None:
    get(clone, 2)
    (clone / "dvc.lock").unlink()
    assert named(audit(clone))["dvc.lock"] == "missing"


def test_what_was_never_fetched_is_one_line_and_no_finding(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    get(clone, 2)
    found = audit(clone)
    assert found.findings == ()
    assert {"data/D_0", "data/D_1", "models/M_1", "metrics/1.json"} <= set(found.not_fetched)
    assert not {"data/D_2", "models/M_0", "metrics/0.json", "data/prompts.jsonl"} & set(found.not_fetched)
    monkeypatch.chdir(clone)
    told = CliRunner().invoke(command, ["--all"])
    line, total = told.stdout.splitlines()
    assert line == (
        "not fetched: iterations 1, parts of 0; 'redifine get 1' fetches iteration 1, 'dvc pull' all that stages made"
    )
    assert told.exit_code == 0 and total.endswith("all as recorded")
    assert json.loads(CliRunner().invoke(command, ["--all", "--json"]).stdout)["holds"]


def test_when_all_is_here_nothing_is_told(clone: Path) -> None:
    for k in (0, 1, 2):
        get(clone, k)
    assert (audit(clone).findings, audit(clone).not_fetched, audit(clone).note) == ((), (), "")


@pytest.mark.parametrize("lost", ["data/D_2/00003.png", "models/M_2/lora.safetensors", "metrics/2.json"])
def test_a_file_that_was_fetched_and_deleted_is_missing(clone: Path, lost: str) -> None:
    get(clone, 2)
    (clone / lost).unlink()
    assert named(audit(clone)) == {lost: "missing"}


def test_a_whole_output_that_was_fetched_and_deleted_is_missing(clone: Path) -> None:
    get(clone, 2)
    shutil.rmtree(clone / "data/D_2")
    assert named(audit(clone))["data/D_2"] == "missing"
    assert "data/D_2" not in audit(clone).not_fetched


def test_a_file_that_is_lost_in_the_cache_too_is_missing_from_a_set_that_was_fetched_whole(clone: Path) -> None:
    get(clone, 2)
    (clone / "data/D_2/00003.png").unlink()
    uncache(clone, "data/D_2/00003.png")
    assert named(audit(clone)) == {"data/D_2/00003.png": "missing"}


def test_the_images_that_get_left_out_are_no_findings_and_the_others_are(clone: Path) -> None:
    sharing.get_images(clone, 2, slice(1, 3), False, None)
    found = audit(clone)
    assert found.findings == () and "parts of 2" in found.note
    assert {"data/D_2/00000.png", "data/D_2/00004.png", "models/M_2"} <= set(found.not_fetched)
    assert not {"data/D_2", "data/D_2/00001.png"} & set(found.not_fetched)
    (clone / "data/D_2/00001.png").unlink()
    assert named(audit(clone)) == {"data/D_2/00001.png": "missing"}


@pytest.mark.parametrize("how", ["the iteration", "all of its images"])
def test_a_set_that_was_completed_is_whole_again(clone: Path, how: str) -> None:
    sharing.get_images(clone, 2, slice(1, 3), False, None)
    if how == "the iteration":
        get(clone, 2)
    else:
        sharing.get_images(clone, 2, slice(0, 5), False, None)
    (clone / "data/D_2/00004.png").unlink()
    uncache(clone, "data/D_2/00004.png")
    assert "data/D_2/00004.png" in named(audit(clone))


def test_a_clone_in_which_nothing_is_says_how_to_get_it(clone: Path) -> None:
    with pytest.raises(UserError, match="holds no image set and no model yet; 'redifine get K' fetches an iteration"):
        audit(clone)


def test_a_committed_file_that_is_gone_is_missing_though_no_cache_has_it(clone: Path) -> None:
    get(clone, 2)
    shutil.rmtree(clone / "models/tiny")
    assert all(path.startswith("models/tiny") for path in named(audit(clone)))
    assert named(audit(clone)) and "models/tiny" not in audit(clone).not_fetched


def test_a_base_model_that_neither_git_nor_dvc_keeps_need_not_be_here(clone: Path) -> None:
    get(clone, 2)
    git(clone, "rm", "-rq", "models/tiny")
    git(clone, "commit", "-qm", "the base model is fetched from elsewhere")
    found = audit(clone)
    assert found.findings == () and "models/tiny (no stage makes it)" in found.note


def test_images_of_a_partial_set_are_asked_for_before_anything_is_drawn(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.cli.application import main

    sharing.get_images(clone, 2, slice(0, 1), False, None)
    monkeypatch.chdir(clone)
    told = CliRunner().invoke(main, ["verify", "2", "--images", "0"])
    assert told.exit_code == 2 and "'dvc pull models/M_2 models/M_0 data/prompts.jsonl'" in told.stderr
    get(clone, 0)
    get_model(clone)
    told = CliRunner().invoke(main, ["verify", "2", "--images", "0,1,3"])
    assert told.exit_code == 2
    assert "2 of the 3 images of D_2 that are to be compared are not here" in told.stderr
    assert "'redifine get 2 --images 1:4' fetches them" in told.stderr


def get_model(clone: Path) -> None:
    from pipeline.provenance.share import transfer

    transfer.pull(clone, ["models/M_2", "data/T_2.jsonl", "traces/2.safetensors"], None, False)


def test_a_whole_iteration_is_not_computed_against_a_partial_set(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.cli.application import main

    sharing.get_images(clone, 2, slice(0, 2), False, None)
    get_model(clone)
    monkeypatch.chdir(clone)
    told = CliRunner().invoke(main, ["verify", "2"])
    assert (
        told.exit_code == 2 and "3 of the 5 images of D_2 that are to be compared are not here; 'redifine get 2'" in told.stderr
    )
