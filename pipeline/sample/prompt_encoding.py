"""The prompts' conditions, encoded as they are needed: those of 100,000 prompts would fill 20 GB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from pipeline.diffusion.families import DiffusionModel
from pipeline.sample.sampler import SampleSettings

ENCODE_BATCH = 64


@torch.inference_mode()
def encode_prompts(model: DiffusionModel, prompts: Sequence[str], settings: SampleSettings) -> torch.Tensor:
    """Encode prompts -> conditions [N,S,d] in the model's dtype, on its device, as training encodes captions."""
    ids = model.tokenize(prompts, settings.max_token_length)
    return torch.cat([model.encode(rows, settings.clip_skip) for rows in ids.split(ENCODE_BATCH)])


class PromptEncodings:
    """Encodings of `prompts`, made in groups that depend on their list alone: rounding must not depend on a restart."""

    def __init__(self, model: DiffusionModel, prompts: Iterable[str], settings: SampleSettings) -> None:
        self._model, self._settings = model, settings
        self._prompts = list(dict.fromkeys(prompts))
        self._places = {prompt: place for place, prompt in enumerate(self._prompts)}
        self._groups: dict[int, torch.Tensor] = {}

    def of(self, prompts: Sequence[str]) -> torch.Tensor:
        """Encode some of the prompts -> [N,S,d] in the model's dtype, on its device. Their groups stay at hand."""
        places = [divmod(self._places[prompt], ENCODE_BATCH) for prompt in prompts]
        self._groups = {group: self._group(group) for group in sorted({group for group, _ in places})}
        return torch.stack([self._groups[group][row] for group, row in places])

    def _group(self, group: int) -> torch.Tensor:
        if group in self._groups:
            return self._groups[group]
        start = group * ENCODE_BATCH
        return encode_prompts(self._model, self._prompts[start : start + ENCODE_BATCH], self._settings)
