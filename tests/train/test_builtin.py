"""The builtin trainer against a loop written out by hand on diffusers' own scheduler, and its promises."""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.models import load_base
from pipeline.diffusion.noise_schedule import min_snr_weight
from pipeline.diffusion.text import encode, tokenize
from pipeline.train import stage
from pipeline.train.builtin import learning_rate, train
from pipeline.train.posterior_latents import encode_images
from pipeline.train.settings import TrainSettings
from pipeline.train.step_noise import SeededNoise
from pipeline.train.trainable_lora import SidePath, attached, initial
from train.train_project import settings_of, view, write_project


def scaled(latents: torch.Tensor) -> torch.Tensor:
    return latents * 0.18215


class AddLowRank(nn.Module):
    """W -> W + scale * up @ down, by torch's own parametrization."""

    def __init__(self, start: lora.LowRank) -> None:
        super().__init__()
        self.down, self.up, self.scale = nn.Parameter(start.down.clone()), nn.Parameter(start.up.clone()), start.scale

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.scale * (self.up.flatten(1) @ self.down.flatten(1)).reshape(weight.shape)


def loop_by_hand(settings: TrainSettings, root: Path, draws: SeededNoise, start: dict[str, lora.LowRank]) -> list[float]:
    """Images loaded, mirrored and encoded anew in every step; diffusers' noise scheduler; one AdamW over merged weights."""
    model = load_base(settings.model)
    modules = target_modules(model)
    changes = {name: AddLowRank(start[name]) for name in modules}
    for name, module in modules.items():
        parametrize.register_parametrization(module, "weight", changes[name])
    rates = {"lora_te": settings.text_encoder_lr, "lora_un": settings.unet_lr}
    groups = [{"params": list(change.parameters()), "lr": rates[name[:7]]} for name, change in changes.items()]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    losses = []
    for step in range(settings.steps):
        draw = draws(step)
        examples = [settings.examples[row] for row in draw.rows]
        pixels = torch.stack([torch.from_numpy(np.array(Image.open(root / e.path))) for e in examples]).permute(0, 3, 1, 2)
        pixels = torch.stack([p.flip(-1) if f else p for p, f in zip(pixels / 255 * 2 - 1, draw.flips, strict=True)])
        posterior = model.vae.encode(pixels).latent_dist
        latents = 0.18215 * (posterior.mean + posterior.std * draw.posterior)
        ids = tokenize(model.tokenizer, [e.caption for e in examples], settings.max_token_length)
        noisy = scheduler.add_noise(latents, draw.noise, draw.timesteps)
        predicted = model.unet(noisy, draw.timesteps, encode(model.text_encoder, ids, settings.clip_skip)).sample
        snr = scheduler.alphas_cumprod[draw.timesteps] / (1 - scheduler.alphas_cumprod[draw.timesteps])
        errors = functional.mse_loss(predicted, draw.noise, reduction="none").mean(dim=(1, 2, 3))
        loss = (errors * torch.minimum(snr, torch.tensor(settings.min_snr_gamma)) / snr).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], settings.max_grad_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_losses_equal_those_of_a_loop_by_hand(project: Layout) -> None:
    settings = settings_of(project, epochs=3, unet_lr=1e-3, text_encoder_lr=1e-3, max_token_length=150)
    model = load_base(settings.model)
    start = initial(target_modules(model), settings.rank, settings.alpha, generator(1))
    draws = SeededNoise(3, 6, 2, (4, 8, 8), flip=True, caption_dropout=0.0, noise_offset=0.2, train_steps=1000)
    ours = train(settings, project.root, "cpu", noise_source=draws, start=start).losses
    assert ours == pytest.approx(loop_by_hand(settings, project.root, draws, start), rel=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_the_side_path_has_autograds_gradients(bias: bool) -> None:
    chance = generator(0)
    x, down, up = (torch.randn(*s, generator=chance, dtype=torch.double).requires_grad_() for s in ((5, 4), (2, 4), (3, 2)))
    weight = torch.randn(3, 4, generator=chance, dtype=torch.double)
    offset = torch.randn(3, generator=chance, dtype=torch.double) if bias else None
    assert torch.autograd.gradcheck(lambda a, b, c: SidePath.apply(a, weight, offset, b, c, 0.7), (x, down, up))


@pytest.mark.parametrize(
    "layer", [nn.Linear(6, 4), nn.Conv2d(6, 4, 1), nn.Linear(48, 64), nn.Conv2d(64, 48, 1)],
    ids=["narrow linear", "narrow conv", "wide linear", "wide conv"],
)  # fmt: skip
def test_an_attached_layer_is_the_layer_with_merged_weights_and_recovers(layer: nn.Module) -> None:
    chance = generator(0)
    start = initial({"a": layer}, 3, 1.5, chance)
    start["a"].up.normal_(generator=chance)
    inputs = layer.weight.shape[1]
    x = torch.randn(*((2, inputs, 5, 5) if isinstance(layer, nn.Conv2d) else (2, 5, inputs)), generator=chance)
    plain = layer(x)
    with attached({"a": layer}, start) as network:
        network.merge()
        side = layer(x)
        side.square().sum().backward()
        gradients = [half.grad for half in network.parameters()]
        state = network.layers["a"].state()
    assert torch.equal(layer(x), plain)
    by_torch = AddLowRank(start["a"])
    parametrize.register_parametrization(layer, "weight", by_torch)
    expected = layer(x)
    expected.square().sum().backward()
    torch.testing.assert_close(side, expected)
    for found, wanted in zip(gradients, (by_torch.down.grad, by_torch.up.grad), strict=True):
        torch.testing.assert_close(found.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(found, given) for found, given in zip(state[:2], start["a"][:2], strict=True))


def test_layers_of_one_shape_keep_their_own_changes() -> None:
    chance = generator(0)
    modules = {name: nn.Linear(6, 4) for name in ("lora_unet_a", "lora_unet_b", "lora_te_layers_0_a", "lora_te_layers_1_a")}
    start = initial(modules, 2, 1.0, chance)
    with attached(modules, start) as network:
        found = {name: layer.state() for name, layer in network.layers.items()}
        assert [len(network.parameters(prefix)) for prefix in ("lora_unet", "lora_te")] == [2, 4]
    assert all(torch.equal(found[name].down, start[name].down) for name in modules)


@pytest.mark.parametrize("change", [{"clip_skip": 2}, {"clip_skip": 1}], ids=["left out", "in use"])
def test_a_text_layer_that_clip_skip_leaves_out_is_not_changed(project: Layout, change: dict[str, int]) -> None:
    settings = settings_of(project, epochs=1, text_encoder_lr=0.1, **change)
    model = load_base(settings.model)
    start = initial(target_modules(model), settings.rank, settings.alpha, generator(1))
    last = f"layers_{model.text_encoder.config.num_hidden_layers - 1}_"
    trained = train(settings, project.root, "cpu", start=start).weights
    same = [torch.equal(trained[name].down, start[name].down) for name in start if last in name]
    assert same and all(equal == (change["clip_skip"] == 2) for equal in same)


def test_min_snr_weights_have_the_closed_form() -> None:
    kept = torch.tensor([0.99, 0.5, 0.1])
    assert min_snr_weight(kept, 5.0).tolist() == pytest.approx([5 / 99, 1.0, 1.0], rel=1e-4)
    assert min_snr_weight(kept, None).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["constant", "cosine", "linear"])
