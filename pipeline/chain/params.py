"""params.yaml: what can be set, its type and range, and which stage reads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticKnownError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.chain.model_names import fault_of_setting
from pipeline.core.errors import UserError, printable
from pipeline.core.guards import fault_of_text, short_repr
from pipeline.methods.policies import POLICIES
from pipeline.methods.policies.select import POOLS, RULES
from pipeline.methods.schedules import SCHEDULES
from pipeline.methods.schedules.interval import fault_of_interval

FILE = Path("params.yaml")


def one_of(names: Iterable[str]) -> BeforeValidator:
    """Accept the names of a registry alone, as Literal does those that stand in the code."""

    def checked(value: Any) -> Any:
        if value not in tuple(names):
            *others, last = map(repr, names)
            raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})
        return value

    return BeforeValidator(checked)


PromptLength = Literal[75, 150, 225]
PROMPT_LENGTHS: tuple[int, ...] = get_args(PromptLength)
"""Tokens of a prompt that are read: one, two or three windows of CLIP's text encoder."""


class Step(BaseModel):
    """One entry of the mapping `iterations`: DVC's foreach cannot compute k - 1, so it is written out."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    prev: int = Field(ge=0)


class Params(BaseModel):
    """Everything that a run depends on. Every knob is a top-level scalar, so that `dvc exp run -S cfg=2.5` works."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    seed: int = Field(0, ge=0)
    iterations: dict[str, Step]

    # Base model
    model: str = Field("models/miniature", min_length=1)
    vae: str | None = None

    # Data (prepare)
    dataset: Literal["creatures", "folder"] = "creatures"
    folder: str | None = "raw"
    prompts: int | None = Field(100, ge=2)
    prompt_form: Literal["full", "tags", "short", "long"] = "full"
    creature_styles: list[str] = Field(["inkpress"], min_length=1)
    resolution: int = Field(64, ge=64, multiple_of=8)
    fit: Literal["crop", "pad", "squash"] = "crop"
    strict: bool = True
    cut_captions: bool = False
    real_noise: float = Field(0.0, ge=0.0, le=1.0)

    # How D_0..D_K are kept (prepare, sample)
    shard_above: int = Field(10_000, ge=0)
    shard_size: int = Field(1000, ge=1, le=100_000)

    # Training set (curate)
    training_set: Annotated[str, one_of(POLICIES)] = "replace"
    real_fraction: float = Field(0.5, ge=0.0, le=1.0)
    selection: Annotated[str, one_of(RULES)] = "greedy"
    pool: Annotated[str, one_of(POOLS)] = "replace"
    selection_threshold: float | None = Field(None, gt=0.0)
    selection_quantile: float = Field(0.5, gt=0.0, le=1.0)
    selection_decay: float = Field(0.95, gt=0.0, lt=1.0)

    # Finetuning (train)
    trainer: Literal["kohya", "builtin"] = "kohya"
    start_from: Literal["base", "previous"] = "base"
    condition_drop: float = Field(0.0, ge=0.0, le=1.0)
    rank: int = Field(16, ge=1, le=4096)
    alpha: float = Field(4.0, gt=0.0, le=1e6)
    unet_lr: float = Field(3e-3, ge=0.0)
    text_encoder_lr: float = Field(1.5e-3, ge=0.0)
    train_parts: Literal["both", "unet", "text_encoder"] = "both"
    batch_size: int = Field(8, ge=1)
    epochs: int = Field(16, ge=1, le=1_000_000)
    updates: int | None = Field(None, ge=1, le=100_000_000)
    clip_skip: int = Field(2, ge=1, le=12)
    max_token_length: PromptLength = 75
    min_snr_gamma: float | None = Field(5.0, gt=0.0)
    noise_offset: float = Field(0.0, ge=0.0)
    caption_dropout: float = Field(0.0, ge=0.0, le=1.0)
    flip: bool = True
    max_grad_norm: float = Field(1.0, ge=0.0)
    optimizer: Literal["AdamW", "FusedAdamW", "AdamW8bit"] = "AdamW"
    lr_scheduler: Literal["constant", "cosine", "linear"] = "constant"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    cache_latents: bool = False
    gradient_checkpointing: bool = False
    attention: Literal["sdpa", "xformers"] = "sdpa"

    # Sampling (sample)
    cfg: float = Field(7.5, ge=0.0, le=1000.0)
    schedule: Annotated[str, one_of(SCHEDULES)] = "constant"
    cfg_decay: float = Field(2.0, ge=0.0, le=1000.0)
    cfg_end: float = Field(1.0, ge=0.0, le=1000.0)
    interval_low: float = Field(0.28, ge=0.0)
    interval_high: float = Field(5.42, gt=0.0)
    steps: int = Field(30, ge=1, le=1000)
    images_per_prompt: int = Field(1, ge=1)
    sample_batch: int = Field(50, ge=1)

    # Measures (measure)
    features: Literal["clip", "dinov2"] = "clip"
    feature_model: str = "models/miniature/clip"
    clip_model: str = "models/miniature/clip"
    neighbours: int = Field(5, ge=1)
    neighbour_images: int = Field(10_000, ge=100)
    frequency_cutoff: float = Field(0.02, ge=0.0, lt=0.5)

    # Analyses (analyse)
    denoiser: Literal["wavelet", "nlm", "dncnn"] = "wavelet"
    denoiser_weights: str | None = None

    # Report
    title: str = "Chain of Diffusion"

    @field_validator("*", mode="after")
    @classmethod
    def _plain_text(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and printable(text) != text:
                fault = fault_of_text(text) or "a line break or another character that does not show"
                raise ValueError(f"{short_repr(text)} holds {fault}; remove it")
        return value

    @field_validator("model", "vae", mode="after")
    @classmethod
    def _folder(cls, value: str | None) -> str | None:
        if fault := fault_of_setting(value):
            raise ValueError(fault)
        return value

    @model_validator(mode="after")
    def _check_combinations(self) -> Params:
        expected = {str(k): k - 1 for k in range(1, len(self.iterations) + 1)}
        found = {key: step.prev for key, step in self.iterations.items()}
        if not expected or found != expected:
            raise ValueError('iterations must count "1": {prev: 0}, "2": {prev: 1}, ... without a gap, keys quoted')
        if self.dataset == "folder" and not self.folder:
            raise ValueError("dataset is folder, so folder must name the folder that holds the images")
        if self.denoiser == "dncnn" and not self.denoiser_weights:
            raise ValueError("denoiser is dncnn, so denoiser_weights must name its safetensors file")
        if fault := fault_of_interval(self.interval_low, self.interval_high):
            raise ValueError(fault)
        return self

    @property
    def last(self) -> int:
        """K, the number of iterations."""
        return len(self.iterations)


MODEL_PARAMETERS = ("model", "vae", "feature_model", "clip_model")
"""Parameters that name a folder with a model (the latter two: or one on the Hub)."""

PATH_PARAMETERS = (*MODEL_PARAMETERS, "folder", "denoiser_weights")
"""Every parameter that names files which a run reads."""

_MODEL = ("model", "vae")
_PROMPT_ENCODING = ("clip_skip", "max_token_length")

STAGE_PARAMS: dict[str, tuple[str, ...]] = {
    "prepare": ("seed", *_MODEL, "dataset", "folder", "prompts", "prompt_form", "creature_styles",
                "resolution", "fit", "strict", "max_token_length", "cut_captions", "real_noise", "shard_above", "shard_size"),
    "curate": ("seed", "training_set", "real_fraction", "selection", "pool", "selection_threshold", "selection_quantile",
               "selection_decay"),
    "train": (
        "seed", *_MODEL, *_PROMPT_ENCODING, "resolution", "trainer", "start_from", "condition_drop", "rank", "alpha",
        "unet_lr", "text_encoder_lr", "train_parts", "batch_size", "epochs", "updates", "min_snr_gamma", "noise_offset",
        "caption_dropout", "flip", "max_grad_norm", "optimizer", "lr_scheduler", "precision", "cache_latents",
        "gradient_checkpointing", "attention",
    ),
    "sample": (
        "seed", *_MODEL, *_PROMPT_ENCODING, "resolution", "precision", "cfg", "schedule", "cfg_decay",
        "cfg_end", "interval_low", "interval_high", "steps", "images_per_prompt", "sample_batch", "shard_above", "shard_size",
    ),
    "measure": ("features", "feature_model", "clip_model", "neighbours", "neighbour_images", "frequency_cutoff"),
    "analyse": ("denoiser", "denoiser_weights"),
    "report": tuple(Params.model_fields),
}  # fmt: skip
"""What each stage reads; dvc.yaml lists the same, and `View` lets a stage see nothing else."""


class View:
    """The parameters of one stage as attributes. Reading one that the stage does not declare is an AttributeError."""

    def __init__(self, params: Params, stage: str) -> None:
        self._stage = stage
        for name in STAGE_PARAMS[stage]:
            setattr(self, name, getattr(params, name))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"stage {self._stage} does not declare the parameter {name!r} in STAGE_PARAMS")

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def load(path: Path = FILE) -> Params:
    """Read and check params.yaml. Raise UserError that names the key, the value and the file."""
    try:
        values = YAML(typ="safe").load(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist; run in the project's folder, or restore it with 'git checkout {path}'"
        ) from error
    except (YAMLError, ValueError, RecursionError, OSError) as error:
        reason = str(error).partition("To suppress this check")[0]
        raise UserError(f"{path} cannot be read as YAML: {' '.join(reason.split())}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path} must hold 'key: value' lines with words as keys")
    if isinstance(values.get("iterations"), dict) and not all(isinstance(key, str) for key in values["iterations"]):
        # DVC itself would find no stages, say that all is up to date, and end well.
        raise UserError(f'{path}: the keys of iterations must be in quotes, "1": {{prev: 0}}')
    checked = check(values, path)
    # A line that is gone would change the run silently.
    if missing := [name for name in Params.model_fields if name not in values]:
        raise UserError(f"{path} lacks {', '.join(missing)}; restore the lines from 'git show HEAD:{path}', or write them")
    return checked


