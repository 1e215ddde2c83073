"""The builtin trainer: sd-scripts' LoRA finetuning of Stable Diffusion 1.x and XL in short, from the same pair of TOMLs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pipeline.core.errors import UserError
from pipeline.core.progress import Progress
from pipeline.core.randomness import derive_seed, generator
from pipeline.diffusion import lora
from pipeline.diffusion.deterministic import deterministic
from pipeline.diffusion.devices import dtype_of, to_device
from pipeline.diffusion.families import DiffusionModel
from pipeline.diffusion.lora_targets import DENOISER_PREFIX, TEXT_ENCODER_PREFIX, target_modules
from pipeline.diffusion.models import load_base
from pipeline.train.checkpoint import CheckpointManager, State
from pipeline.train.compiled import compile_if_worth_it
from pipeline.train.condition_drop import drop_conditions
from pipeline.train.distributed import ProcessGroup
from pipeline.train.out_of_memory import explain_out_of_memory
from pipeline.train.posterior_latents import PosteriorLatents, encode_images
from pipeline.train.settings import TrainSettings
from pipeline.train.step_noise import NoiseSource, SeededNoise, StepNoise
from pipeline.train.trainable_lora import Network, attached, initial

_READ_EVERY = 20
"""Steps between two looks at the losses: on a GPU each look waits for all work in flight."""


@dataclass(frozen=True)
class Result:
    """A finished training: the LoRA, and the loss of each step."""

    weights: dict[str, lora.LowRank]
    losses: list[float]


@dataclass(frozen=True)
class Data:
    """T_k on the device. `images` [N] maps examples to rows of `latents`; ids [N,...,77]; `empty` [1,...,77]."""

    images: torch.Tensor
    ids: torch.Tensor
    empty: torch.Tensor
    latents: PosteriorLatents


def train(
    settings: TrainSettings,
    root: Path,
    device: str,
    condition_drop: float = 0.0,
    noise_source: NoiseSource | None = None,
    start: Mapping[str, lora.LowRank] | None = None,
    checkpoints: CheckpointManager | None = None,
    group: ProcessGroup | None = None,
) -> Result:
    """Finetune the base model below `root` on the settings' examples; from the last checkpoint on, where `checkpoints` has one.

    `noise_source` and `start` replace the chance and the initial LoRA, so that a test can follow another trainer. Raise
    UserError when the loss is not finite, or the LoRA to start from does not fit.
    """
    with explain_out_of_memory(settings.batch_size, settings.precision), deterministic(device):
        model = _load_model(settings, root, device)
        data = load_data(settings, model, root)
        modules = target_modules(model, settings.train_parts)
        noise_source = noise_source or _seeded_noise(settings, data, model.noise.train_steps)
        with attached(modules, start or _start(settings, modules, root, model.family.layout.name)) as network:
            group = group or ProcessGroup()
            mine = group.share(settings.batch_size)
            shape = (mine.stop - mine.start, *data.latents.mean.shape[-3:])
            compile_if_worth_it(model, network, shape, data.ids, settings.steps)
            losses = _optimize(settings, model, data, network, condition_drop, noise_source, checkpoints, group)
            return Result({name: network.layers[name].state() for name in modules}, losses)


def _load_model(settings: TrainSettings, root: Path, device: str) -> DiffusionModel:
    """Load M_0 in the precision that it trains in."""
    dtype = dtype_of(settings.precision, device)
    model = load_base(_local(root, settings.model), _local(root, settings.vae) if settings.vae else None, dtype)
    model.move_to(device, dtype)
    if settings.gradient_checkpointing:
        model.denoiser.enable_gradient_checkpointing()
    return model


def _local(root: Path, name: str) -> str:
    """Return a path below the project's root, or a hub id as it is."""
    return str(root / name) if (root / name).exists() else name


def load_data(settings: TrainSettings, model: DiffusionModel, root: Path) -> Data:
    """Encode each image and tokenize each caption once; both stay on the model's device."""
    examples = settings.examples
    paths = list(dict.fromkeys(example.path for example in examples))
    row = {path: index for index, path in enumerate(paths)}
    latents = encode_images(model.vae, [root / path for path in paths], settings.flip, model.scale_latents)
    if settings.cache_latents:
        latents = latents.frozen(generator(derive_seed("cache_latents", settings.seed)))
    captions = [*(example.caption for example in examples), ""]
    ids = model.tokenize(captions, settings.max_token_length).to(model.device)
    images = torch.tensor([row[example.path] for example in examples], device=model.device)
    return Data(images, ids[:-1], ids[-1:], latents)


def _start(settings: TrainSettings, modules: Mapping[str, nn.Module], root: Path, family: str) -> dict[str, lora.LowRank]:
    """Return a fresh LoRA, or the one that finetuning goes on with."""
    if settings.network_weights is None:
        return initial(modules, settings.rank, settings.alpha, generator(derive_seed("lora", settings.seed)))
    path = root / settings.network_weights
    weights = lora.load(path)
    lora.fitting({name: layer for name, layer in weights.items() if name in modules}, modules, path, family)
    if weights.keys() != modules.keys():
        raise UserError(f"{path} has not the layers of train_parts: {settings.train_parts}; train the chain from M_1 again")
    return weights


