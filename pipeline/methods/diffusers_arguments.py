"""A guidance schedule as arguments of a diffusers pipeline."""

from __future__ import annotations

import math
from typing import Any

from pipeline.methods.schedules import Schedule


class _AlwaysGuided(float):
    """A scale that diffusers never takes for "no guidance".

    A pipeline asks before every step whether guidance_scale > 1, and drops the unconditional half of its batch when it is
    not, while the prompt embeddings keep theirs: a step at 1 or below would fail. The formula is right at any scale.
    """

    def __gt__(self, other: float) -> bool:
        return True


def diffusers_arguments(pipe: Any, schedule: Schedule, steps: int) -> dict[str, Any]:
    """Return what makes a diffusers pipeline follow `schedule`: `pipe(prompt, **diffusers_arguments(pipe, schedule, 30))`.

    `pipe` is any pipeline with a `_guidance_scale` and a scheduler of a variance-preserving model (alphas_cumprod).
    diffusers calls back after a step, so the first scale goes in as guidance_scale and step t sets that of t + 1.
    """
    pipe.scheduler.set_timesteps(steps)
    sigmas = [_noise_level(pipe.scheduler.alphas_cumprod, float(t)) for t in pipe.scheduler.timesteps]
    scales = [_AlwaysGuided(schedule.scale(step, len(sigmas), sigma)) for step, sigma in enumerate(sigmas)]

    def set_next_scale(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step + 1 < len(scales):
            pipe._guidance_scale = scales[step + 1]  # a private name: what a callback returns cannot set it
        return tensors

    return {"num_inference_steps": steps, "guidance_scale": scales[0], "callback_on_step_end": set_next_scale}


def _noise_level(alphas_cumprod: Any, timestep: float) -> float:
    """sigma = sqrt((1 - a) / a) at a timestep that may lie between two of training's, interpolated as the solvers do."""
    below = math.floor(timestep)
    above = min(below + 1, len(alphas_cumprod) - 1)
    low, high = (math.sqrt((1 - a) / a) for a in (float(alphas_cumprod[below]), float(alphas_cumprod[above])))
    return low + (high - low) * (timestep - below)
