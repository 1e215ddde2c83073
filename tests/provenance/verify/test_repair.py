"""What was written through a hard link into DVC's cache: it is named, taken out, and the recorded bytes come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.core.files import cache_path
from pipeline.versioning.dvc_lock import read_lock
from pipeline.versioning.hashes import digest_file
from project import ROOT
from provenance.verify.recorded import record_with_dvc, write_recorded_chain
from test_chain import dvc, environment, git, new_project, redifine

CACHE = Path(".dvc/cache/files/md5")
IMAGE, TRACE = "data/D_1/00003.png", "traces/1.safetensors"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recorded") / "chain"
    write_recorded_chain(root)
    record_with_dvc(root)
    dvc(root, "config", "cache.type", "hardlink,copy")
    return root


@pytest.fixture
def linked(recorded: Path, tmp_path: Path) -> Path:
    """A chain of which the sets and models are hard links into the cache."""
    chain = Path(shutil.copytree(recorded, tmp_path / "chain"))
    for name in ("data", "models/M_0", "models/M_1", "models/M_2", "traces", "features", "metrics", "analysis"):
        shutil.rmtree(chain / name)
    dvc(chain, "checkout", "--relink")
    assert (chain / IMAGE).stat().st_nlink == 2
    return chain


def run(chain: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = environment() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=chain, env=variables, capture_output=True, text=True, check=False)


def damage(path: Path) -> None:
    """Write into a file in place, as root can into a read-only one."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    path.chmod(0o444)


def md5_of(chain: Path, path: str) -> str:
    digest = digest_file(chain / path)
    assert digest is not None
    return digest.md5


@pytest.mark.parametrize("path", [IMAGE, "models/M_1/lora.safetensors", "metrics/1.json", "data/T_1.jsonl"])
def test_an_object_changed_through_its_link_is_named_and_comes_back_from_the_remote(linked: Path, path: str) -> None:
    dvc(linked, "remote", "add", "-d", "shared", "../shared")
    dvc(linked, "push")
    md5 = md5_of(linked, path)
    damage(linked / path)
    told = run(linked, "verify", "--all")
    assert told.returncode == 1
    assert f"{CACHE / md5[:2] / md5[2:]}: damaged: DVC's own copy of {path}" in told.stdout and "--repair" in told.stdout
    mended = run(linked, "verify", "--all", "--repair")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert f"{path}: from the remote shared" in mended.stderr
    assert md5_of(linked, path) == md5 == md5_of(linked, str(CACHE / md5[:2] / md5[2:]))
    assert not dvc(linked, "checkout").stderr and md5_of(linked, path) == md5


def test_an_object_that_alone_is_damaged_comes_back_from_the_work_tree(linked: Path) -> None:
    md5 = md5_of(linked, IMAGE)
    shutil.copy(linked / IMAGE, linked / "copy.png")
    (linked / IMAGE).unlink()
    (linked / "copy.png").rename(linked / IMAGE)
    damage(cache_path(linked / CACHE, md5))
    assert run(linked, "verify", "--all").returncode == 1
    mended = run(linked, "verify", "--all", "--repair")
    assert mended.returncode == 0 and f"{IMAGE}: from the work tree" in mended.stderr
    assert md5_of(linked, str(CACHE / md5[:2] / md5[2:])) == md5


def test_a_damaged_list_of_a_folder_and_a_file_of_it_come_back(linked: Path) -> None:
    dvc(linked, "remote", "add", "-d", "shared", "../shared")
    dvc(linked, "push")
    listing = read_lock(linked)["sample@1"].outs[0].md5
    md5 = md5_of(linked, IMAGE)
    damage(cache_path(linked / CACHE, listing))
    damage(linked / IMAGE)
    assert run(linked, "verify", "--all").returncode == 1
    mended = run(linked, "verify", "--all", "--repair")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert md5_of(linked, IMAGE) == md5 and md5_of(linked, str(CACHE / listing[:2] / listing[2:])) + ".dir" == listing


def test_what_is_nowhere_is_said_and_nothing_else_is_touched(linked: Path) -> None:
    before = {path: path.read_bytes() for path in (linked / "data/D_2").iterdir()}
    damage(linked / IMAGE)
    changed = (linked / IMAGE).read_bytes()
    left = run(linked, "verify", "--all", "--repair")
    assert left.returncode == 1 and "out of the cache" in left.stderr
    assert (linked / IMAGE).read_bytes() == changed
    assert {path: path.read_bytes() for path in (linked / "data/D_2").iterdir()} == before


def test_what_was_never_fetched_is_left_alone(linked: Path) -> None:
    for place in ("data/D_2", "models/M_2"):
        shutil.rmtree(linked / place)
    with Repo(str(linked)) as repo:
        for out in repo.index.outs:
            if out.def_path in ("data/D_2", "models/M_2"):
                for _, _, info in out.get_obj():
                    cache_path(linked / CACHE, info.value).unlink(missing_ok=True)
    done = run(linked, "verify", "--all", "--repair")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (linked / "data/D_2").exists()


@pytest.mark.slow
def test_a_run_does_not_trust_what_was_written_to_and_a_stage_computes_it_again(tmp_path: Path, tiny_model: Path) -> None:
    project = new_project(tmp_path / "p", tiny_model, iterations=1)
    redifine(project, "repro")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "run")
    recorded = {
        path: md5_of(project, path) for path in ("data/D_1/00000.png", "models/M_1/lora.safetensors", "metrics/1.json", TRACE)
    }
    shutil.rmtree(project / "data/D_1")
    shutil.rmtree(project / "models/M_1")
    dvc(project, "checkout")
    for path in recorded.keys() - {"metrics/1.json"}:
        damage(project / path)
    dvc(project, "repro")  # which takes the damage for the recorded bytes
    assert "nothing left to do" in redifine(project, "status") and "was written to" in redifine(project, "status")
    redifine(project, "repro")
    assert {path: md5_of(project, path) for path in recorded} == recorded
    damage(project / "metrics/1.json")
    mended = redifine(project, "verify", "--all", "--repair")
    assert "all as recorded" in mended and md5_of(project, "metrics/1.json") == recorded["metrics/1.json"]
    assert "was written to" not in redifine(project, "status")