def test_learning_rates_are_those_of_diffusers(name: str) -> None:
    from diffusers.optimization import get_scheduler

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = get_scheduler(name, optimizer, num_warmup_steps=0, num_training_steps=10)
    rates = []
    for _ in range(10):
        rates.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert [learning_rate(name, 10)(step) for step in range(10)] == pytest.approx(rates)


def test_every_epoch_shows_every_example_once() -> None:
    draws = SeededNoise(0, 7, 3, (4, 8, 8), flip=True, caption_dropout=0.0, noise_offset=0.0, train_steps=1000)
    epochs = [torch.cat([draws(step).rows for step in range(start, start + 3)]).tolist() for start in (0, 3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_what_is_not_asked_for_is_not_drawn() -> None:
    plain = SeededNoise(0, 8, 8, (4, 8, 8), flip=False, caption_dropout=0.0, noise_offset=0.0, train_steps=1000)
    other = SeededNoise(0, 8, 8, (4, 8, 8), flip=True, caption_dropout=1.0, noise_offset=1.0, train_steps=1000)
    assert not plain(0).flips.any() and not plain(0).blanks.any()
    assert other(0).flips.any() and other(0).blanks.all()
    assert torch.equal(plain(0).posterior, other(0).posterior)
    shift = (other(0).noise - plain(0).noise).flatten(2)
    torch.testing.assert_close(shift, shift[..., :1].expand_as(shift))


def test_the_mirror_image_is_encoded_by_itself(project: Layout, tiny_model: Path) -> None:
    vae = load_base(tiny_model).vae
    path = project.images(0) / "00000.png"
    mirrored = project.root / "mirrored.png"
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    both, alone = encode_images(vae, [path], True, scaled), encode_images(vae, [mirrored], False, scaled)
    torch.testing.assert_close(both.mean[:, 1], alone.mean[:, 0])
    assert not torch.allclose(both.mean[:, 1], both.mean[:, 0].flip(-1), atol=1e-3)


def test_cached_latents_are_drawn_once(project: Layout, tiny_model: Path) -> None:
    moments = encode_images(load_base(tiny_model).vae, [project.images(0) / "00000.png"], False, scaled).frozen(generator(0))
    row, no = torch.tensor([0]), torch.tensor([False])
    first, second = (moments.sample(row, no, torch.full((1, 4, 8, 8), value)) for value in (0.0, 9.0))
    assert torch.equal(first, second)


def test_a_stage_run_twice_writes_the_same_bytes(project: Layout) -> None:
    def run() -> dict[str, bytes]:
        stage.run(view(condition_drop=0.5), 1, project, "cpu")
        return {path.name: path.read_bytes() for path in project.model(1).iterdir()}

    first = run()
    assert sorted(first) == ["dataset.toml", "lineage.json", "lora.safetensors", "loss.csv", "metadata.json", "train.toml"]
    assert run() == first
    record = json.loads(first["lineage.json"])
    assert (record["k"], record["made_on"]["torch"]) == (1, torch.__version__)


@pytest.mark.parametrize(("parts", "prefix"), [("unet", "lora_unet"), ("text_encoder", "lora_te")])
def test_only_the_chosen_part_is_trained(project: Layout, parts: str, prefix: str) -> None:
    weights = train(settings_of(project, train_parts=parts), project.root, "cpu").weights
    assert weights and all(name.startswith(prefix) for name in weights)
    assert any(layer.up.abs().max() > 0 for layer in weights.values())


def test_finetuning_goes_on_from_the_previous_lora(project: Layout) -> None:
    stage.run(view(), 1, project, "cpu")
    write_project(project.root, Path(json.loads(project.base_record().read_text())["model"]), k=2)
    stage.run(view(start_from="previous", unet_lr=0.0, text_encoder_lr=0.0), 2, project, "cpu")
    first, second = lora.load(project.lora(1)), lora.load(project.lora(2))
    assert all(torch.equal(layer.up, second[name].up) for name, layer in first.items())


def test_a_previous_lora_of_another_rank_or_model_is_refused(project: Layout) -> None:
    wrong = {"lora_te_text_model_encoder_layers_0_mlp_fc1": lora.LowRank(torch.zeros(4, 5), torch.zeros(64, 4), 1.0)}
    lora.save(project.lora(1), wrong)
    write_project(project.root, Path(json.loads(project.base_record().read_text())["model"]), k=2)
    with pytest.raises(UserError, match="M_1/lora.safetensors is a LoRA of another shape"):
        stage.run(view(start_from="previous"), 2, project, "cpu")


def test_a_loss_that_is_not_finite_stops_and_leaves_the_old_model(project: Layout) -> None:
    stage.run(view(), 1, project, "cpu")
    before = project.lora(1).read_bytes()
    with pytest.raises(UserError, match=r"the loss is nan at step \d of 12.*lower unet_lr"):
        stage.run(view(unet_lr=1e30, text_encoder_lr=1e30, epochs=4), 1, project, "cpu")
    assert project.lora(1).read_bytes() == before
    assert sorted(path.name for path in project.model(1).parent.iterdir()) == ["M_0", "M_1"]


def test_channels_last_changes_where_numbers_lie_and_not_what_is_learnt(
    project: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout that a GPU trains in."""
    settings = settings_of(project, epochs=2, unet_lr=1e-3, text_encoder_lr=1e-3)
    plain = train(settings, project.root, "cpu").losses
    strides = []
    monkeypatch.setattr(StableDiffusion, "memory_format", torch.channels_last)
    predict = StableDiffusion.predict

    def watched(self: StableDiffusion, latents: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        strides.append((latents.stride(1), self.unet.conv_in.weight.stride(1)))
        return predict(self, latents, *rest)

    monkeypatch.setattr(StableDiffusion, "predict", watched)
    assert train(settings, project.root, "cpu").losses == pytest.approx(plain, rel=1e-4)
    assert set(strides) == {(1, 1)}
