"""Chains as jobs of a real Slurm: failed, cancelled, preempted, on several nodes; and what is said where there is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pipeline.chain import params
from pipeline.core.errors import UserError
from pipeline.core.tensors import load_tensors
from pipeline.studies.sweep import chain_status, launch, multinode, plan, progress_files, stages
from pipeline.studies.sweep.resources import Resources
from project import ROOT
from studies.sweep.slurm_cluster import NODES, Cluster, wait
from studies.sweep.sweep_project import git, imported_stages, job_of, new_project, states
from test_chain import new_project as tiny_project
from test_chain import set_params
from train.train_project import needs_sd_scripts

FILE = Path("sweeps/s.yaml")
SWEEP = """\
title: t
iterations: 1
arms: {one: {cfg: 1.0}, broken: {cfg: 99.0}, slow: {cfg: 77.0}}
resources: {gpus: 0, hours: 1}
"""

ENDED = ("done", "failed", "stopped", "cancelled")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stages take no time, but for one that waits for ten minutes."""
    project = new_project(tmp_path / "project")
    (project / FILE).write_text(SWEEP)
    git(project, "commit", "--quiet", "-am", "three chains")
    monkeypatch.chdir(project)
    monkeypatch.setenv("TALLY", str(tmp_path / "tally"))
    return project


def submit(chains: list[plan.Chain]) -> list[str]:
    """Without remotes; returns what is said."""
    said: list[str] = []
    launch.submit_to_slurm(Path(), FILE, plan.load(FILE).resources, chains, None, said.append)
    return said


@pytest.mark.slow
def test_a_failed_chain_touches_no_other_and_cancel_ends_the_rest(cluster: Cluster, small: Path) -> None:
    chains = plan.chains(FILE, only=["one", "broken"])
    submit(chains)
    wait(lambda: set(states(chains).values()) <= set(ENDED), 900, "the end of two chains")
    found = {one.arm: one for one in chain_status.statuses_of(Path(), chains)}
    assert {arm: one.state for arm, one in found.items()} == {"one": "done", "broken": "failed"}
    assert "guidance is too strong" in found["broken"].detail
    assert found["broken"].rerun == "redifine sweep run sweeps/s.yaml --only broken --seeds 0 --executor slurm"

    (slow,) = plan.chains(FILE, only=["slow"])
    submit([slow])
    assert states([slow])["s-slow-0"] in ("queued", "running")
    wait(lambda: (small.parent / "tally").read_text().endswith("start measure@1\n"), 900, "the long stage")
    assert submit([slow])[-1].startswith("0 submitted, 0 there already, 1 queued or running before")
    assert launch.cancel(Path(), [slow]) == ["s-slow-0: cancelled"]
    wait(lambda: job_of(slow) not in cluster.jobs(), 120, "the job's end")
    assert states([slow]) == {"s-slow-0": "cancelled"}


@pytest.mark.slow
def test_a_preempted_job_goes_on_where_it_was(cluster: Cluster, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE_SECONDS", "10")
    (chain,) = plan.chains(FILE, only=["one"])
    submit([chain])
    tally = small.parent / "tally"
    wait(lambda: tally.exists() and tally.read_text().endswith("start measure@1\n"), 900, "the chain's own stage")
    cluster.requeue(job_of(chain))
    wait(lambda: states([chain])["s-one-0"] in ENDED, 900, "the end of the chain")
    assert states([chain]) == {"s-one-0": "done"}
    assert progress_files.log_file(chain).read_text().count(stages.START) == 2
    ended = [line for line in tally.read_text().splitlines() if line.startswith("end ")]
    assert ended == ["end prepare", "end train@1", "end measure@1", "end report"]


@pytest.mark.slow
def test_a_partition_that_is_not_there_is_told_with_those_that_are(cluster: Cluster, small: Path) -> None:
    with pytest.raises(UserError, match="Slurm has no partition 'gpu' .it has main."):
        launch.submit_to_slurm(Path(), FILE, Resources(partition="gpu"), plan.chains(FILE), None, print)


def test_no_slurm_is_told_before_anything_is_submitted(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(UserError, match="there is no Slurm here .no sbatch.; run this on a cluster's login node"):
        launch.submit_to_slurm(Path(), FILE, Resources(), plan.chains(FILE), None, print)
    assert not (small / "logs").exists()


@pytest.mark.slow
@needs_sd_scripts
def test_a_generated_script_trains_one_model_on_two_nodes(
    cluster: Cluster, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tiny_project(tmp_path / "project", tiny_model, iterations=1)
    set_params(project, steps=2, updates=1, trainer="kohya")
    (project / "vendor").mkdir(exist_ok=True)
    (project / "vendor/sd-scripts").symlink_to(ROOT / "vendor/sd-scripts")
    monkeypatch.chdir(project)
    (project / "logs").mkdir()
    resources = Resources(gpus=0, hours=1, partition="main")
    text = multinode.script(project, params.load(), resources, 2, Path(sys.executable))
    (project / "chain.sh").write_text(text)
    with imported_stages(project, monkeypatch):  # sbatch hands the environment on; what each node starts imports for itself
        number = cluster.ask("sbatch", "chain.sh").split()[-1]
        wait(lambda: number not in cluster.jobs(), 3600, "the end of the script")
        said = (project / f"logs/chain-{number}.log").read_text()
        assert (project / "report/index.html").is_file(), said
        assert json.loads((project / "models/M_1/lineage.json").read_text())["processes"] == 2
        # sd-scripts' own count of updates: both processes together did those that were asked for.
        assert load_tensors(project / "models/M_1/lora.safetensors")[1]["ss_steps"] == "1"
    tasks = [(cluster.folder / f"slurmd-{node}.log").read_text().count(f"task StepId={number}.0") for node in NODES]
    assert min(tasks) >= 1, said
