"""Print how many times as fast our sampler is as diffusers' pipeline: same model, LoRA, batch, steps and noise, with decoding.

diffusers is timed in both ways in which its documentation draws with a LoRA: loaded (layers beside the model's own), and fused
into the model's weights, which is what our sampler does.

python -m benchmarks.sampling [--model models/miniature] [--batch 50] [--steps 30] [--repeats 5]
"""

from __future__ import annotations

import pipeline.core.compat  # noqa: F401  (before diffusers)

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from pipeline.core.randomness import generator
from pipeline.diffusion import lora
from pipeline.diffusion.families import FAMILIES
from pipeline.diffusion.families.sd1 import StableDiffusion1
from pipeline.diffusion.families.sd1.model import StableDiffusion
from pipeline.diffusion.lora_targets import target_modules
from pipeline.diffusion.models import load_base
from pipeline.diffusion.noise_schedule import BETA_END, BETA_START
from pipeline.methods.schedules.constant import Constant
from pipeline.sample.sampler import SampleSettings, draw, encode_prompts

CFG = 7.5
LOADED, FUSED = "diffusers, LoRA loaded", "diffusers, LoRA fused"


@click.command()
@click.option("--model", type=click.Path(path_type=Path), default=Path("models/miniature"), show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
def main(model: Path, batch: int, steps: int, repeats: int) -> None:
    """Interleave the samplers and print the ratios of their median times."""
    loaded = load_base(model) if model.is_dir() else random_miniature()
    assert isinstance(loaded, StableDiffusion)
    prompts = [f"a creature with {n} eyes" for n in range(batch)]
    with TemporaryDirectory() as folder:
        weights = write_lora(loaded, Path(folder) / "lora.safetensors")
        beside = pipeline_of(copy.deepcopy(loaded))
        beside.load_lora_weights(weights)
        lora.merge(loaded, weights)
    runs = {
        "ours": ours(loaded, prompts, steps),
        LOADED: theirs(beside, prompts, steps),
        FUSED: theirs(pipeline_of(loaded), prompts, steps),
    }
    images = {name: run() for name, run in runs.items()}
    off = max(np.abs(images["ours"].astype(int) - images[name].astype(int)).max() for name in (LOADED, FUSED))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name].append(timed(run))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:>22}: {batch / median:.2f} images/s (median of {repeats}; batch {batch}, {steps} steps, cfg {CFG})")
    for name in (LOADED, FUSED):
        print(f"ours / {name}: {medians[name] / medians['ours']:.2f}")
    print(f"the images differ by at most {off} of 255 levels")


def ours(model: StableDiffusion, prompts: list[str], steps: int) -> Callable[[], np.ndarray]:
    side = int(model.unet.config.sample_size) * model.pixels_per_latent
    settings = SampleSettings(Constant(CFG), steps, side, side)

    def run() -> np.ndarray:
        conditions, empty = encode_prompts(model, prompts, settings), encode_prompts(model, [""], settings)
        return draw(model, conditions, empty, range(len(prompts)), settings).pixels

    return run


def pipeline_of(model: StableDiffusion) -> StableDiffusionPipeline:
    """diffusers' pipeline on the model's modules."""
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear", steps_offset=1
    )
    model.vae.register_to_config(scaling_factor=StableDiffusion1.latent_scale)
    pipe = StableDiffusionPipeline(
        model.vae, model.text_encoder, model.tokenizer, model.unet, scheduler, None, None, requires_safety_checker=False
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def theirs(pipe: StableDiffusionPipeline, prompts: list[str], steps: int) -> Callable[[], np.ndarray]:
    def run() -> np.ndarray:
        seeds = [generator(seed) for seed in range(len(prompts))]
        # The pipeline applies clip_skip to the prompts alone: encode the empty one as a prompt, to draw the same images.
        empty, _ = pipe.encode_prompt([""], "cpu", 1, False, clip_skip=1)
        output = pipe(
            prompts, negative_prompt_embeds=empty.expand(len(prompts), -1, -1), clip_skip=1,
            num_inference_steps=steps, guidance_scale=CFG, generator=seeds,
        )  # fmt: skip
        return np.stack([np.asarray(image) for image in output.images])

    return run


def timed(run: Callable[[], np.ndarray]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def random_miniature() -> StableDiffusion:
    """A model of the miniature's size with random weights: what it draws is noise, how long it takes is the same."""
    from pipeline.miniature.tokenizer import train_tokenizer

    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        tokenizer = train_tokenizer(["a creature with eyes"], Path(folder), merges=20)
    text = CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=4,
                          num_attention_heads=4, projection_dim=64, eos_token_id=len(tokenizer) - 1)  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 96, 128), layers_per_block=1, norm_num_groups=4, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(64, 96, 128, 128), cross_attention_dim=128, attention_head_dim=8, norm_num_groups=8
    )
    encoder = CLIPTextModel(text)
    for part in (encoder, vae, unet):
        part.eval().requires_grad_(False)
    return StableDiffusion(tokenizer, encoder, vae, unet, family=FAMILIES["sd1"])


def write_lora(model: StableDiffusion, path: Path) -> Path:
    """A random LoRA of rank 4 that fits the model."""
    noise = generator(0)
    weights = {}
    for name, layer in target_modules(model).items():
        out, into, *kernel = layer.weight.shape  # type: ignore[misc]
        down, up = (0.02 * torch.randn(*shape, *kernel, generator=noise) for shape in ((4, into), (out, 4)))
        weights[name] = lora.LowRank(down, up, 4.0)
    lora.save(path, weights)
    return path


if __name__ == "__main__":
    main()
