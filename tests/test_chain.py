"""A whole small chain through DVC: what runs, what does not, and that everything comes back bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.core.files import sha256_file
from pipeline.core.json_files import read_json
from project import ROOT

SMALL = {"prompts": 8, "epochs": 1, "steps": 3, "sample_batch": 4, "neighbours": 3, "trainer": "builtin", "rank": 2}


def dvc(project: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run DVC in the project, with `python` being this one."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=project, env=environment(), capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def redifine(project: Path, *arguments: str) -> str:
    """What a command of the project's own copy of the code prints."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    done = subprocess.run(command, cwd=project, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


def git(project: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=project, check=True, capture_output=True)


def set_params(project: Path, iterations: int | None = None, **values: object) -> None:
    yaml = YAML()
    document = yaml.load(project / "params.yaml")
    document.update(values)
    if iterations is not None:
        document["iterations"] = {str(k): {"prev": k - 1} for k in range(1, iterations + 1)}
    text = project / "params.yaml"
    with text.open("w") as file:
        yaml.dump(document, file)
    # DVC's foreach needs string keys.
    text.write_text("\n".join(_quoted(line) for line in text.read_text().splitlines()) + "\n")


def _quoted(line: str) -> str:
    key = line.strip().rstrip(":").strip("'\"")
    return f'  "{key}":' if line.startswith("  ") and key.isdigit() else line


def new_project(folder: Path, model: Path, iterations: int = 2) -> Path:
    """A copy of this project's code with the tiny model in the miniature's place, committed to Git."""
    folder.mkdir()
    for name in ("pipeline", "presets", "extensions"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore", "raw/README.md", ".dvc/config", ".dvc/.gitignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(model, folder / "models/miniature")
    set_params(folder, iterations, **SMALL)
    git(folder, "init", "--quiet")
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "-m", "start")
    return folder


def outputs(project: Path) -> dict[str, str]:
    """Hash of every file that the chain makes."""
    folders = ("data", "models", "traces", "features", "metrics", "analysis", "report", "plots")
    files = (path for folder in folders for path in (project / folder).rglob("*") if path.is_file())
    return {path.relative_to(project).as_posix(): sha256_file(path) for path in sorted(files)}


def would_run(project: Path) -> set[str]:
    """Stages whose own parameters or inputs have changed; what only follows from their new outputs is not known yet."""
    return running_stages(dvc(project, "repro", "--dry").stdout)


