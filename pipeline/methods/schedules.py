"""Guidance schedules: the scale s_t of classifier-free guidance at each step, for our sampler and for diffusers' pipelines."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Schedule(Protocol):
    """The guidance scale as a function of time: t = `step` in 0 (noisiest) .. T - 1, T = `steps`, `sigma` the noise level."""

    def scale(self, step: int, steps: int, sigma: float) -> float: ...

    def describe(self) -> str:
        """One short phrase for a person, without a line break."""
        ...


@dataclass(frozen=True)
class Constant:
    """s_t = s."""

    s: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s

    def describe(self) -> str:
        return f"constant({self.s:g})"


@dataclass(frozen=True)
class Exponential:
    """s_t = s0 exp(-alpha t / T): ReDiFine's schedule (Chain of Diffusion, sec. 5)."""

    s0: float
    alpha: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s0 * math.exp(-self.alpha * step / steps)

    def describe(self) -> str:
        return f"exponential({self.s0:g}, decay {self.alpha:g})"


@dataclass(frozen=True)
class Linear:
    """A straight line from s0 at the first step to `end` at the last (Chain of Diffusion, appendix F)."""

    s0: float
    end: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s0 + (self.end - self.s0) * _progress(step, steps)

    def describe(self) -> str:
        return f"linear({self.s0:g} to {self.end:g})"


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from s0 at the first step to `end` at the last."""

    s0: float
    end: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.end + (self.s0 - self.end) * (1 + math.cos(math.pi * _progress(step, steps))) / 2

    def describe(self) -> str:
        return f"cosine({self.s0:g} to {self.end:g})"


@dataclass(frozen=True)
class Interval:
    """s where low < sigma <= high, 1 elsewhere (Kynkaanniemi 2024, eq. 6): in noise levels, so that T does not matter."""

    s: float
    low: float
    high: float

    def scale(self, step: int, steps: int, sigma: float) -> float:
        return self.s if self.low < sigma <= self.high else 1.0

    def describe(self) -> str:
        return f"interval({self.s:g} for {self.low:g} < sigma <= {self.high:g})"


def _progress(step: int, steps: int) -> float:
    """0 at the first step, 1 at the last."""
    return step / (steps - 1) if steps > 1 else 0.0


def make_schedule(
    name: str,
    cfg: float,
    cfg_decay: float = 2.0,
    cfg_end: float = 1.0,
    interval_low: float = 0.28,
    interval_high: float = 5.42,
) -> Schedule:
    """The schedule that params.yaml's `schedule` names; each reads only the numbers that it needs.

    Raises ValueError when there is no schedule of that name.
    """
    schedules: dict[str, Schedule] = {
        "constant": Constant(cfg),
        "exponential": Exponential(cfg, cfg_decay),
        "linear": Linear(cfg, cfg_end),
        "cosine": Cosine(cfg, cfg_end),
        "interval": Interval(cfg, interval_low, interval_high),
    }
    if name not in schedules:
        raise ValueError(f"schedule must be one of {', '.join(schedules)}, got {name!r}")
    return schedules[name]


class _AlwaysGuided(float):
    """A scale that diffusers never takes for "no guidance".

    A pipeline asks before every step whether guidance_scale > 1, and drops the unconditional half of its batch when it is
    not, while the prompt embeddings keep theirs: a step at 1 or below would fail. The formula is right at any scale.
    """

    def __gt__(self, other: float) -> bool:
        return True


def diffusers_arguments(pipe: Any, schedule: Schedule, steps: int) -> dict[str, Any]:
    """Arguments that make a diffusers pipeline follow `schedule`: `pipe(prompt, **diffusers_arguments(pipe, schedule, 30))`.

    `pipe` is any pipeline with a `_guidance_scale` and a scheduler of a variance-preserving model (alphas_cumprod).
    diffusers calls back after a step, so the first scale goes in as guidance_scale and step t sets that of t + 1.
    """
    pipe.scheduler.set_timesteps(steps)
    sigmas = [_noise_level(pipe.scheduler.alphas_cumprod, float(t)) for t in pipe.scheduler.timesteps]
    scales = [_AlwaysGuided(schedule.scale(step, len(sigmas), sigma)) for step, sigma in enumerate(sigmas)]
    callback: Callable[..., dict[str, Any]] = _Callback(scales)
    return {"num_inference_steps": steps, "guidance_scale": scales[0], "callback_on_step_end": callback}


@dataclass(frozen=True)
class _Callback:
    """diffusers' `callback_on_step_end`: sets the scale of the step after the one that has ended."""

    scales: list[_AlwaysGuided]

    def __call__(self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step + 1 < len(self.scales):
            pipe._guidance_scale = self.scales[step + 1]
        return tensors


def _noise_level(alphas_cumprod: Any, timestep: float) -> float:
    """sigma = sqrt((1 - a) / a) at a timestep that may lie between two of training's, interpolated as the solvers do."""
    below = math.floor(timestep)
    above = min(below + 1, len(alphas_cumprod) - 1)
    low, high = (math.sqrt((1 - a) / a) for a in (float(alphas_cumprod[below]), float(alphas_cumprod[above])))
    return low + (high - low) * (timestep - below)
