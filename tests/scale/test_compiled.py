"""The compiled U-Net: the plain one's noise, one compilation for all weights, and no run that fails because of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scale_chain import PROMPTS, sampling_chain
from torch import nn

from pipeline.core.files import write_text
from pipeline.diffusion import compiled, lora
from pipeline.diffusion.compiled import compile_checked, is_compiled, restore, should_compile
from pipeline.diffusion.models import load_base
from pipeline.methods.schedules.exponential import Exponential
from pipeline.sample.batches import compile_if_worth_it, queue_batch
from pipeline.sample.sampler import SampleSettings, draw, encode_prompts
from pipeline.train import config
from pipeline.train.builtin import train
from pipeline.train.settings import read_settings
from pipeline.train.training_inputs import read_inputs
from train.train_project import view, write_project

SETTINGS = SampleSettings(Exponential(7.5, 2.0), 3, 64, 64)


@pytest.mark.slow
def test_compiled_once_it_draws_the_same_with_every_iterations_weights(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(compiled.SWITCH, "1")
    weights = sampling_chain(tiny_model, tmp_path).lora(2)
    plain, fast = load_base(tiny_model), load_base(tiny_model)
    conditions, empty = encode_prompts(plain, PROMPTS, SETTINGS), encode_prompts(plain, [""], SETTINGS)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        now = draw(plain, conditions, empty, range(5), SETTINGS)
        with torch.inference_mode():
            return now.latents, queue_batch(fast, conditions, empty, range(5), SETTINGS, 5, "D_1").latents

    torch._dynamo.utils.counters.clear()
    compile_if_worth_it(fast, SETTINGS, empty, 5, 5)
    assert is_compiled(fast.unet)
    first, first_compiled = both()
    torch.testing.assert_close(first_compiled, first, atol=1e-3, rtol=1e-3)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    lora.merge(plain, weights)
    fast.unet.load_state_dict(plain.unet.state_dict())
    second, second_compiled = both()
    assert (second - first).abs().max() > 0.05, "the LoRA changes the images"
    torch.testing.assert_close(second_compiled, second, atol=1e-3, rtol=1e-3)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs == 1
    restore(fast.unet)
    assert not is_compiled(fast.unet)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "off"), [("fp32", 1e-4), ("bf16", 1e-2)])
def test_a_training_traced_once_has_the_plain_ones_losses_and_lora(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, off: float
) -> None:
    """Half precision takes another way through each layer: the low-rank change beside the product, not in the weights."""

    def traced(module: nn.Module, options: object) -> None:
        """Traced and differentiated as for a GPU, without generating code."""
        module.compile(backend="aot_eager", fullgraph=True, dynamic=False)
        compiled._COMPILED.add(module)

    monkeypatch.setattr(compiled, "compile_module", traced)
    project = write_project(tmp_path / "project", tiny_model)
    params = view(batch_size=2, epochs=2, unet_lr=1e-3, precision=precision)
    job = read_inputs(params, 1, project)
    for name, text in config.texts(params, job, project.model(1), project.root).items():
        write_text(project.model(1) / name, text)
    settings = read_settings(project.model(1) / "train.toml", project.root)
    plain = train(settings, project.root, "cpu")
    monkeypatch.setenv(compiled.SWITCH, "1")
    torch._dynamo.utils.counters.clear()
    fast = train(settings, project.root, "cpu")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert fast.losses == pytest.approx(plain.losses, rel=off)
    for name, layer in plain.weights.items():
        torch.testing.assert_close(fast.weights[name].up, layer.up, atol=off, rtol=1e-2)


def test_a_compiler_that_fails_leaves_the_plain_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layer, x = nn.Linear(3, 3), torch.randn(2, 3)
    expected = layer(x)

    def broken(*given: object) -> None:
        raise RuntimeError("no C++ compiler found\nin a long text")

    monkeypatch.setattr(compiled, "compile_module", broken)
    compile_checked(layer, lambda: layer(x), {}, "sample")
    assert torch.equal(layer(x), expected) and not is_compiled(layer)
    assert capsys.readouterr().err == "sample: the U-Net could not be compiled and runs plain: no C++ compiler found\n"


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_compiled_network_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], factor: float
) -> None:
    layer, x = nn.Linear(3, 3), torch.randn(2, 3)
    expected = layer(x)

    def wrong(module: nn.Module, options: object) -> None:
        module._compiled_call_impl = lambda x: factor * module.forward(x)

    monkeypatch.setattr(compiled, "compile_module", wrong)
    compile_checked(layer, lambda: layer(x), {}, "sample")
    assert torch.equal(layer(x), expected)
    assert "is not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wish", "device", "large", "expected"),
    [(None, "cpu", True, False), (None, "cuda", True, True), (None, "cuda", False, False), ("0", "cuda", True, False),
     ("1", "cpu", False, True)],
)  # fmt: skip
def test_large_work_on_a_gpu_is_compiled_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, wish: str | None, device: str, large: bool, expected: bool
) -> None:
    monkeypatch.delenv(compiled.SWITCH, raising=False)
    if wish is not None:
        monkeypatch.setenv(compiled.SWITCH, wish)
    assert should_compile(torch.device(device), large) is expected
