"""A U-Net whose calls run compiled: one graph of fused kernels, made once and used for every step, batch and iteration.

Weights are inputs of the compiled graph. So others can be loaded into the same storage without compiling again, and another
process finds the compiled kernels in torch's cache on disk.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

SWITCH = "REDIFINE_COMPILE"
"""Environment variable: 0 never compiles, 1 always does, whatever the device; without it large work on a GPU is compiled."""

_TOLERANCES = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 0.1}
"""How far, relative to its norm, the compiled result may be from the plain one: each rounds in its own places."""

_COMPILED: WeakSet[nn.Module] = WeakSet()


def should_compile(device: torch.device, worth_it: bool) -> bool:
    """Tell whether to compile on `device`: as the environment says, else where it is a GPU and the work is large."""
    wish = os.environ.get(SWITCH)
    if wish in ("0", "1"):
        return wish == "1"
    return worth_it and device.type not in ("cpu", "mps")


def release_memory() -> None:
    """Give memory that torch keeps for later back to the device."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def is_compiled(module: nn.Module) -> bool:
    """Tell whether `module` runs compiled: then its parts must stay as they are."""
    return module in _COMPILED


def compile_module(module: nn.Module, options: Mapping[str, Any] | None = None) -> None:
    """Make calls of `module` run compiled from now on, for the one shape that they have; its weights stay where they are."""
    module.compile(fullgraph=True, dynamic=False, options=dict(options or {}))
    _COMPILED.add(module)


def restore(module: nn.Module) -> None:
    """Undo `compile_module`, by a private name of torch, which has no public way to undo Module.compile."""
    module._compiled_call_impl = None
    _COMPILED.discard(module)


def compile_checked(module: nn.Module, run: Callable[[], torch.Tensor], options: Mapping[str, Any], what: str) -> None:
    """Compile `module` if `run`, which calls it, then still works and gives what it gave before; else leave it, and say so."""
    try:
        expected = run().detach().float().clone()
        release_memory()  # of the plain run: a GPU's graph takes memory of its own
        compile_module(module, options)
        # The first call compiles, the second records a GPU's graph, and the third replays it.
        result = [run().detach().float().clone() for _ in range(3)][-1]
        off = float((result - expected).norm() / expected.norm())
    # A compiler fails in many ways, and none of them may stop a run that works without it.
    except Exception as error:
        _give_up(module)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"{what}: the U-Net could not be compiled and runs plain: {reason}", file=sys.stderr)
        return
    if not off <= _TOLERANCES[next(module.parameters()).dtype]:
        _give_up(module)
        print(f"{what}: the compiled U-Net differs by {off:.1e} and is not used", file=sys.stderr)


def _give_up(module: nn.Module) -> None:
    """Let the module run plain again, and free what was compiled, with a GPU's graphs."""
    restore(module)
    torch.compiler.reset()
    release_memory()
