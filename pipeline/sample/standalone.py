"""Draw images of one's own prompts with any base model and LoRA: ReDiFine's sampling without the chain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline import lora as loras
from pipeline.errors import UserError
from pipeline.models import StableDiffusion, load_base
from pipeline.paths import image_name
from pipeline.prepare.base import base_files, base_hash
from pipeline.randomness import image_seed
from pipeline.sample.batches import Job, Plan, collect, discard, generate
from pipeline.sample.png import Lineage
from pipeline.sample.sampler import Settings, dtype_of, place
from pipeline.sample.schedule import make_schedule
from pipeline.storage import sha256_bytes, sha256_file, write_jsonl


def sample_prompts(
    model: str,
    lora: Path | None,
    prompts: Sequence[str],
    out: Path,
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
    batch: int = 8,
    precision: str = "fp32",
    device: str = "cpu",
) -> list[Path]:
    """One image per prompt into `out`, beside a manifest.jsonl -> the images' paths; goes on where a killed run stopped.

    `size` in pixels; None is the model's own. Raises UserError on bad input, and as `batches.generate` does.
    """
    if not prompts:
        raise UserError("there is no prompt to draw; give a file with one prompt a line")
    loaded = load_base(model)
    if lora is not None:
        loras.merge(loaded, lora)
    side = _checked_size(loaded, size)
    guidance = make_schedule(schedule, cfg, cfg_decay, cfg_end, interval_low, interval_high)
    settings = Settings(guidance, steps, side, side, clip_skip, max_token_length)
    weights = sha256_file(lora) if lora is not None else None
    lineage = Lineage(Path(model).name, base_hash(base_files(model)), lora.stem if lora else None, weights, cfg, settings)
    jobs = [Job(image_name(i), i, 0, prompt, image_seed(seed, 0, i)) for i, prompt in enumerate(prompts)]
    key = json.dumps([model, asdict(lineage), [asdict(job) for job in jobs], batch, precision, device], sort_keys=True)
    plan = Plan(out.name, jobs, settings, lineage, batch, out / ".unfinished" / sha256_bytes(key.encode())[:16])
    generate(place(loaded, device, dtype_of(precision, device)), plan)
    write_jsonl(out / "manifest.jsonl", collect(plan, out))
    discard(plan)
    return [out / job.file for job in jobs]


def _checked_size(model: StableDiffusion, size: int | None) -> int:
    """Pixels, in each direction. Raises UserError for a size that latents cannot have."""
    cell = model.pixels_per_latent
    side = size or int(model.unet.config.sample_size) * cell
    if side % cell:
        raise UserError(f"size must be a multiple of {cell} pixels, got {side}")
    return side
