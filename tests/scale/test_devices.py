"""No step of sampling or of training mixes devices: arithmetic on a device of shapes alone takes no CPU tensor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.core.errors import UserError
from pipeline.core.randomness import generator
from pipeline.diffusion.devices import check_precision
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.models import load_base
from pipeline.methods.schedules.exponential import Exponential
from pipeline.sample.sampler import SampleSettings, decode, draw_latents, encode_prompts
from pipeline.train import builtin, stage
from pipeline.train import compiled as compiled_training
from pipeline.train.distributed import ProcessGroup
from pipeline.train.posterior_latents import PosteriorLatents
from pipeline.train.step_noise import SeededNoise
from pipeline.train.trainable_lora import attached, initial
from train.train_project import settings_of, view, write_project

DEVICE = torch.device("lazy:0")
SETTINGS = SampleSettings(Exponential(7.5, 2.0), 3, 64, 64)


@pytest.fixture
def elsewhere(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StableDiffusion]:
    """The model on a device that exists only in name: tensors have shapes there and no data; pinned memory is plain memory."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    model = load_base(tiny_model)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        for module in (*model.text_encoder.modules(), *model.vae.modules(), *model.unet.modules()):
            for name, weight in list(module._parameters.items()):
                if weight is not None:
                    there = mode.from_tensor(weight.detach()).to(DEVICE)
                    module._parameters[name] = torch.nn.Parameter(there, requires_grad=False)
            for name, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[name] = mode.from_tensor(buffer).to(DEVICE)
        yield model


def test_the_other_device_takes_no_tensor_of_the_cpu(elsewhere: StableDiffusion) -> None:
    assert elsewhere.device == DEVICE
    with pytest.raises(RuntimeError, match="same device"):
        torch.zeros(2, device=DEVICE) + torch.zeros(2)


def test_sampling_stays_on_the_models_device(elsewhere: StableDiffusion) -> None:
    conditions, empty = encode_prompts(elsewhere, ["a", "b"], SETTINGS), encode_prompts(elsewhere, [""], SETTINGS)
    latents, diff_norm = draw_latents(elsewhere, conditions, empty, [1, 2], SETTINGS)
    assert (latents.device, diff_norm.device) == (DEVICE, DEVICE)
    assert decode(elsewhere, latents)[0].device == DEVICE


def test_a_training_step_stays_on_the_models_device(
    elsewhere: StableDiffusion, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(write_project(tmp_path, tiny_model), caption_dropout=0.1, noise_offset=0.1)
    ids = elsewhere.tokenize([*(example.caption for example in settings.examples), ""]).to(DEVICE)
    mean = torch.zeros(6, 2, 4, 8, 8, device=DEVICE)
    data = builtin.Data(
        torch.arange(6, device=DEVICE), ids[:-1], ids[-1:], PosteriorLatents(mean, mean, elsewhere.scale_latents)
    )
    modules = target_modules(elsewhere)
    with attached(modules, initial(modules, 4, 2.0, generator(0))) as network:
        network.merge()
        draw = SeededNoise(0, 6, 2, (4, 8, 8), True, 0.1, 0.1, train_steps=1000)(0)
        loss = builtin._loss(settings, elsewhere, data, draw, 0, 0.5, ProcessGroup())
        loss.backward()
        assert {half.grad.device for half in network.parameters("lora_unet") if half.grad is not None} == {DEVICE}
        checked: list[torch.Tensor] = []
        monkeypatch.setattr(compiled_training, "should_compile", lambda *given: True)
        monkeypatch.setattr(compiled_training, "compile_checked", lambda unet, run, *given: checked.append(run()))
        compiled_training.compile_if_worth_it(elsewhere, network, (2, 4, 8, 8), data.ids, 2000)
        assert checked[0].numel() == sum(half.numel() for half in network.parameters("lora_unet"))


@pytest.mark.parametrize(("capability", "refused"), [((7, 5), True), ((8, 0), False), ((9, 0), False)])
def test_a_gpu_older_than_bf16_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], refused: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    check_precision("fp16", "cuda")
    check_precision("bf16", "cpu")
    if not refused:
        return check_precision("bf16", "cuda:1")
    with pytest.raises(UserError, match="Tesla T4 computes no bf16; set precision: fp16 or fp32"):
        stage.check_device(view(precision="bf16"), "cuda")
