"""A sweep on a real Slurm of two nodes: killed, drained, out of time, cancelled; and what is said where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import params, presets, warm
from pipeline.errors import UserError
from pipeline.storage import load_tensors
from pipeline.sweep import launch, multinode, notes, plan, stages, standing, worktree
from pipeline.sweep.plan import Chain
from pipeline.sweep.resources import Resources
from project import ROOT
from sweep import slurm_cluster
from sweep.slurm_cluster import Cluster, wait
from sweep.sweep_project import git, new_project
from test_chain import dvc
from test_chain import new_project as tiny_project

FILE = Path("sweeps/s.yaml")
FOUR = """\
title: two guidance scales
iterations: {iterations}
seeds: [0, 1]
arms: {{low: {{cfg: 1.0}}, high: {{cfg: 3.0}}}}
resources: {{gpus: 0, cpus: 1, hours: 1}}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two idle nodes, which the test's own process uses as well."""
    if slurm_cluster.missing():
        pytest.skip("Slurm is not installed; 'make slurm' installs it")
    with (
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        slurm_cluster.running(Path(folder)) as started,
        pytest.MonkeyPatch.context() as patch,
    ):
        for key, value in started.environment.items():
            patch.setenv(key, value)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", str(ROOT))
        yield started


def states(chains: list[Chain]) -> dict[str, str]:
    return {one.name: one.state for one in standing.standings(Path(), chains)}


def log(chain: Chain) -> str:
    path = notes.log_file(chain)
    return path.read_text() if path.is_file() else ""


def job(chain: Chain) -> str:
    note = notes.read(Path(), chain)
    assert note is not None
    return note.job


def with_remotes(project: Path) -> None:
    """A bare Git remote and a folder for DVC, beside the project."""
    git(project, "init", "--quiet", "--bare", str(project.parent / "origin.git"))
    git(project, "remote", "add", "origin", str(project.parent / "origin.git"))
    dvc(project, "remote", "add", "--quiet", "--default", "shared", str(project.parent / "remote"))
    git(project, "config", "user.name", "Test")
    git(project, "config", "user.email", "test@example.com")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "remotes and a sweep")
    git(project, "push", "--quiet", "origin", "HEAD")


def recorded(text: str) -> dict[str, str]:
    """{output: its hash} of a dvc.lock."""
    content = YAML(typ="safe").load(text)["stages"]
    return {out["path"]: out["md5"] for stage in content.values() for out in stage["outs"]}


@dataclass(frozen=True)
class Kind:
    """A project for the test below: stages that a seed's two chains share, and those of each chain."""

    make: Callable[[Path, Path], Path]
    iterations: int
    shared: tuple[str, ...]
    own: tuple[str, ...]


