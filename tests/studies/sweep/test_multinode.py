"""One chain on several nodes: the launcher that each node starts, and the script that Slurm gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.chain.params import check
from pipeline.core.errors import UserError
from pipeline.studies.sweep import multinode
from pipeline.studies.sweep.resources import Resources
from pipeline.train import processes
from pipeline.train.processes import NODES, launcher


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NODES, "2")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")


def test_each_node_starts_accelerate_with_its_own_number(
    two_nodes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words are run by a shell, as srun would on the second node, and read by accelerate's own parser."""
    from accelerate.commands.launch import launch_command_parser

    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))
    command = [*launcher("cuda", 16), "-m", "pipeline.train.kohya.entry", "--config_file", "a b.toml"]
    assert command[:4] == ["srun", "--nodes=2", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    monkeypatch.setenv("SLURM_NODEID", "1")
    words = subprocess.run(command[4:], capture_output=True, text=True, check=True).stdout.splitlines()
    assert words[:2] == ["-m", "accelerate.commands.launch"]
    read = launch_command_parser().parse_args(words[2:])
    assert (read.num_machines, read.num_processes, read.machine_rank, read.multi_gpu) == (2, 16, 1, True)
    assert (read.module, read.training_script) == (True, "pipeline.train.kohya.entry")
    assert read.training_script_args == ["--config_file", "a b.toml"]


def test_one_node_is_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NODES, raising=False)
    assert launcher("cuda", 2)[0] == sys.executable


@pytest.mark.parametrize(
    ("given", "in_job", "count", "sentence"),
    [
        ("2", None, 4, "REDIFINE_NODES=2 needs a Slurm job of 2 nodes; see 'redifine sweep script --help'"),
        ("2", "3", 4, "REDIFINE_NODES=2 needs a Slurm job of 2 nodes"),
        ("2", "2", 3, "--processes 3 cannot be shared evenly by 2 nodes; set it to a multiple of 2"),
        ("two", "2", 4, "REDIFINE_NODES must be a whole number from 1 on, got 'two'"),
        ("0", "2", 4, "REDIFINE_NODES must be a whole number from 1 on, got '0'"),
    ],
)
def test_nodes_that_do_not_fit_are_told(
    monkeypatch: pytest.MonkeyPatch, given: str, in_job: str | None, count: int, sentence: str
) -> None:
    monkeypatch.setenv(NODES, given)
    monkeypatch.delenv("SLURM_JOB_NUM_NODES", raising=False)
    if in_job:
        monkeypatch.setenv("SLURM_JOB_NUM_NODES", in_job)
    with pytest.raises(UserError) as caught:
        processes.launcher("cuda", count)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"batch_size": 8}, "16 processes cannot share batches of 8; make it a multiple of 16"),
        ({"batch_size": 16, "trainer": "builtin"}, "only trainer: kohya trains on several nodes"),
    ],
)
def test_a_chain_that_could_not_be_trained_so_gets_no_script(values: dict[str, object], sentence: str) -> None:
    params = check({"iterations": {"1": {"prev": 0}}} | values)
    with pytest.raises(UserError, match=sentence):
        multinode.script(Path("/a"), params, Resources(gpus=8), 2, Path("/opt/env/bin/python"))


def test_the_script_is_a_shell_script_that_asks_for_what_it_shares_out(tmp_path: Path) -> None:
    folder = tmp_path / "a project"
    params = check({"iterations": {"1": {"prev": 0}, "2": {"prev": 1}}, "batch_size": 16})
    resources = Resources(gpus=8, hours=2.5, partition="gpu", setup=["module load cuda"])
    text = multinode.script(folder, params, resources, 2, Path("/opt/env/bin/python"))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    flags = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    assert {"nodes=2", "ntasks-per-node=1", "gpus-per-node=8", "time=150", "partition=gpu"} <= set(flags)
    bare = "\n".join(line for line in text.splitlines() if not line.startswith(("cd ", "mkdir ", "module ")))
    stubs = "module() { :; }; dvc() { echo ${REDIFINE_NODES:-1} ${REDIFINE_PROCESSES:-1} $*; }\n"
    said = subprocess.run(["bash"], input=stubs + bare, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [
        "1 1 repro prepare reference reference_analysis",
        "1 1 repro curate@1", "2 16 repro train@1", "1 8 repro measure@1 analyse@1",
        "1 1 repro curate@2", "2 16 repro train@2", "1 8 repro measure@2 analyse@2",
        "1 1 repro",
    ]  # fmt: skip
