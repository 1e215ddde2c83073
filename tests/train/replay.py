"""What sd-scripts drew and started from in a recorded run, for the builtin trainer to follow."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.diffusion import lora
from pipeline.train.step_noise import StepNoise


class Replay:
    """The draws that sd-scripts made, as the builtin trainer's."""

    def __init__(self, steps: list[dict[str, Any]], captions: list[str]) -> None:
        self.steps, self.captions = steps, captions

    def __call__(self, step: int) -> StepNoise:
        found = self.steps[step]
        return StepNoise(
            rows=torch.tensor([self.captions.index(caption) for caption in found["captions"]]),
            flips=torch.tensor(found["flips"]),
            blanks=torch.zeros(len(found["flips"]), dtype=torch.bool),
            posterior=torch.cat(found["posterior"]),
            noise=found["noise"],
            timesteps=found["timesteps"],
        )


def start_of(state: dict[str, torch.Tensor]) -> dict[str, lora.LowRank]:
    """The initial LoRA from sd-scripts' state dict."""
    names = {key.split(".")[0] for key in state}
    return {
        name: lora.LowRank(state[f"{name}.lora_down.weight"], state[f"{name}.lora_up.weight"], float(state[f"{name}.alpha"]))
        for name in names
    }