def running_stages(text: str) -> set[str]:
    """Names of the stages that DVC's output says it runs."""
    return {line.split("'")[1] for line in text.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A project whose chain has run once; tests leave it as they found it."""
    project = new_project(tmp_path_factory.mktemp("chain") / "project", tiny_model)
    redifine(project, "repro")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "run")
    return project


def test_the_chain_leaves_a_report_and_a_row_for_dvc_exp_show(finished: Path) -> None:
    assert (finished / "report/index.html").stat().st_size > 10_000
    summary = read_json(finished / "report/summary.json")
    assert {"FID", "recall", "clip_score", "SFD", "collapse_rate"} <= summary.keys()
    table = dvc(finished, "exp", "show", "--csv").stdout.splitlines()
    assert {"FID", "recall", "clip_score", "SFD", "collapse_rate"} <= set(table[0].split(","))


def test_a_second_repro_runs_nothing(finished: Path) -> None:
    assert would_run(finished) == set()


@pytest.mark.parametrize(
    ("change", "rerun", "kept"),
    [
        ({"cfg": 2.5}, {"sample@1", "sample@2", "report"}, {"prepare", "curate@1", "train@1", "reference"}),
        ({"condition_drop": 0.2}, {"train@1", "train@2"}, {"prepare", "curate@1", "reference"}),
        ({"title": "Another"}, {"report"}, {"prepare", "train@1", "sample@1", "train@2", "sample@2", "measure@2", "analyse@2"}),
        ({"neighbours": 4}, {"reference", "measure@1", "report"}, {"prepare", "train@1", "sample@1", "train@2", "sample@2"}),
    ],
    ids=["cfg", "condition_drop", "title", "neighbours"],
)
def test_a_changed_parameter_reruns_its_readers_alone(finished: Path, change: dict, rerun: set[str], kept: set[str]) -> None:
    before = (finished / "params.yaml").read_text()
    try:
        set_params(finished, **change)
        running = would_run(finished)
    finally:
        (finished / "params.yaml").write_text(before)
    assert rerun <= running
    assert not kept & running


def test_an_iteration_fetched_into_another_clone_is_computed_again_byte_for_byte(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "a")
    redifine(tmp_path / "a", "remote", "../store")
    git(tmp_path / "a", "commit", "--all", "--quiet", "-m", "remote")
    redifine(tmp_path / "a", "share")
    git(tmp_path, "clone", "--quiet", "a", "b")
    redifine(tmp_path / "b", "get", "2")
    assert [path.name for path in (tmp_path / "b/data").glob("D_*")] == ["D_2"]
    assert "files byte-equal, 0 within the tolerance, 0 beyond it" in redifine(tmp_path / "b", "verify", "2")
    assert "k = 2    done     done     done     done     done" in redifine(tmp_path / "b", "status")


def test_a_longer_chain_runs_only_the_new_iterations(finished: Path, tmp_path: Path) -> None:
    project = tmp_path / "longer"
    shutil.copytree(finished, project)
    set_params(project, iterations=3)
    assert running_stages(dvc(project, "repro").stdout) == {
        *(f"{stage}@3" for stage in ("curate", "train", "sample", "measure", "analyse")),
        "report",
    }


def test_everything_comes_back_from_the_cache(finished: Path) -> None:
    before = outputs(finished)
    for folder in [
        *(finished / "data").glob("D_*"),
        *(finished / "models").glob("M_*"),
        finished / "traces",
        finished / "metrics",
    ]:
        shutil.rmtree(folder)
    dvc(finished, "checkout")
    assert outputs(finished) == before


def test_every_image_names_the_models_that_made_it(finished: Path) -> None:
    from PIL import Image

    text = Image.open(finished / "data/D_2/00003.png").text["parameters"]
    assert sha256_file(finished / "models/M_2/lora.safetensors")[:10] in text
    assert read_json(finished / "models/M_0/base.json")["sha256"][:10] in text


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [({"cgf": 2.0}, "unknown key 'cgf' (did you mean 'cfg'?)"), ({"cfg": "high"}, "cfg must be a number, got 'high'")],
)
def test_a_wrong_parameter_stops_a_stage_with_one_sentence(finished: Path, edit: dict, sentence: str) -> None:
    before = (finished / "params.yaml").read_text()
    try:
        set_params(finished, **edit)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "curate", "--k", "1"], cwd=finished, capture_output=True, text=True, check=False
        )
    finally:
        (finished / "params.yaml").write_text(before)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["train", "sample"])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path: Path, tiny_model: Path, stage: str) -> None:
    undisturbed = new_project(tmp_path / "a", tiny_model)
    dvc(undisturbed, "repro")
    project = new_project(tmp_path / "b", tiny_model)
    running = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=project,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if f"Running stage '{stage}@2'" in line:
            break
    time.sleep(3)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (project / "report/index.html").exists()
    dvc(project, "repro")
    assert outputs(project) == outputs(undisturbed)
    assert (project / "dvc.lock").read_text() == (undisturbed / "dvc.lock").read_text()


@pytest.mark.slow
def test_a_queue_of_experiments_runs_the_copies_own_code(tmp_path: Path, tiny_model: Path) -> None:
    project = new_project(tmp_path / "queue", tiny_model)
    git(project, "config", "user.name", "Test")
    git(project, "config", "user.email", "test@example.com")
    dvc(project, "repro")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "run")
    dvc(project, "exp", "run", "--queue", "-S", "cfg=1.0,2.5")
    dvc(project, "queue", "start")
    for _ in range(300):
        status = dvc(project, "queue", "status").stdout
        if "Running" not in status and "Queued" not in status:
            break
        time.sleep(2)
    assert status.count("Success") == 2, status
    rows = dvc(project, "exp", "show", "--csv").stdout.splitlines()
    column = rows[0].split(",").index("FID")
    assert len({row.split(",")[column] for row in rows[1:] if row.split(",")[column]}) == 3
