"""Draw images of one's own prompts with any base model and LoRA: ReDiFine's sampling without the chain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.chain.params import PROMPT_LENGTHS, Params
from pipeline.chain.run_environment import run_environment
from pipeline.core.errors import UserError
from pipeline.core.files import remove_scratch, sha256_bytes
from pipeline.core.json_files import write_jsonl
from pipeline.core.randomness import image_seed
from pipeline.diffusion.compiled import is_compiled
from pipeline.diffusion.families import DiffusionModel, family_of
from pipeline.diffusion.judgement.usable import require_usable
from pipeline.diffusion.lora import LoraFile, identify
from pipeline.diffusion.models import Outline, outline
from pipeline.inputs.base_models.identity import base_files, base_hash
from pipeline.methods.schedules import GuidanceSettings, make_schedule
from pipeline.sample.image_plan import Plan, PlannedImage, plan_images
from pipeline.sample.outputs import collect
from pipeline.sample.png import ImageLineage
from pipeline.sample.processes import LoadModel, draw_all
from pipeline.sample.prompt_file import Prompt
from pipeline.sample.sampler import SampleSettings, load_merged


class _LoadOnce:
    """Loads the model when it is first asked for; one that is compiled, for images of one size, is loaded again."""

    def __init__(self, load: LoadModel) -> None:
        self._load = load
        self._model: DiffusionModel | None = None

    def __call__(self, device: str) -> DiffusionModel:
        if self._model is None or is_compiled(self._model.denoiser):
            self._model = self._load(device)
        return self._model

    def __reduce__(self) -> Any:
        return _LoadOnce, (self._load,)


def sample_prompts(
    model: str = Params.model_fields["model"].default,
    lora: Path | None = None,
    prompts: Sequence[str | Prompt] = (),
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
    negative_prompt: str = "",
) -> list[Path]:
    """Draw images of each prompt into `out`, beside a manifest.jsonl -> their paths; goes on where a killed run stopped.

    What a `Prompt` says of its image goes before `negative_prompt`, `size`, `seed`, `cfg` and `steps`; one with a seed is drawn
    as the first prompt of a file is with that --seed. `vae` is used in the place of the model's own; `size` is in pixels, and
    None the model's own. `processes` share the images between them and change none. Raise UserError on bad input, and as
    `processes.draw_all` does.
    """
    if not prompts:
        raise UserError("there is no prompt to draw; give a file with one prompt a line")
    schedules = GuidanceSettings(schedule, cfg, cfg_decay, cfg_end, interval_low, interval_high)
    make_schedule(schedules)  # refuses what is no schedule before a model is read
    require_usable(model, vae)
    known = outline(model)
    side = size or known.side
    usual = Prompt("", negative_prompt, side, side, None, cfg, steps)
    wanted = [_filled(prompt, usual) for prompt in prompts]
    _check_sizes(known, wanted)
    _check_lengths(known, wanted, max_token_length)
    weights = identify(lora, lora.stem) if lora is not None else None
    common = _Common(model, vae, base_hash(base_files(model, vae)), weights, schedules, clip_skip, max_token_length, batch)
    images = [image for index, prompt in enumerate(wanted) for image in _images(index, prompt, seed, images_per_prompt)]
    plans = list(common.plans(images, out, [precision, run_environment(device)]))
    load = _LoadOnce(partial(load_merged, model, vae, lora, precision))
    rows: list[dict[str, Any]] = []
    for plan in plans:
        draw_all(load, plan, device, processes)
        rows += collect(plan, out)
    rows.sort(key=lambda row: (row["prompt_index"], row["image_index"]))
    write_jsonl(out / "manifest.jsonl", rows)
    for plan in plans:
        remove_scratch(plan.scratch)
    return [out / row["file"] for row in rows]


def _filled(prompt: str | Prompt, usual: Prompt) -> Prompt:
    """Return a prompt that says all of its image, but perhaps its seed."""
    given = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
    return replace(usual, **{name: value for name, value in vars(given).items() if value is not None})


def _images(index: int, prompt: Prompt, seed: int, count: int) -> Iterator[tuple[Prompt, PlannedImage]]:
    """List the images of one prompt, each with what is drawn like it: without text and seed."""
    like = replace(prompt, text="", seed=None)
    for number, image in enumerate(plan_images([(index, prompt.text)], seed, 0, count)):
        own = image if prompt.seed is None else replace(image, seed=image_seed(prompt.seed, 0, 0, number))
        yield like, own


@dataclass(frozen=True)
class _Common:
    """What all images of a run have in common."""

    model: str
    vae: str | None
    base: str
    lora: LoraFile | None
    guidance: GuidanceSettings
    clip_skip: int
    max_token_length: int
    batch: int

    def plans(self, images: Sequence[tuple[Prompt, PlannedImage]], out: Path, also: Sequence[object]) -> Iterator[Plan]:
        """List a plan for all images of one size, scale, number of steps, negative prompt; `also` decides their bytes, too."""
        groups: dict[Prompt, list[PlannedImage]] = {}
        for like, image in images:
            groups.setdefault(like, []).append(image)
        for like, alike in groups.items():
            settings = self._settings(like)
            lineage = ImageLineage(Path(self.model).name, self.base, self.lora, float(like.cfg or 0.0), settings)
            drawn = [self.model, self.vae, asdict(lineage), [asdict(image) for image in alike], self.batch, *also]
            key = sha256_bytes(json.dumps(drawn, sort_keys=True).encode())[:16]
            yield Plan(out.name, alike, settings, lineage, self.batch, out / ".unfinished" / key)

    def _settings(self, like: Prompt) -> SampleSettings:
        assert like.cfg is not None and like.steps and like.height and like.width, "filled in by _filled"
        return SampleSettings(
            schedule=make_schedule(replace(self.guidance, cfg=like.cfg)),
            steps=like.steps,
            height=like.height,
            width=like.width,
            clip_skip=self.clip_skip,
            max_token_length=self.max_token_length,
            family=family_of(self.model).layout.key,
            negative=like.negative or "",
        )


def _check_lengths(model: Outline, prompts: Sequence[Prompt], max_token_length: int) -> None:
    """Raise UserError for a prompt that would be cut off."""
    texts = {f"prompt {number}": prompt.text for number, prompt in enumerate(prompts, 1)}
    texts |= {f"the negative prompt of prompt {number}": prompt.negative or "" for number, prompt in enumerate(prompts, 1)}
    lengths = [len(ids) - 2 for ids in model.tokenizer(list(texts.values()), verbose=False).input_ids]
    for name, length in zip(texts, lengths, strict=True):
        if length > max_token_length:
            raise UserError(
                f"{name} has {length} tokens, and only {max_token_length} would be read; "
                f"shorten it, or raise max_token_length (at most {PROMPT_LENGTHS[-1]})"
            )


def _check_sizes(model: Outline, prompts: Sequence[Prompt]) -> None:
    """Raise UserError for a size that latents cannot have."""
    for number, prompt in enumerate(prompts, 1):
        for name, pixels in (("width", prompt.width), ("height", prompt.height)):
            if pixels and pixels % model.pixels_per_latent:
                what = f"multiple of {model.pixels_per_latent} pixels, got {pixels}"
                raise UserError(f"the size of prompt {number} must be a {what} ({name})")
