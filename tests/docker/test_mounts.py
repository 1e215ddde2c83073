"""What a container mounts: links that hold outside it too, volumes that any user may write, nothing that the engine makes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from ruamel.yaml import YAML

from project import ROOT

DOCKER = ROOT / "docker"
TARGETS = {"cpu", "cuda"}


def compose(name: str = "compose.yaml") -> dict:
    return YAML(typ="safe").load(DOCKER / name)


def targets(service: dict) -> list[str]:
    """Where a service's volumes are mounted in the container."""
    return [entry["target"] if isinstance(entry, dict) else entry.rpartition(":")[2] for entry in service["volumes"]]


def named(service: dict) -> list[str]:
    """Where the volumes are mounted that the engine makes; the others are folders of the host."""
    return [entry.rpartition(":")[2] for entry in service["volumes"] if isinstance(entry, str)]


@pytest.fixture
def recipe() -> str:
    """The Dockerfile with its continued lines joined."""
    return re.sub(r"\\\n\s*", "", (DOCKER / "Dockerfile").read_text())


@pytest.fixture
def environment(recipe: str) -> dict[str, str]:
    lines = re.findall(r"^ENV (.+)$", recipe, re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def test_services_are_the_targets_and_only_cuda_reserves_gpus() -> None:
    services = compose()["services"]
    assert services.keys() == TARGETS
    for name, service in services.items():
        assert service["build"] == {"context": "..", "dockerfile": "docker/Dockerfile", "target": name}
        assert service["image"] == f"redifine:{name}" and not service["user"].startswith("0")
    (device,) = services["cuda"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    assert "deploy" not in services["cpu"]


def test_checkout_models_kernels_and_remote_are_mounted_where_the_image_looks(recipe: str, environment: dict[str, str]) -> None:
    (workdir,) = re.findall(r"^WORKDIR (.+)$", recipe, re.MULTILINE)
    for service in compose()["services"].values():
        assert targets(service)[0] == workdir
        assert {environment["HF_HOME"], "/remote"} <= set(named(service))
        for compiled in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
            assert any(PurePosixPath(environment[compiled]).is_relative_to(place) for place in named(service)), compiled


def test_data_and_cache_are_in_one_mount() -> None:
    """Else DVC, which links within one mount alone, would have to copy every image."""
    for service in compose()["services"].values():
        project, *others = targets(service)
        assert not [place for place in others if PurePosixPath(place).is_relative_to(project)]


def test_another_place_for_data_is_for_both_targets_and_must_be_named() -> None:
    services, mounted = compose("compose.data.yaml")["services"], targets(compose()["services"]["cpu"])
    assert services.keys() == TARGETS
    for service in services.values():
        assert service.keys() == {"volumes"} and targets(service) == [f"{mounted[0]}/data"]
        assert service["volumes"][0]["source"].startswith("${REDIFINE_DATA:?")


@pytest.mark.parametrize("name", ["compose.yaml", "compose.data.yaml"])
def test_the_engine_makes_no_folder_of_the_host(name: str) -> None:
    for service in compose(name)["services"].values():
        folders = [entry for entry in service["volumes"] if isinstance(entry, dict)]
        assert folders and all(entry["bind"] == {"create_host_path": False} for entry in folders)


def test_whoever_runs_the_container_may_write_to_its_volumes(recipe: str) -> None:
    """An engine gives a new volume the mode of the folder that it is mounted on."""
    made = re.search(r"mkdir -p ([^&]+)", recipe)
    opened = re.search(r"chmod 1777 ([^&\n]+)", recipe)
    assert made and opened
    for service in compose()["services"].values():
        assert set(named(service)) <= set(opened[1].split()) & set(made[1].split())


def test_where_files_cannot_be_linked_dvc_copies_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbolic link into the cache would hold the container's path, and lead nowhere outside it."""
    from dvc.repo import Repo

    def elsewhere(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    Repo.init(no_scm=True).close()
    config = (ROOT / ".dvc/config").read_text()
    (tmp_path / ".dvc/config").write_text(config.replace("[core]", "[core]\n    no_scm = true"))
    image = tmp_path / "data/00000.png"
    image.parent.mkdir()
    image.write_bytes(b"an image")
    monkeypatch.setattr(os, "link", elsewhere)
    with Repo() as repo:
        repo.add("data")
        shutil.rmtree(image.parent)
        repo.checkout()
    assert image.read_bytes() == b"an image" and not image.is_symlink()


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A `docker` that notes its arguments, the user it is told and the folders that are there when it is called."""
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin/docker"
    tool.write_text('#!/bin/sh\n{ echo "$@"; echo "$REDIFINE_UID:$REDIFINE_GID"; ls -d */; } > call\n')
    tool.chmod(0o755)
    return tmp_path / "call"


@pytest.mark.parametrize("big", [False, True], ids=["data in the checkout", "data elsewhere"])
def test_docker_repro_is_the_callers_and_makes_the_folders_before_the_engine_would(call: Path, big: bool) -> None:
    where = call.parent
    command = ["make", "--file", str(ROOT / "Makefile"), "docker-repro", "TARGET=cuda"]
    command += [f"REDIFINE_DATA={where}/big disk"] if big else []
    path = f"{where / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(command, cwd=where, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    arguments, user, *folders = call.read_text().splitlines()
    files = "--file docker/compose.yaml" + (" --file docker/compose.data.yaml" if big else "")
    assert arguments == f"compose {files} run --rm cuda repro"
    assert user == f"{os.getuid()}:{os.getgid()}"
    assert folders == (["big disk/"] if big else []) + ["bin/", "data/"]


def test_make_env_cuda_takes_the_versions_of_the_image() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--assume-old", ".venv/.ready", "env-cuda"], cwd=ROOT, capture_output=True, text=True
    )
    constraints = {ROOT / name for name in re.findall(r"--constraint (\S+)", done.stdout)}
    assert constraints == {ROOT / "requirements.lock", DOCKER / "requirements-cuda.lock"}
    assert all(path.is_file() for path in constraints)


def test_compose_files_are_as_the_specification_has_them() -> None:
    lint = ROOT / "scratch/lint"
    if not (lint / "check_jsonschema").is_dir():
        pytest.skip("the compose schema is not here: make docker-check")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    files = sorted(map(str, DOCKER.glob("compose*.yaml")))
    done = subprocess.run([*command, *files], env=os.environ | {"PYTHONPATH": str(lint)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
