"""A chain of four iterations becomes one of two with another cfg: every command knows which k it has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.core.errors import UserError
from pipeline.core.files import sha256_file
from pipeline.versioning.dvc_lock import read_all_stages, read_lock
from pipeline.versioning.leftovers import find_leftovers
from provenance.share.share_project import (
    COMMANDS,
    clone,
    commit,
    dvc,
    finished_project,
    git,
    inside,
    ran,
    redifine,
    set_iterations,
    tree,
)

LEFT = ("data/D_3", "models/M_3", "data/T_3.jsonl", "metrics/3.json", "features/3.safetensors", "traces/3.safetensors")


@pytest.fixture(scope="module")
def shortened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three iterations with cfg 7.5, shared and committed; then two with 2.5, committed too; read only."""
    project = finished_project(tmp_path_factory.mktemp("short") / "world/a")
    redifine(project, "share")
    set_iterations(project, 2, cfg=2.5)
    dvc(project, "repro")
    redifine(project, "share")
    commit(project, "shorter")
    git(project, "push", "--quiet")
    return project


@pytest.fixture
def project(shortened: Path, tmp_path: Path) -> Path:
    shutil.copytree(shortened.parent, tmp_path / "world", symlinks=True)
    return tmp_path / "world/a"


def test_dvc_itself_leaves_them(project: Path) -> None:
    assert (project / "data/D_3").is_dir() and "sample@3" in read_all_stages(project)
    assert {stage.k for stage in read_lock(project).values()} == {None, 1, 2}


def verified(project: Path) -> tuple[int, str]:
    """Exit code of `verify --all` and what it says, without the findings that stand-ins cannot help."""
    with inside(project):
        done = CliRunner().invoke(COMMANDS["verify"], ["--all", "--json"])
    found = json.loads(done.stdout)
    return sum("3" in finding["path"] for finding in found["findings"]), found["leftovers"]


def test_verify_names_leftovers_once_and_finds_nothing_wrong_in_them(project: Path) -> None:
    wrong, said = verified(project)
    assert wrong == 0
    assert said.startswith("iteration 3 is left over: params.yaml lists 1 to 2; 'redifine prune' removes")
    redifine(project, "prune")
    assert verified(project) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("get", "3"),
        ("export", "3", "--to", "folder"),
        ("export", "3", "--to", "lora"),
        ("share", "3"),
        ("lineage", "3"),
        ("lineage", "M_3"),
        ("lineage", "T_3"),
        ("lineage", "data/D_3/00000.png"),
        ("verify", "3"),
        ("get", "3", "--images", "0:1"),
    ],
    ids=" ".join,
)
def test_every_command_says_that_it_is_left_over(project: Path, words: tuple[str, ...]) -> None:
    if words == ("lineage", "data/D_3/00000.png"):  # which the commit before still had in its chain
        assert "D_3" in redifine(project, *words)
        return
    with pytest.raises(UserError, match=r"params\.yaml lists 1 to 2; 'redifine prune'"):
        redifine(project, *words)
    assert not (project / "export").exists()


@pytest.mark.parametrize("words", [("sample", "--k", "3"), ("train", "--k", "3"), ("measure", "--k", "9")], ids=" ".join)
def test_a_stage_of_an_iteration_that_is_not_listed_is_refused(project: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=rf"there is no iteration {words[-1]}: params\.yaml lists 1 to 2"):
        redifine(project, *words)


def test_status_names_them_with_the_command_that_removes_them(project: Path) -> None:
    said = redifine(project, "status")
    assert said.count("left over") == 1 and "k = 3" not in said
    assert json.loads(redifine(project, "status", "--json"))["leftovers"] == [3]
    redifine(project, "prune")
    assert "left over" not in redifine(project, "status")


def test_ls_lists_one_setting_a_run(project: Path) -> None:
    rows = json.loads(redifine(project, "ls", "--json"))
    assert [(row["k"], row["cfg"]) for row in rows if row["experiment"] == "main"] == [(0, None), (1, 2.5), (2, 2.5)]


def test_a_fresh_clone_knows_it_too(project: Path) -> None:
    b = clone(project, "b")
    with pytest.raises(UserError, match="iteration 3 is no part of"):
        redifine(b, "get", "3")
    redifine(b, "get", "2")
    assert tree(b / "data/D_2") == tree(project / "data/D_2")


def test_pruned_iterations_come_back_without_computing(project: Path) -> None:
    """With the cfg that they were made with."""
    said = redifine(project, "prune")
    assert "of k = 3" in said and not any((project / name).exists() for name in LEFT)
    assert find_leftovers(project) is None and "@3" not in (project / "dvc.lock").read_text()
    before = ran(project)
    set_iterations(project, 3, cfg=7.5)
    dvc(project, "repro")
    assert set(ran(project)[len(before) :]) <= {"report"}
    assert (project / "data/D_3").is_dir()


def test_pruning_keeps_what_no_cache_holds(project: Path) -> None:
    image = project / "data/D_3/00001.png"
    image.unlink()
    image.write_bytes(b"painted over")
    digest = sha256_file(image)
    said = redifine(project, "prune")
    assert "data/D_3 stays" in said and sha256_file(image) == digest and not (project / "models/M_3").exists()
    assert find_leftovers(project) is not None
    redifine(project, "prune", "--force")
    assert not image.exists() and find_leftovers(project) is None


def test_nothing_is_left_over_in_a_chain_that_was_never_shortened(finished_chain: Path) -> None:
    assert find_leftovers(finished_chain) is None


def test_a_chain_that_only_grew_or_only_shrank_with_the_same_values_has_its_own(project: Path) -> None:
    set_iterations(project, 5, cfg=2.5)
    assert find_leftovers(project) is None
    set_iterations(project, 1, cfg=2.5)
    assert (found := find_leftovers(project)) is not None and found.ks == (2, 3)
    assert str(found).startswith("iterations 2, 3 are left over: params.yaml lists 1 to 1")
