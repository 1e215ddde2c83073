"""Classifier-free guidance in one batch of the denoiser, recording how far the two branches are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

PredictBranches = Callable[[torch.Tensor, int], torch.Tensor]
"""([2N,C,h,w] float32 of variance 1, t) -> noise [2N,C,h,w]: the first half unconditional, the second conditional."""


class GuidedPrediction:
    """The solver's noise prediction: uncond + s_t (cond - uncond) (Chain of Diffusion, sec. 5)."""

    def __init__(
        self,
        predict: PredictBranches,
        network_input: Callable[[torch.Tensor, float], torch.Tensor],
        sigmas: Sequence[float],
        scales: Sequence[float],
    ) -> None:
        self._predict, self._network_input, self._sigmas, self._scales = predict, network_input, sigmas, scales
        self._norms: list[torch.Tensor] = []

    def __call__(self, x: torch.Tensor, step: int) -> torch.Tensor:
        """Predict at x [N,C,h,w] float32 -> the guided eps [N,C,h,w] float32."""
        scaled = self._network_input(x, self._sigmas[step])
        unconditional, conditional = self._predict(torch.cat([scaled, scaled]), step).float().chunk(2)
        self._norms.append((conditional - unconditional).flatten(1).norm(dim=1))
        # lerp is the formula above, and exact at s = 0 and s = 1.
        return torch.lerp(unconditional, conditional, self._scales[step])

    @property
    def diff_norm(self) -> torch.Tensor:
        """||cond - uncond||_2 of each image at each step so far [N,T] float32, in units of eps (the paper's Diff, G.2)."""
        return torch.stack(self._norms, dim=1)
