"""How one training process or several are started, for both trainers."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pipeline
from pipeline.core.errors import UserError

NODES = "REDIFINE_NODES"
"""Environment variable: of how many nodes of a Slurm job the processes are (docs/sweeps.md)."""
_OWN_CONFIGURATION = ("--config_file", str(Path(__file__).with_name("accelerate.yaml")))


def nodes() -> int:
    """Return how many nodes train together. Raise UserError for what is no number."""
    given = os.environ.get(NODES, "1")
    if not given.isdecimal() or int(given) < 1:
        raise UserError(f"{NODES} must be a whole number from 1 on, got {given!r}")
    return int(given)


def launcher(device: str, processes: int = 1) -> list[str]:
    """Return the beginning of a command: `accelerate launch`, with every choice spelled out and a configuration of its own.

    So neither a user's accelerate configuration, which can name other GPUs or DeepSpeed, nor a guess can change the run.
    """
    import torch

    if nodes() > 1:
        return _across_nodes(device, processes, nodes())
    if device == "cpu" and processes > 1:
        # accelerate starts several processes on CPUs by MPI alone; on GPUs by torch's own launcher, as here.
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    fixed = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    where = ["--cpu"] if device == "cpu" else []
    several = ["--multi_gpu", "--main_process_port", str(_free_port())] if processes > 1 else []
    count = ["--num_processes", str(processes), "--num_cpu_threads_per_process", str(torch.get_num_threads())]
    return [sys.executable, "-m", "accelerate.commands.launch", *_OWN_CONFIGURATION, *fixed, *count, *several, *where]


def _across_nodes(device: str, processes: int, count: int) -> list[str]:
    """Return one launcher on each node of the Slurm job; this node's processes come first, and meet the others here.

    Raise UserError outside of such a job, or when the nodes cannot have equally many processes.
    """
    if os.environ.get("SLURM_JOB_NUM_NODES") != str(count):
        raise UserError(f"{NODES}={count} needs a Slurm job of {count} nodes; see 'redifine sweep script --help'")
    if processes % count:
        raise UserError(f"--processes {processes} cannot be shared evenly by {count} nodes; set it to a multiple of {count}")
    host, port = socket.gethostname(), str(_free_port())
    if device == "cpu":  # as in `launcher`
        module, number = "torch.distributed.run", "--node_rank"
        words = ["--nnodes", str(count), "--nproc_per_node", str(processes // count), "--master_addr", host]
        words += ["--master_port", port]
    else:
        module, number = "accelerate.commands.launch", "--machine_rank"
        words = [*_OWN_CONFIGURATION, "--num_machines", str(count), "--num_processes", str(processes)]
        words += ["--main_process_ip", host, "--main_process_port", port]
        words += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
    # The shell on each node fills in its number.
    each = f'exec {shlex.quote(sys.executable)} -m {module} {number} "$SLURM_NODEID" "$@"'
    return ["srun", f"--nodes={count}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "sh", "-c", each, "sh", *words]


def _free_port() -> int:
    """Return a port for the processes to meet at, that no other chain on this machine uses."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def environment(device: str, folders: Sequence[Path], own: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with this very pipeline and `folders` on the path, and `device` as the one to use."""
    import torch

    package_root = str(Path(pipeline.__file__).resolve().parents[1])
    values = dict(os.environ)
    values["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, *map(str, folders), os.environ.get("PYTHONPATH")]))
    values["PYTHONUNBUFFERED"] = "1"
    # torch's launcher would set it to 1 where several processes start.
    values.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    if device == "cpu":
        values["CUDA_VISIBLE_DEVICES"] = ""
        values["ACCELERATE_USE_CPU"] = "true"
    elif ":" in device:
        values["CUDA_VISIBLE_DEVICES"] = _visible_device(int(device.partition(":")[2]))
    return values | dict(own)


def _visible_device(index: int) -> str:
    """Return the GPU that this process calls `index`, in the numbering of its own environment."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[index] if visible else str(index)
