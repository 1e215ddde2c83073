"""A VAE whose files change under a chain: DVC does not see it, so everything that would go on with it says so first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from pipeline.chain import params
from pipeline.chain.params import View
from pipeline.chain.paths import Layout
from pipeline.cli.application import main
from pipeline.core.errors import UserError
from pipeline.inputs.base_models.identity import changed_vae
from pipeline.prepare import stage
from pipeline.train import stage as training
from pipeline.versioning.experiment_checks import check_settings
from project import ROOT
from test_chain import dvc, git, new_project, redifine, running_stages, set_params
from train.train_project import view as train_view
from train.train_project import write_project

REFUSED = "v is not the VAE that models/M_0/base.json records; .*'dvc repro --force prepare'"


def scale(vae: Path, factor: float = 1.05) -> None:
    """Change every weight of a VAE in place."""
    file = vae / "diffusion_pytorch_model.safetensors"
    save_file({name: np.asarray(tensor * factor, tensor.dtype) for name, tensor in load_file(file).items()}, file)


@pytest.fixture
def root(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of which `prepare` has run with the VAE in v, in Git; also the working directory."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(tiny_model, tmp_path / "m")
    shutil.copytree(tiny_model / "vae", tmp_path / "v")
    (tmp_path / "raw").mkdir()
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["set", "model=m", "vae=v", "prompts=2"]).exit_code == 0
    stage.run(View(params.load(), "prepare"), Layout())
    return tmp_path


def test_the_vae_as_recorded_is_no_change(root: Path) -> None:
    assert changed_vae("m", "v") is None


CHANGES: dict[str, Callable[[], object]] = {
    "weights": lambda: scale(Path("v")),
    "a file less": lambda: Path("v/config.json").unlink(),
    "a file more": lambda: Path("v/other.json").write_text("{}"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_every_change_of_its_files_is_one(root: Path, change: Callable[[], object]) -> None:
    change()
    with pytest.raises(UserError, match=REFUSED):
        raise changed_vae("m", "v") or AssertionError("no change was seen")


def test_a_setting_that_runs_prepare_again_anyway_is_left_to_dvc(root: Path) -> None:
    scale(Path("v"))
    shutil.copytree("v", "other")
    assert changed_vae("m", "other") is None and changed_vae("m", None) is None and changed_vae("m2", "v") is None
    shutil.rmtree("models/M_0")
    assert changed_vae("m", "v") is None


def test_a_vae_that_is_gone_is_said_too(root: Path) -> None:
    shutil.rmtree("v")
    assert "v, where there are no files" in str(changed_vae("m", "v"))


def test_repro_and_exp_run_refuse_before_dvc_starts_unless_prepare_is_forced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("pipeline.cli.repro.run_dvc", lambda arguments: ran.append(arguments) or 0)
    monkeypatch.setattr("pipeline.cli.repro.repair", lambda root: [])
    monkeypatch.setattr("pipeline.provenance.verify.repair.repair_touched", lambda root: SimpleNamespace(done=[]))
    scale(Path("v"))
    refused = CliRunner().invoke(main, ["repro", "report"])
    assert (refused.exit_code, ran) == (2, []) and "v is not the VAE" in refused.stderr and refused.stderr.count("\n") == 1
    with pytest.raises(UserError, match=REFUSED):
        check_settings(["run", "-S", "cfg=2.5"], Path("params.yaml"))
    check_settings(["run", "-S", "vae=null"], Path("params.yaml"))
    for arguments in (["--force", "prepare"], ["-f"], ["-qf"]):
        assert CliRunner().invoke(main, ["repro", *arguments]).exit_code == 0
    assert ran == [["repro", "--force", "prepare"], ["repro", "-f"], ["repro", "-qf"]]


@pytest.mark.parametrize("changed", ["model", "vae"])
def test_training_names_the_folder_that_changed_and_writes_nothing(tmp_path: Path, tiny_model: Path, changed: str) -> None:
    shutil.copytree(tiny_model, tmp_path / "m")
    shutil.copytree(tiny_model / "vae", tmp_path / "v")
    layout = write_project(tmp_path, tmp_path / "m")
    record = json.loads(layout.base_record().read_text())
    layout.base_record().write_text(json.dumps(record | {"model": "m", "vae": "v"}))
    if changed == "vae":
        scale(tmp_path / "v")
        expected = r"/v is not the VAE that .*base.json records; .*'dvc repro --force prepare'"
    else:
        with (tmp_path / "m/unet/config.json").open("a") as file:
            file.write(" ")
        expected = r"/m is not the model that .*base.json records; .*'dvc repro' to start"
    with pytest.raises(UserError, match=expected):
        training.run(train_view(), 1, layout, "cpu")
    assert not layout.model(1).exists() and not layout.scratch.exists()


@pytest.mark.slow
def test_the_advice_works_in_a_chain_that_goes_on(tmp_path: Path, tiny_model: Path) -> None:
    project = new_project(tmp_path / "project", tiny_model, iterations=1)
    shutil.copytree(tiny_model / "vae", project / "models/base/vae")
    set_params(project, 1, vae="models/base/vae", prompts=4, steps=2)
    git(project, "commit", "--quiet", "-a", "-m", "vae")
    redifine(project, "repro")
    before = json.loads((project / "models/M_0/base.json").read_text())["sha256"]
    scale(project / "models/base/vae")
    set_params(project, 2)
    assert "models/base/vae is not the VAE" in redifine(project, "status").splitlines()[0]
    stopped = dvc(project, "repro", check=False)
    assert "train@2" in running_stages(stopped.stdout) and "models/base/vae is not the VAE" in stopped.stderr
    assert not (project / "models/M_2").exists()
    dvc(project, "repro", "--force", "prepare")
    redifine(project, "repro")
    assert "nothing left to do" in redifine(project, "status")
    after = json.loads((project / "models/M_0/base.json").read_text())["sha256"]
    found = {json.loads((project / f"models/M_{k}/lineage.json").read_text())["base_sha256"] for k in (1, 2)}
    assert before != after and found == {after}
