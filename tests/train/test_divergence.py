"""A training that diverges ends in a sentence, and leaves the M_k that was there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import write_text
from pipeline.diffusion import lora
from pipeline.train import stage
from pipeline.train.kohya import launch
from train.train_project import view


def test_a_loss_that_is_fine_does_not_save_a_lora_that_is_not(project: Layout) -> None:
    write_text(project.model(1) / "old.txt", "old")
    one_step = view(unet_lr=1e30, text_encoder_lr=1e30, batch_size=6)
    with pytest.raises(UserError, match="M_1/lora.safetensors holds NaN or infinity, or values beyond float32"):
        stage.run(one_step, 1, project, "cpu")
    assert [path.name for path in project.model(1).iterdir()] == ["old.txt"]


def test_a_diverged_lora_of_kohyas_is_refused_by_its_own_name(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(config: Path, *_: object, **__: object) -> None:
        nan = torch.full((2, 2), float("nan"))
        lora.save(config.parent / "lora.safetensors", {"lora_unet_a": lora.LowRank(nan, nan.clone(), 1.0)})

    monkeypatch.setattr(launch, "run", diverge)
    monkeypatch.setattr(launch, "find_sd_scripts", lambda root: root)
    monkeypatch.setattr(launch, "commit", lambda root: "0" * 40)
    with pytest.raises(UserError, match=r"models/M_1/lora\.safetensors holds NaN"):
        stage.run(view(trainer="kohya"), 1, project, "cpu")
    assert not project.model(1).exists()