def _seeded_noise(settings: TrainSettings, data: Data, train_steps: int) -> SeededNoise:
    channels, height, width = data.latents.mean.shape[-3:]
    return SeededNoise(
        seed=settings.seed,
        examples=len(settings.examples),
        batch_size=settings.batch_size,
        latent_shape=(channels, height, width),
        flip=settings.flip,
        caption_dropout=settings.caption_dropout,
        noise_offset=settings.noise_offset,
        train_steps=train_steps,
    )


def _optimize(
    settings: TrainSettings,
    model: DiffusionModel,
    data: Data,
    network: Network,
    condition_drop: float,
    noise_source: NoiseSource,
    checkpoints: CheckpointManager | None,
    group: ProcessGroup,
) -> list[float]:
    """Run all steps; the network holds the result. Return the losses."""
    optimizer = torch.optim.AdamW(_groups(settings, network), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate(settings.lr_scheduler, settings.steps))
    scaler = torch.amp.GradScaler(model.device.type, enabled=settings.precision == "fp16")
    losses = torch.zeros(settings.steps, device=model.device)
    state = State(network.parameters(), optimizer, schedule, scaler, losses)
    done = checkpoints.resume(state) if checkpoints else 0
    with Progress("train", settings.steps) as progress:
        progress.advance(done)
        for step in range(done, settings.steps):
            network.merge()
            loss = _loss(settings, model, data, noise_source(step), step, condition_drop, group)
            scaler.scale(loss).backward()
            total = group.add_up(loss, network.parameters())
            if settings.max_grad_norm:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(network.parameters(), settings.max_grad_norm)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses[step] = total
            if checkpoints:
                checkpoints.save_when_due(state, step + 1)
            progress.advance()
            if (step + 1) % _READ_EVERY == 0:
                progress.note(f"loss {_checked(losses[: step + 1], settings)[-1]:.4f}")
    return _checked(losses, settings)


def _loss(
    settings: TrainSettings,
    model: DiffusionModel,
    data: Data,
    draw: StepNoise,
    step: int,
    condition_drop: float,
    group: ProcessGroup,
) -> torch.Tensor:
    """Return this process's part of the loss of one step, a scalar on the device."""
    device, dtype = model.device, model.dtype
    ids = data.ids[to_device(device, draw.rows)]
    ids = torch.where(to_device(device, draw.blanks).view(-1, *[1] * (ids.ndim - 1)), data.empty, ids)
    ids = drop_conditions(ids, data.empty, condition_drop, settings.seed, step)
    mine = group.share(len(ids))
    if mine.start == mine.stop:
        return torch.zeros((), device=device, requires_grad=True)
    draw = draw.part(mine, device)
    latents = data.latents.sample(data.images[draw.rows], draw.flips, draw.posterior)
    half = dtype != torch.float32
    with torch.autocast(device.type, dtype) if half else nullcontext():
        condition = model.encode(ids[mine], settings.clip_skip)
        noisy = model.noise.add_noise(latents, draw.noise, draw.timesteps)
        noisy = noisy.to(dtype=dtype, memory_format=model.memory_format)
        predicted = model.predict(noisy, draw.timesteps, condition)
    loss = model.noise.loss(predicted, latents, draw.noise, draw.timesteps, settings.min_snr_gamma)
    return loss if group.size == 1 else loss * (len(draw.rows) / len(ids))


def _groups(settings: TrainSettings, network: Network) -> list[dict[str, object]]:
    """Return parameters of the text encoders and of the denoiser with their learning rates."""
    groups: list[dict[str, object]] = [
        {"params": network.parameters(TEXT_ENCODER_PREFIX), "lr": settings.text_encoder_lr},
        {"params": network.parameters(DENOISER_PREFIX), "lr": settings.unet_lr},
    ]
    return [group for group in groups if group["params"]]


def learning_rate(name: str, steps: int) -> Callable[[int], float]:
    """Return the factor of the learning rate at each step: constant, or falling to 0 as a cosine or a line. No warm-up."""
    schedules: dict[str, Callable[[int], float]] = {
        "constant": lambda step: 1.0,
        "cosine": lambda step: 0.5 * (1.0 + math.cos(math.pi * step / steps)),
        "linear": lambda step: 1.0 - step / steps,
    }
    return schedules[name]


def _checked(losses: torch.Tensor, settings: TrainSettings) -> list[float]:
    """Return losses as numbers. Raise UserError that names the first step whose loss is not finite."""
    values = losses.tolist()
    for step, value in enumerate(values, 1):
        if not math.isfinite(value):
            raise UserError(
                f"the loss is {value} at step {step} of {settings.steps}, no LoRA was written; lower unet_lr "
                f"({settings.unet_lr}) and text_encoder_lr ({settings.text_encoder_lr}), or set precision: fp32"
            )
    return values
