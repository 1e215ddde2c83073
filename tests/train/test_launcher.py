"""What accelerate's own parser and checks make of the launcher's words, whatever the user has configured."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
from accelerate.commands import launch
from accelerate.commands.config import config_args

from pipeline.train.processes import NODES, launcher

USERS = {
    "other GPUs": "distributed_type: MULTI_GPU\ngpu_ids: '0,1'\nnum_processes: 2\n",
    "one GPU": "distributed_type: 'NO'\ngpu_ids: '0'\nnum_processes: 1\n",
    "DeepSpeed": "distributed_type: DEEPSPEED\nnum_processes: 2\ndeepspeed_config: {zero_stage: 2}\n",
    "a compiler": "distributed_type: 'NO'\nnum_processes: 1\ndynamo_config: {dynamo_backend: INDUCTOR}\n",
}
COMMON = "compute_environment: LOCAL_MACHINE\nmachine_rank: 0\nmixed_precision: fp16\nnum_machines: 1\n"


def understood(words: list[str]) -> Namespace:
    """What accelerate would do."""
    arguments = launch.launch_command_parser().parse_args([*words, "-m", "some.module"])
    return launch._validate_launch_command(arguments)[0]


def configure(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `accelerate config` leaves it for this user."""
    path = folder / "default_config.yaml"
    path.write_text(COMMON + text)
    for module in (launch, config_args):
        monkeypatch.setattr(module, "default_config_file", str(path))
    monkeypatch.setattr(config_args, "default_yaml_config_file", str(path))
    monkeypatch.setattr(config_args, "cache_dir", str(folder))
    monkeypatch.delenv(NODES, raising=False)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("users", USERS)
def test_the_users_own_configuration_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users: str, processes: int
) -> None:
    configure(USERS[users], tmp_path, monkeypatch)
    found = understood(launcher("cuda", processes)[3:])
    assert (found.num_processes, found.multi_gpu, found.gpu_ids) == (processes, processes > 1, "all")
    assert (found.use_deepspeed, found.use_fsdp, found.dynamo_backend, found.mixed_precision) == (False, False, "no", "no")


def test_without_a_configuration_of_ours_the_users_would_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(USERS["other GPUs"], tmp_path, monkeypatch)
    words = launcher("cuda")[3:]
    assert words[0] == "--config_file"
    found = understood(words[2:])
    assert (found.multi_gpu, found.gpu_ids) == (True, "0,1")
