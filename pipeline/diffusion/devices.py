"""Devices and precision: which device to use, one for each process, and what each can compute. Imports torch when asked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.core.errors import UserError

if TYPE_CHECKING:
    import torch

CPU_CHOICES = (("precision", ("fp32", "bf16")), ("optimizer", ("AdamW", "FusedAdamW")), ("attention", ("sdpa",)))
"""Parameters, and the values of each that train on a CPU."""


def pick_device(name: str | None) -> str:
    """Return the torch device called `name`; for None CUDA where there is one, else the CPU.

    Raise UserError when it is not here.
    """
    import torch

    if name is not None and not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise UserError(f"--device must be cpu, cuda, cuda:N or mps, got {name!r}")
    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device} cannot be used here: {str(error).splitlines()[0].partition('. ')[0]}") from error
    return device


def devices_of(device: str, processes: int) -> list[str]:
    """Return a device for each process: device 0, 1, ... where they have numbers. Raise UserError when there are too few."""
    if processes == 1 or device == "cpu":
        return [device] * processes
    if ":" in device:
        raise UserError(f"--device {device} is one device, and --processes {processes} needs several; leave the number away")
    import torch

    found = torch.accelerator.device_count()
    if processes > found:
        raise UserError(f"--processes {processes} needs as many devices, and there are {found}; set it to at most {found}")
    return [f"{device}:{number}" for number in range(processes)]


def check_precision(precision: str, device: torch.device | str) -> None:
    """Raise UserError for bf16 on a GPU that is older than it (before Ampere): cuDNN would end in words that name no cause."""
    import torch

    device = torch.device(device)
    if precision == "bf16" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        raise UserError(f"{torch.cuda.get_device_name(device)} computes no bf16; set precision: fp16 or fp32")


def dtype_of(precision: str, device: torch.device | str) -> torch.dtype:
    """Return the dtype of params' precision ; float32 for fp16 on a CPU, which has no fast kernels for it."""
    import torch

    if precision == "fp16" and torch.device(device).type == "cpu":
        return torch.float32
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def to_device(device: torch.device | str, tensor: torch.Tensor) -> torch.Tensor:
    """Copy a CPU tensor to `device`; to a GPU through pinned memory, without waiting for the work in flight there."""
    import torch

    if torch.device(device).type in ("cpu", "mps"):
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
