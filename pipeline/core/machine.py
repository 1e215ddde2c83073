"""Which cores and GPUs of this machine each of several workers gets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import TypeVar

VISIBLE = "CUDA_VISIBLE_DEVICES"

_PROCESSES = "REDIFINE_PROCESSES"
_ASK_SECONDS = 60.0
_Item = TypeVar("_Item")


def cores() -> list[int]:
    """List the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def gpus() -> list[str]:
    """List the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; asked without importing torch."""
    if (given := os.environ.get(VISIBLE)) is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ASK_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def gpus_per_chain() -> int:
    """Return one, or as many as REDIFINE_PROCESSES shares a chain's training and sampling among."""
    given = os.environ.get(_PROCESSES, "")
    return int(given) if given.isdecimal() and int(given) else 1


def thread_count(cores_of_one: int) -> int:
    """Return a thread for each core, unless OMP_NUM_THREADS asks for fewer."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores_of_one, int(given)) if given.isdecimal() and int(given) else cores_of_one


def assign_round_robin(items: Sequence[_Item], workers: int, each: int) -> list[list[_Item]]:
    """Assign `each` items to every worker in turn; where there are too few, from the first again, none twice to one worker."""
    return [
        list(dict.fromkeys(items[(i * each + j) % len(items)] for j in range(each))) if items else [] for i in range(workers)
    ]