def listed_iterations(text: str) -> frozenset[int] | None:
    """Return which k the chain of a params.yaml has, 0 among them: every command asks here, whatever else lies about.

    None where that cannot be told: the file, perhaps of another version of the project, has no iterations.
    """
    try:
        found = YAML(typ="safe").load(text)
    except (YAMLError, ValueError, RecursionError):
        return None
    entries = found.get("iterations") if isinstance(found, dict) else None
    keys = [str(key) for key in entries] if isinstance(entries, dict) else []
    return frozenset({0, *map(int, keys)}) if keys and all(key.isascii() and key.isdigit() for key in keys) else None


def check(values: dict[str, Any], path: Path = FILE) -> Params:
    """Build Params from a mapping. Raise UserError with every problem in one sentence."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_sentence(detail) for detail in error.errors())
        raise UserError(f"{path}: {problems}") from error


def _sentence(detail: Any) -> str:
    """Return one pydantic problem as "key must be ..., got value"."""
    key = ".".join(str(part) for part in detail["loc"])
    kind, context, got = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return f"unknown key {key!r}{_did_you_mean(key)}, got {short_repr(got)}"
    if kind == "missing":
        return f"{key} is missing"
    if kind == "value_error":
        return f"{key}: {context['error']}" if key else str(context["error"])
    bounds = {
        "greater_than_equal": f">= {context.get('ge')}", "greater_than": f"> {context.get('gt')}",
        "less_than_equal": f"<= {context.get('le')}", "less_than": f"< {context.get('lt')}",
        "multiple_of": f"a multiple of {context.get('multiple_of')}", "literal_error": f"one of {context.get('expected')}",
        "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
        "finite_number": "a finite number", "string_type": "text", "bool_type": "true or false",
        "list_type": "a list", "model_type": "a mapping {prev: k-1}",
        "dict_type": "a mapping with a line 'k: {prev: k-1}' for each k",
    }  # fmt: skip
    return f"{key} must be {bounds.get(kind, detail['msg'])}, got {short_repr(got)}"


def _did_you_mean(key: str) -> str:
    import difflib

    close = difflib.get_close_matches(key, Params.model_fields, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
