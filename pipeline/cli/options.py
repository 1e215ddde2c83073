"""Command-line options that more than one command needs, or that are too many to stand beside the command."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.chain.params import PROMPT_LENGTHS, Params
from pipeline.methods.schedules import SCHEDULES

Decorator = Callable[[Any], Any]


class FiniteRange(click.FloatRange):
    """A number in a range; click's own lets NaN and infinity through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return float(number)


class _Registered(click.Choice):
    """The names of a registry, which reads the project's extensions when it is first asked."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names, self.case_sensitive = names, True

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self._names)


def _default(name: str) -> Any:
    return Params.model_fields[name].default


def _option(flag: str, kind: click.ParamType, default: Any, text: str) -> Decorator:
    return click.option(flag, type=kind, default=default, show_default=default is not None, help=text)


_NOT_NEGATIVE = FiniteRange(min=0.0)
_SCALE = FiniteRange(min=0.0, max=1e6)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

_DRAWING: tuple[Decorator, ...] = (
    click.option("--model", metavar="PATH", help="Base model, a folder in diffusers layout; default: params.yaml's."),
    click.option("--vae", metavar="PATH", help="In the place of the model's own; default: params.yaml's, with its model."),
    click.option("--lora", type=_FILE, help="A LoRA in kohya's format."),
    click.option("--prompts", type=_FILE, help="One prompt a line."),
    _option("--out", click.Path(path_type=Path, file_okay=False), Path("samples"), "Folder for the images and manifest.jsonl."),
    _option("--schedule", _Registered(SCHEDULES), "exponential", "How guidance changes; exponential is ReDiFine's."),
    _option("--cfg", _SCALE, _default("cfg"), "Guidance scale (s_0 of a schedule)."),
    _option("--cfg-decay", _NOT_NEGATIVE, _default("cfg_decay"), "exponential: s_t = cfg * exp(-cfg_decay * t / T)."),
    _option("--cfg-end", _SCALE, _default("cfg_end"), "linear, cosine: the last step's scale."),
    _option("--interval-low", _NOT_NEGATIVE, _default("interval_low"), "interval: guide only above this noise level (sigma)."),
    _option("--interval-high", _NOT_NEGATIVE, _default("interval_high"), "interval: guide only below this noise level."),
    _option("--steps", click.IntRange(1, 1000), _default("steps"), "Sampling steps T."),
    _option("--seed", click.IntRange(min=0), _default("seed"), "Image i has the same noise in any batch, of any size."),
    _option("--size", click.IntRange(min=64), None, "Width and height in pixels; default: the model's own."),
    _option("--images-per-prompt", click.IntRange(min=1), _default("images_per_prompt"), "Images of each prompt."),
    _option("--batch", click.IntRange(min=1), 8, "Images drawn at a time; changes none of them."),
    _option(
        "--precision",
        click.Choice(["fp32", "fp16", "bf16"]),
        _default("precision"),
        "Of weights and arithmetic; a CPU takes fp16 as fp32.",
    ),
    _option(
        "--clip-skip", click.IntRange(1, 12), None, "Counts as kohya's: 2 is the last layer but one; default: params.yaml's."
    ),
    _option("--max-token-length", click.Choice(PROMPT_LENGTHS), None, "Tokens of a prompt; default: params.yaml's."),
)


CHAIN_DEFAULTS = ("model", "clip_skip", "max_token_length")
"""Options whose default is the chain's own value, where there is a params.yaml; --vae's is, too, where --model's is."""


def device_option(function: Any) -> Any:
    """Add --device, as `pick_device` takes it."""
    return click.option("--device", metavar="NAME", help="Torch device; CUDA where there is one, else the CPU.")(function)


def processes_option(function: Any) -> Any:
    """Add --processes, also by an environment variable, for `dvc repro` passes no options on."""
    return click.option(
        "--processes",
        type=click.IntRange(1, 64),
        default=1,
        envvar="REDIFINE_PROCESSES",
        metavar="N",
        help="Share the work among N processes, on as many GPUs; also by the variable REDIFINE_PROCESSES.",
    )(function)


def refuse_others(context: click.Context, *allowed: str) -> None:
    """Raise UsageError for an option on the command line that is not one of `allowed`, instead of ignoring it."""
    given = click.core.ParameterSource.COMMANDLINE
    for name in context.params.keys() - set(allowed):
        if context.get_parameter_source(name) == given:
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} does not go with --k, which reads params.yaml; set {name} there, or leave out --k")


def drawing(function: Any) -> Any:
    """Add the options of `redifine sample` without --k, with the defaults of params."""
    for option in reversed(_DRAWING):
        function = option(function)
    return function
