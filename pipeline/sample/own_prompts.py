"""Draw images of one's own prompts with any base model and LoRA: ReDiFine's sampling without the chain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pipeline.chain.params import PROMPT_LENGTHS, Params
from pipeline.chain.run_environment import run_environment
from pipeline.core.errors import UserError
from pipeline.core.files import read_text, remove_scratch, sha256_bytes
from pipeline.core.json_files import write_jsonl
from pipeline.diffusion.families import family_of
from pipeline.diffusion.lora import identify
from pipeline.diffusion.models import Outline, outline
from pipeline.inputs.base_models.identity import base_files, base_hash
from pipeline.methods.schedules import GuidanceSettings, make_schedule
from pipeline.sample.image_plan import Plan, plan_images
from pipeline.sample.outputs import collect
from pipeline.sample.png import ImageLineage
from pipeline.sample.processes import draw_all
from pipeline.sample.sampler import SampleSettings, load_merged


def read_prompts(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank. Raise UserError when there is none."""
    lines = read_text(path).removeprefix("\ufeff").split("\n")
    prompts = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise UserError(f"{path} holds no prompt; write one a line")
    return prompts


def sample_prompts(
    model: str = Params.model_fields["model"].default,
    lora: Path | None = None,
    prompts: Sequence[str] = (),
    out: Path = Path("samples"),
    schedule: str = "exponential",
    cfg: float = 7.5,
    cfg_decay: float = 2.0,
    cfg_end: float = 1.0,
    interval_low: float = 0.28,
    interval_high: float = 5.42,
    steps: int = 30,
    seed: int = 0,
    size: int | None = None,
    clip_skip: int = 2,
    max_token_length: int = 75,
    images_per_prompt: int = 1,
    batch: int = 8,
    precision: str = "fp32",
    device: str = "cpu",
    processes: int = 1,
    vae: str | None = None,
) -> list[Path]:
    """Draw images of each prompt into `out`, beside a manifest.jsonl -> their paths; goes on where a killed run stopped.

    `vae` is used in the place of the model's own; `size` is in pixels, and None the model's own. `processes` share the images
    between them and change none. Raise UserError on bad input, and as `processes.draw_all` does.
    """
    if not prompts:
        raise UserError("there is no prompt to draw; give a file with one prompt a line")
    guidance = make_schedule(GuidanceSettings(schedule, cfg, cfg_decay, cfg_end, interval_low, interval_high))
    known = outline(model)
    _check_lengths(known, prompts, max_token_length)
    side = _checked_size(known, size)
    settings = SampleSettings(guidance, steps, side, side, clip_skip, max_token_length, family_of(model).layout.key)
    weights = identify(lora, lora.stem) if lora is not None else None
    lineage = ImageLineage(Path(model).name, base_hash(base_files(model, vae)), weights, cfg, settings)
    images = plan_images(enumerate(prompts), seed, 0, images_per_prompt)
    drawn = [model, vae, asdict(lineage), [asdict(image) for image in images], batch, precision, run_environment(device)]
    key = json.dumps(drawn, sort_keys=True)
    plan = Plan(out.name, images, settings, lineage, batch, out / ".unfinished" / sha256_bytes(key.encode())[:16])
    draw_all(partial(load_merged, model, vae, lora, precision), plan, device, processes)
    write_jsonl(out / "manifest.jsonl", collect(plan, out))
    remove_scratch(plan.scratch)
    return [out / image.file for image in images]


def _check_lengths(model: Outline, prompts: Sequence[str], max_token_length: int) -> None:
    """Raise UserError for a prompt that would be cut off."""
    lengths = [len(ids) - 2 for ids in model.tokenizer(list(prompts), verbose=False).input_ids]
    for number, length in enumerate(lengths, 1):
        if length > max_token_length:
            raise UserError(
                f"prompt {number} has {length} tokens, and only {max_token_length} would be read; "
                f"shorten it, or raise max_token_length (at most {PROMPT_LENGTHS[-1]})"
            )


def _checked_size(model: Outline, size: int | None) -> int:
    """Return pixels, in each direction. Raise UserError for a size that latents cannot have."""
    side = size or model.side
    if side % model.pixels_per_latent:
        raise UserError(f"size must be a multiple of {model.pixels_per_latent} pixels, got {side}")
    return side