KINDS = {
    "stand-ins": Kind(lambda folder, model: new_project(folder), 1, ("prepare", "train@1"), ("measure@1", "report")),
    "tiny model": Kind(
        tiny_project, 2, ("prepare", "reference", "reference_analysis", "curate@1", "train@1"),
        ("sample@1", "measure@1", "analyse@1", "curate@2", "train@2", "sample@2", "measure@2", "analyse@2", "report"),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_four_chains_on_two_nodes_survive_a_kill_a_drain_and_the_end_of_their_time(
    cluster: Cluster, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    monkeypatch.setenv("TALLY", str(tmp_path / "tally"))
    monkeypatch.setenv("STAGE_SECONDS", "15")
    project = kind.make(tmp_path / "project", tiny_model)
    (project / "sweeps").mkdir(exist_ok=True)
    (project / FILE).write_text(FOUR.format(iterations=kind.iterations))
    with_remotes(project)
    monkeypatch.chdir(project)
    chains = plan.chains(FILE)
    launch.on_slurm(Path(), FILE, plan.load(FILE).resources, chains, "origin", print)
    found: list[Chain] = []
    wait(lambda: found.extend(_two_at_work(chains, kind)) or found, 3600, "two chains at work, one in a stage of its own")
    killed, other = found
    jobs = cluster.jobs()
    assert {jobs[job(killed)][1], jobs[job(other)][1]} == set(slurm_cluster.NODES)
    for process in cluster.processes(job(killed)):
        process.kill()
    drained = jobs[job(other)][1]
    cluster.ask("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
    cluster.tell_that_the_time_is_up(job(other))
    wait(lambda: drained not in _nodes_at_work(cluster), 120, "the drained node's end of work")
    wait(lambda: "done" in states(chains).values(), 3600, "a chain's end on the other node")
    assert drained not in _nodes_at_work(cluster)
    cluster.ask("scontrol", "update", f"nodename={drained}", "state=resume")
    wait(lambda: set(states(chains).values()) <= set(standing.ENDED), 7200, "the end of all chains")
    wait(lambda: not cluster.jobs(), 120, "the end of all jobs")  # the last word to the remote comes after the experiment

    assert set(states(chains).values()) == {"done"}
    for chain in (killed, other):  # the first of each pair also has the start of what the two share
        assert log(chain).count(stages.START) == (3 if chain.arm == "low" else 2)
    _nothing_ran_twice(project, kind)
    _watched_from_elsewhere(tmp_path, chains, kind, monkeypatch)
    _as_one_by_one(tmp_path, project, tiny_model, chains, kind, monkeypatch)


def _nodes_at_work(cluster: Cluster) -> set[str]:
    return {node for state, node in cluster.jobs().values() if state in ("RUNNING", "COMPLETING")}


def _two_at_work(chains: list[Chain], kind: Kind) -> list[Chain]:
    """The two chains that run now, the first in a stage that no other chain shares; none while it is not so."""
    now = {one.name: one for one in standing.standings(Path(), chains) if one.state == "running"}
    own = [name for name, one in now.items() if one.stage in kind.own]
    pair = sorted((chain for chain in chains if chain.name in now), key=lambda chain: chain.name not in own)
    return pair if own and len(pair) == 2 else []


def _nothing_ran_twice(project: Path, kind: Kind) -> None:
    """Each stage says when it ends (a stand-in) or how long it took (the pipeline's, when it succeeds)."""
    if (times := project / "logs/times.jsonl").is_file():
        ended = [json.loads(line)["stage"] for line in times.read_text().splitlines()]
    else:
        tally = (project.parent / "tally").read_text().splitlines()
        ended = [line.removeprefix("end ") for line in tally if line.startswith("end ")]
    assert Counter(ended) == {stage: 2 if stage in kind.shared else 4 for stage in (*kind.shared, *kind.own)}


def _watched_from_elsewhere(folder: Path, chains: list[Chain], kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone that has only the remotes: the notes that came with every iteration, and the experiments."""
    git(folder, "clone", "--quiet", str(folder / "origin.git"), str(folder / "elsewhere"))
    monkeypatch.chdir(folder / "elsewhere")
    found = standing.standings(Path(), chains, "origin")
    assert {(one.state, one.k) for one in found} == {("done", kind.iterations)}
    names = git(folder / "elsewhere", "ls-remote", "origin", "refs/exps/*").split("\n")
    assert sorted(line.rpartition("/")[2] for line in names) == sorted(chain.name for chain in chains)


def _as_one_by_one(
    folder: Path, project: Path, model: Path, chains: list[Chain], kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain `dvc repro` of each chain, in a project that shares nothing with the sweep's."""
    other = kind.make(folder / "other", model)
    monkeypatch.chdir(other)
    monkeypatch.setenv("STAGE_SECONDS", "0")
    with _warm_stages(other, monkeypatch):
        for chain in chains:
            presets.assign(chain.values)
            dvc(other, "repro")
            experiment = worktree.find(project, chain)
            assert experiment is not None
            found = recorded(git(project, "show", f"{experiment.commit}:dvc.lock"))
            assert found == recorded((other / "dvc.lock").read_text())


@contextmanager
def _warm_stages(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Import what the pipeline's own stages need once."""
    if not (project / "pipeline").is_dir():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        monkeypatch.setenv(warm.SOCKET, f"{folder}/socket")
        server = subprocess.Popen([sys.executable, "-m", "pipeline.warm", f"{folder}/socket"], cwd=project)
        try:
            wait(Path(folder, "socket").exists, 300, "the warm server")
            yield
        finally:
            server.kill()
            server.wait()


@pytest.mark.slow
def test_a_generated_script_trains_one_model_on_two_nodes(
    cluster: Cluster, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    project = tiny_project(tmp_path / "project", tiny_model, iterations=1)
    monkeypatch.chdir(project)
    (project / "logs").mkdir()
    resources = Resources(gpus=0, hours=1, partition="main")
    text = multinode.script(project, params.load(), resources, 2, Path(sys.executable))
    (project / "chain.sh").write_text(text)
    number = cluster.ask("sbatch", "chain.sh").split()[-1]
    wait(lambda: number not in cluster.jobs(), 3600, "the end of the script")
    said = (project / f"logs/chain-{number}.log").read_text()
    assert (project / "report/index.html").is_file(), said
    assert json.loads((project / "models/M_1/lineage.json").read_text())["processes"] == 2
    tasks = [(cluster.folder / f"slurmd-{node}.log").read_text().count(f"task StepId={number}.0") for node in ("n1", "n2")]
    assert min(tasks) >= 1, said
    # What was trained together is what one process trains, but for the order of float sums.
    together = load_tensors(project / "models/M_1/lora.safetensors")[0]
    dvc(project, "repro", "--force", "--single-item", "train@1")
    alone = load_tensors(project / "models/M_1/lora.safetensors")[0]
    assert all(torch.allclose(together[name], alone[name], atol=1e-4) for name in alone)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stages take no time, but for one that waits for ten minutes."""
    project = new_project(tmp_path / "project")
    (project / FILE).write_text("title: t\niterations: 1\narms: {one: {cfg: 1.0}, broken: {cfg: 99.0}, slow: {cfg: 77.0}}\n"
                                "resources: {gpus: 0, hours: 1}\n")  # fmt: skip
    git(project, "commit", "--quiet", "-am", "three chains")
    monkeypatch.chdir(project)
    monkeypatch.setenv("TALLY", str(tmp_path / "tally"))
    return project


@pytest.mark.slow
def test_a_failed_chain_touches_no_other_and_cancel_ends_the_rest(cluster: Cluster, small: Path) -> None:
    chains = plan.chains(FILE, only=["one", "broken"])
    launch.on_slurm(Path(), FILE, plan.load(FILE).resources, chains, None, print)
    wait(lambda: set(states(chains).values()) <= set(standing.ENDED), 600, "the end of two chains")
    found = {one.arm: one for one in standing.standings(Path(), chains)}
    assert {arm: one.state for arm, one in found.items()} == {"one": "done", "broken": "failed"}
    assert "guidance is too strong" in found["broken"].detail
    assert found["broken"].rerun == "redifine sweep run sweeps/s.yaml --only broken --seeds 0 --executor slurm"

    (slow,) = plan.chains(FILE, only=["slow"])
    launch.on_slurm(Path(), FILE, plan.load(FILE).resources, [slow], None, print)
    assert states([slow]) == {"s-slow-0": "queued"} or states([slow]) == {"s-slow-0": "running"}
    wait(lambda: (small.parent / "tally").read_text().endswith("start measure@1\n"), 300, "the long stage")
    launched: list[str] = []
    launch.on_slurm(Path(), FILE, plan.load(FILE).resources, [slow], None, launched.append)
    assert launched[-1].startswith("0 submitted, 0 there already, 1 queued or running before")
    assert launch.cancel(Path(), [slow]) == ["s-slow-0: cancelled"]
    wait(lambda: job(slow) not in cluster.jobs(), 60, "the job's end")
    assert states([slow]) == {"s-slow-0": "cancelled"}


def test_no_slurm_is_told_before_anything_is_submitted(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(UserError, match="there is no Slurm here .no sbatch.; run this on a cluster's login node"):
        launch.on_slurm(Path(), FILE, Resources(), plan.chains(FILE), None, print)
    assert not (small / "logs").exists()


@pytest.mark.slow
def test_a_partition_that_is_not_there_is_told_with_those_that_are(cluster: Cluster, small: Path) -> None:
    with pytest.raises(UserError, match="Slurm has no partition 'gpu' .it has main."):
        launch.on_slurm(Path(), FILE, Resources(partition="gpu"), plan.chains(FILE), None, print)
