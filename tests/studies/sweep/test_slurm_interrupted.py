"""Four chains on the two nodes of a real Slurm, one job killed and one node drained midway: as if nobody had disturbed them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.chain import presets
from pipeline.studies.sweep import chain_status, launch, plan, progress_files, stages, worktree
from pipeline.studies.sweep.plan import Chain
from studies.sweep import slurm_cluster
from studies.sweep.slurm_cluster import Cluster, wait
from studies.sweep.sweep_project import add_remotes, git, imported_stages, job_of, new_project, states
from test_chain import dvc, set_params
from test_chain import new_project as tiny_project

FILE = Path("sweeps/s.yaml")
SWEEP = """\
title: two guidance scales
iterations: {iterations}
seeds: [0, 1]
arms: {{low: {{cfg: 1.0}}, high: {{cfg: 3.0}}}}
resources: {{gpus: 0, cpus: 1, hours: 1}}
"""


@dataclass(frozen=True)
class Kind:
    """A project for the test below: stages that a seed's two chains share, and those of each chain."""

    make: Callable[[Path, pytest.FixtureRequest], Path]
    iterations: int
    shared: tuple[str, ...]
    own: tuple[str, ...]


def smallest_project(folder: Path, request: pytest.FixtureRequest) -> Path:
    """This project on a tiny model: four prompts, two diffusion steps, one update."""
    project = tiny_project(folder, request.getfixturevalue("tiny_model"))
    set_params(project, prompts=4, steps=2, updates=1)
    return project


KINDS = {
    "stand-ins": Kind(lambda folder, request: new_project(folder), 1, ("prepare", "train@1"), ("measure@1", "report")),
    "tiny model": Kind(
        smallest_project, 2, ("prepare", "reference", "reference_analysis", "curate@1", "train@1"),
        ("sample@1", "measure@1", "analyse@1", "curate@2", "train@2", "sample@2", "measure@2", "analyse@2", "report"),
    ),
}  # fmt: skip


ENDED = {"done", "failed", "stopped", "cancelled"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_four_chains_on_two_nodes_survive_a_kill_a_drain_and_the_end_of_their_time(
    cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    monkeypatch.setenv("TALLY", str(tmp_path / "tally"))
    monkeypatch.setenv("STAGE_SECONDS", "5")
    project = kind.make(tmp_path / "project", request)
    (project / "sweeps").mkdir(exist_ok=True)
    (project / FILE).write_text(SWEEP.format(iterations=kind.iterations))
    add_remotes(project)
    monkeypatch.chdir(project)
    chains = plan.chains(FILE)
    launch.submit_to_slurm(Path(), FILE, plan.load(FILE).resources, chains, "origin", print, program="pipeline")
    disturbed = _disturb(cluster, chains, kind)
    wait(lambda: set(states(chains).values()) <= ENDED, 3600, "the end of all chains", every=5)
    wait(lambda: not cluster.jobs(), 300, "the end of all jobs")  # the last word to the remote comes after the experiment

    assert set(states(chains).values()) == {"done"}
    for chain in disturbed:  # the first of each pair also has the start of what the two share
        assert progress_files.log_file(chain).read_text().count(stages.START) == (3 if chain.arm == "low" else 2)
    _nothing_ran_twice(project, kind)
    _watched_from_elsewhere(tmp_path, chains, kind, monkeypatch)
    other = kind.make(tmp_path / "other", request)
    monkeypatch.chdir(other)
    monkeypatch.setenv("STAGE_SECONDS", "0")
    with imported_stages(other, monkeypatch):
        _as_one_by_one(project, other, chains, kind)


def _disturb(cluster: Cluster, chains: list[Chain], kind: Kind) -> list[Chain]:
    """Kill the processes of one job, and drain the node of another, whose time is up, until a chain has ended elsewhere."""
    found: list[Chain] = []
    wait(lambda: found.extend(_two_at_work(chains, kind)) or found, 1800, "two chains at work, one in its own stage", every=2)
    killed, other = found
    jobs = cluster.jobs()
    assert {jobs[job_of(killed)][1], jobs[job_of(other)][1]} == set(slurm_cluster.NODES)
    for process in cluster.processes(job_of(killed)):
        process.kill()
    drained = jobs[job_of(other)][1]
    cluster.ask("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
    cluster.tell_that_the_time_is_up(job_of(other))
    wait(lambda: drained not in _nodes_at_work(cluster), 300, "the drained node's end of work")
    wait(lambda: "done" in states(chains).values(), 1800, "a chain's end on the other node", every=5)
    assert drained not in _nodes_at_work(cluster)
    cluster.ask("scontrol", "update", f"nodename={drained}", "state=resume")
    return found


def _nodes_at_work(cluster: Cluster) -> set[str]:
    return {node for state, node in cluster.jobs().values() if state in ("RUNNING", "COMPLETING")}


def _two_at_work(chains: list[Chain], kind: Kind) -> list[Chain]:
    """The two chains that run now, the first in a stage that no other chain shares; none while it is not so."""
    now = {one.name: one for one in chain_status.statuses_of(Path(), chains) if one.state == "running"}
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
    found = chain_status.statuses_of(Path(), chains, "origin")
    assert {(one.state, one.k) for one in found} == {("done", kind.iterations)}
    names = git(folder / "elsewhere", "ls-remote", "origin", "refs/exps/*").split("\n")
    assert sorted(line.rpartition("/")[2] for line in names) == sorted(chain.name for chain in chains)


def _as_one_by_one(project: Path, other: Path, chains: list[Chain], kind: Kind) -> None:
    """Plain `dvc repro` of each chain in `other`, which shares nothing with the sweep's project, gives every output's hash."""
    for chain in chains:
        presets.assign(chain.values, other / "params.yaml")
        dvc(other, "repro")
        experiment = worktree.find(project, chain)
        assert experiment is not None
        found = recorded(git(project, "show", f"{experiment.commit}:dvc.lock"))
        assert found == recorded((other / "dvc.lock").read_text())
        assert len(found) >= len(kind.shared) + len(kind.own)


def recorded(text: str) -> dict[str, str]:
    """{output: its hash} of a dvc.lock."""
    content = YAML(typ="safe").load(text)["stages"]
    return {out["path"]: out["md5"] for stage in content.values() for out in stage["outs"]}
