"""The image's recipe agrees with the project: pins, stages, what is sent to the builder, who runs, what is mounted."""

from __future__ import annotations

import configparser
import fnmatch
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from project import ROOT

DOCKER = ROOT / "docker"
TARGETS = ("cpu", "cuda")


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each line of the Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined if line.strip())]


def stages() -> dict[str, list[tuple[str, str]]]:
    """{stage: its instructions}, FROM among them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            found[rest.split(" AS ")[1]] = []
        if found:
            list(found.values())[-1].append((word, rest))
    return found


def arguments() -> dict[str, str]:
    return dict(rest.split("=", 1) for word, rest in instructions() if word == "ARG" and "=" in rest)


@pytest.fixture
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docker_check", DOCKER / "check.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, env=known | environment)


def git(folder: Path, *command: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e@x", "-c", "uploadpack.allowFilter=true")
    done = run("git", "-C", folder, *who, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_stage_starts_from_an_earlier_one_or_from_an_image_of_one_date() -> None:
    seen: list[str] = []
    for name, lines in stages().items():
        source = lines[0][1].split(" AS ")[0]
        assert source in seen or re.fullmatch(
            r"debian:bookworm-[0-9]{8}-slim", source.replace("${DEBIAN}", arguments()["DEBIAN"])
        )
        seen.append(name)
    assert {"cpu", "cuda"} <= set(seen)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_ends_without_rights_and_after_comparing_itself_with_the_lock(target: str) -> None:
    lines = stages()[target]
    user = next(rest for word, rest in reversed(lines) if word == "USER")
    assert user.isdecimal() and int(user) > 0
    assert lines[-1] == ("USER", user)
    assert ("RUN", f"docker/install.sh docker/requirements-{target}.lock") in lines
    assert 'check.py requirements.lock "$@"' in (DOCKER / "install.sh").read_text()


def test_sd_scripts_is_the_submodule_at_its_pin() -> None:
    recorded = run("git", "-C", ROOT, "ls-files", "--stage", "vendor/sd-scripts").stdout.split()
    if not recorded:
        pytest.skip("no Git checkout")
    modules = configparser.ConfigParser()
    modules.read(ROOT / ".gitmodules")
    assert arguments()["SD_SCRIPTS_PIN"] == recorded[1]
    assert arguments()["SD_SCRIPTS_URL"] == modules['submodule "vendor/sd-scripts"']["url"]


@pytest.fixture
def locked(check: ModuleType) -> dict[str, dict[str, str]]:
    """{"" for the project's lock, or a target: {package: version}}."""
    files = {"": ROOT / "requirements.lock"} | {target: DOCKER / f"requirements-{target}.lock" for target in TARGETS}
    return {target: check.pins(path.read_text().splitlines()) for target, path in files.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_a_targets_lock_repeats_nothing_of_the_projects(target: str, locked: dict[str, dict[str, str]]) -> None:
    assert not {name.lower() for name in locked[""]} & {name.lower() for name in locked[target]}


def test_the_cuda_lock_has_what_cuda_needs(locked: dict[str, dict[str, str]]) -> None:
    extras = [line for line in (ROOT / "requirements-cuda.in").read_text().splitlines() if line and not line.startswith("#")]
    assert {re.split("[=<>]", line)[0].strip() for line in extras} <= locked["cuda"].keys()
    assert {"triton", "nvidia-cuda-runtime", "nvidia-cudnn-cu13"} <= locked["cuda"].keys()


def test_images_have_the_tagger_at_the_version_of_the_extra(check: ModuleType, locked: dict[str, dict[str, str]]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = check.pins(extras["tagger"])
    assert wanted.items() <= locked["cpu"].items()
    on_gpu = {name.replace("onnxruntime", "onnxruntime-gpu"): pin for name, pin in wanted.items()}
    assert on_gpu.items() <= locked["cuda"].items()
    # Both fill the folder `onnxruntime`: of two installed ones the last would win.
    assert "onnxruntime" not in locked["cuda"]


def test_a_package_that_is_missing_or_of_another_version_is_named(check: ModuleType, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(f"# comment\nclick==0.0.1\nno-such-package==1.0\npytest=={version('pytest')}+local  # a build's own\n")
    done = run(sys.executable, DOCKER / "check.py", lock)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"click is {version('click')}, the lock has 0.0.1", "no-such-package is not installed, the lock has 1.0",
    ]  # fmt: skip
    assert done.stdout.startswith("1 of 3 packages as pinned")
    with pytest.raises(ValueError, match="'torch>=2' pins no version"):
        check.pins(["torch>=2"])


def ignored(path: str) -> bool:
    """Docker's rule: the last line of the .dockerignore that matches the path or a folder above it decides."""
    lines = [line for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line and line[0] != "#"]
    folders = ["/".join(path.split("/")[: i + 1]) for i in range(path.count("/") + 1)]
    verdict = False
    for line in lines:
        pattern = line.removeprefix("!")
        plain = [folder for folder in folders if fnmatch.fnmatchcase(folder, pattern)]
        anywhere = pattern.startswith("**/") and any(fnmatch.fnmatchcase(f.split("/")[-1], pattern[3:]) for f in folders)
        if plain or anywhere:
            verdict = not line.startswith("!")
    return verdict


def test_the_builder_gets_the_project_and_neither_data_nor_secrets() -> None:
    tracked = run("git", "-C", ROOT, "ls-files").stdout.splitlines()
    needed = (
        "pipeline/",
        "models/miniature/",
        "presets/",
        "extensions/",
        "docker/",
        "params.yaml",
        "dvc.yaml",
        "requirements",
        ".dvc/config",
        "data/",
    )
    assert tracked and [path for path in tracked if path.startswith(needed) and ignored(path)] == []
    assert not ignored("vendor/sd-scripts/train_network.py")
    kept_out = (".git/config", ".dvc/config.local", ".dvc/cache/files/md5/00/1", ".env", "raw/me.png",
                "data/D_0/00000.png",
                "models/M_1/lora.safetensors", "models/base/sd15/unet/config.json", ".venv/bin/python", "scratch/rehearsal/x",
                "pipeline/__pycache__/cli.pyc", "logs/train_1.log")  # fmt: skip
    assert [path for path in kept_out if not ignored(path)] == []


def test_what_is_copied_is_sent_to_the_builder() -> None:
    for word, rest in instructions():
        if word == "COPY" and "--from=" not in rest:
            *sources, _ = (part for part in rest.split() if not part.startswith("--"))
            for source in sources:
                assert source == "." or (source == "vendor" and not ignored("vendor/sd-scripts")) or not ignored(source), source
                assert source == "." or (ROOT / source).exists()


@pytest.fixture
def upstream(tmp_path: Path) -> tuple[Path, str, str]:
    """A repository in sd-scripts' place, its pin, and a later commit."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "config", "uploadpack.allowFilter", "true")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    for name in ("train_network.py", "configs/large.json", "library/a.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("first\n")
    commits = []
    for text in ("first", "second"):
        (folder / "library/a.py").write_text(text + "\n")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", text)
        commits.append(git(folder, "rev-parse", "HEAD"))
    return folder, commits[0], commits[1]


def test_sd_scripts_is_fetched_at_its_pin_without_its_large_folders(tmp_path: Path, upstream: tuple[Path, str, str]) -> None:
    repository, pin, _ = upstream
    place = tmp_path / "vendor/sd-scripts"
    place.mkdir(parents=True)
    done = run(DOCKER / "sd-scripts.sh", place, f"file://{repository}", pin)
    assert done.returncode == 0, done.stderr
    assert (place / "library/a.py").read_text() == "first\n" and not (place / "configs").exists()
    assert git(place, "rev-parse", "HEAD") == pin


def test_a_submodule_that_came_along_is_kept_at_the_pin_and_refused_elsewhere(
    tmp_path: Path, upstream: tuple[Path, str, str]
) -> None:
    repository, pin, later = upstream
    (repository / "here").write_text("as it came")
    assert run(DOCKER / "sd-scripts.sh", repository, "file:///nowhere", later).returncode == 0
    assert (repository / "here").exists()
    done = run(DOCKER / "sd-scripts.sh", repository, "file:///nowhere", pin)
    assert done.returncode == 1 and f"is at {later}, its pin is {pin}: run 'make vendor'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["repro", "train@1"], "redifine repro train@1"),
        (["sample", "--k", "1"], "redifine sample --k 1"),
        (["dvc", "exp", "show"], "dvc exp show"),
        (["python", "-m", "pytest"], "python -m pytest"),
        ([], "redifine --help"),
    ],
)
def test_the_entry_point_runs_tools_as_they_are_and_the_rest_as_redifine(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    for name in ("redifine", "dvc", "python"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$(basename "$0")" "$@"\n')
        (tmp_path / name).chmod(0o755)
    done = run("sh", DOCKER / "entrypoint.sh", *arguments, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.stdout.strip() == expected


def test_hadolint_finds_nothing() -> None:
    place = ROOT / "scratch/lint/bin/hadolint"
    found = str(place) if place.is_file() else shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint is not here: make docker-check")
    done = run(found, "--config", DOCKER / "hadolint.yaml", DOCKER / "Dockerfile")
    assert done.returncode == 0, done.stdout
