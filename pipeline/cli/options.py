"""Command-line options that more than one command needs, or that are too many to stand beside the command."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from pipeline.chain.params import Params
from pipeline.cli.project_folder import GivenPath, PathOrName
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


class _ScheduleOption(click.Option):
    """A parameter of schedules, whose help names those that read it."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        readers = ", ".join(name for name, found in SCHEDULES.items() if self.name in found.reads)
        record = super().get_help_record(ctx)
        return record and (record[0], f"{readers}: {record[1]}")


def _kind(name: str) -> click.ParamType:
    """Return the type and range that params.yaml has for a parameter."""
    field = Params.model_fields[name]
    if get_origin(field.annotation) is Literal:
        return click.Choice(get_args(field.annotation))
    bounds = {key: getattr(one, key) for one in field.metadata for key in ("ge", "gt", "le") if hasattr(one, key)}
    kind = click.IntRange if field.annotation is int else FiniteRange
    return kind(bounds.get("ge", bounds.get("gt")), bounds.get("le"), min_open="gt" in bounds)


def _param(name: str, text: str, **settings: Any) -> Decorator:
    """Return the option of a parameter, with its type, range and default unless `settings` has another."""
    usual = {"type": _kind(name), "default": Params.model_fields[name].default, "show_default": True, "help": text}
    return click.option(f"--{name.replace('_', '-')}", **usual | settings)


def together(*options: Decorator) -> Decorator:
    """Return several click decorators as one, in the order of the help."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


FOLDER = GivenPath(file_okay=False)
_FILE = GivenPath(exists=True, dir_okay=False)

drawing = together(
    click.option("--model", type=PathOrName(), metavar="PATH",
                 help="Base model, a folder in diffusers layout; default: params.yaml's."),
    click.option("--vae", type=PathOrName(), metavar="PATH",
                 help="In the place of the model's own; default: params.yaml's, with its model."),
    click.option("--lora", type=_FILE, help="A LoRA: kohya's, LoCon, diffusers' or PEFT's."),
    click.option("--prompts", type=_FILE,
                 help="One prompt a line, or a prompt file of sd-scripts (.txt, .toml, .json): a prompt's own --n, --w, --h, "
                      "--d, --l, --s go before the options here."),
    click.option("--negative-prompt", metavar="TEXT", help="What guidance leads away from; default: the empty prompt."),
    click.option("--out", type=FOLDER, default=Path("samples"), show_default=True,
                 help="Folder for the images and manifest.jsonl."),
    _param("schedule", "How guidance changes; exponential is ReDiFine's.", type=_Registered(SCHEDULES), default="exponential"),
    _param("cfg", "Guidance scale (s_0 of a schedule)."),
    _param("cfg_decay", "how fast guidance falls.", cls=_ScheduleOption),
    _param("cfg_end", "the last step's scale.", cls=_ScheduleOption),
    _param("interval_low", "guide only above this noise level (sigma).", cls=_ScheduleOption),
    _param("interval_high", "guide only below this noise level.", cls=_ScheduleOption),
    _param("steps", "Sampling steps T."),
    _param("seed", "Image i has the same noise in any batch, of any size."),
    click.option("--size", type=_kind("resolution"), help="Width and height in pixels; default: the model's own."),
    _param("images_per_prompt", "Images of each prompt."),
    click.option("--batch", type=_kind("sample_batch"), default=8, show_default=True,
                 help="Images drawn at a time; changes none of them."),
    _param("precision", "Of weights and arithmetic; a CPU takes fp16 as fp32."),
    _param("clip_skip", "Counts as kohya's: 2 is the last layer but one; default: params.yaml's.", default=None),
    _param("max_token_length", "Tokens of a prompt; default: params.yaml's.", default=None),
)  # fmt: skip
"""The options of `redifine sample` without --k, with the defaults of params."""

CHAIN_DEFAULTS = ("model", "clip_skip", "max_token_length")
"""Options whose default is the chain's own value, where there is a params.yaml; --vae's is, too, where --model's is."""


device_option = click.option("--device", metavar="NAME", help="Torch device; CUDA where there is one, else the CPU.")

processes_option = click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    envvar="REDIFINE_PROCESSES",  # `dvc repro` passes no options on
    metavar="N",
    help="Share the work among N processes, on as many GPUs; also by the variable REDIFINE_PROCESSES.",
)


def git_remote_option(text: str) -> Decorator:
    return click.option("--git-remote", default="origin", show_default=True, metavar="NAME", help=text)


def print_lines(lines: Iterable[object]) -> None:
    for line in lines:
        click.echo(str(line))


def print_notes(*notes: str) -> None:
    for note in notes:
        click.echo(f"Note: {note}", err=True)


def refuse_others(context: click.Context, *allowed: str) -> None:
    """Raise UsageError for an option on the command line that is not one of `allowed`, instead of ignoring it."""
    given = click.core.ParameterSource.COMMANDLINE
    for name in context.params.keys() - set(allowed):
        if context.get_parameter_source(name) == given:
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} does not go with --k, which reads params.yaml; set {name} there, or leave out --k")
