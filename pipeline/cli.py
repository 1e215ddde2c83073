"""The command line: reads params.yaml, picks the device, and calls one stage or tool."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline import params as parameters
from pipeline.base.commands import base
from pipeline.base.names import not_here
from pipeline.captions.commands import caption
from pipeline.compare.commands import compare
from pipeline.completion import completion
from pipeline.convert import convert
from pipeline.datasets.commands import dataset
from pipeline.doctor.commands import doctor
from pipeline.errors import UserError, disk_sentence, is_out_of_memory, printable
from pipeline.lineage.commands import lineage
from pipeline.options import CHAIN_DEFAULTS, FiniteRange, drawing, refuse_others
from pipeline.paths import Layout
from pipeline.process import die_with_parent
from pipeline.repro import repro
from pipeline.results.commands import results
from pipeline.share.commands import COMMANDS as SHARING
from pipeline.status.commands import status
from pipeline.status.times import timed
from pipeline.sweep.commands import figure, sweep
from pipeline.theory.commands import theory
from pipeline.verify.commands import verify

_DVC_STAGE = "DVC_STAGE"
MINIATURE_PARTS = ("towers", "vae", "classifier", "unet", "unet_restart", "unet_restart_2")


class _Group(click.Group):
    """Prints a UserError as one sentence and exits with 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            with timed(os.environ.get(_DVC_STAGE)):
                return super().invoke(context)
        except UserError as error:
            click.echo(f"Error: {printable(str(error))}", err=True)
            context.exit(2)
        except KeyboardInterrupt:
            click.echo("Stopped: what is finished is kept; the same command goes on from there", err=True)
            context.exit(130)
        except OSError as error:
            if (sentence := disk_sentence(error)) is None:
                raise
            click.echo(f"Error: {printable(sentence)}", err=True)
            context.exit(2)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            click.echo("Error: the memory is used up; lower what was set last (batch, rank, resolution)", err=True)
            context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="redifine", prog_name="redifine")
def main() -> None:
    """Finetune a text-to-image model on its own output, again and again, and measure how it collapses.

    The whole chain runs by `dvc repro`; each of its stages is a command here.
    """
    if _DVC_STAGE in os.environ:
        die_with_parent()


def _k(minimum: int) -> Callable[[Any], Any]:
    return click.option("--k", type=click.IntRange(min=minimum), required=True, metavar="K", help="Iteration.")


def _device(function: Any) -> Any:
    return click.option("--device", metavar="NAME", help="Torch device; CUDA where there is one, else the CPU.")(function)


def _processes(function: Any) -> Any:
    return click.option(
        "--processes",
        type=click.IntRange(1, 64),
        default=1,
        envvar="REDIFINE_PROCESSES",
        metavar="N",
        help="Share the work among N processes, on as many GPUs; also by the variable REDIFINE_PROCESSES.",
    )(function)


def _pick_device(name: str | None) -> str:
    import torch

    if name is not None and not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise UserError(f"--device must be cpu, cuda, cuda:N or mps, got {name!r}")
    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--device {device} cannot be used here: {str(error).splitlines()[0].partition('. ')[0]}") from error
    return device


def _view(stage: str) -> parameters.View:
    return parameters.View(parameters.load(), stage)


@main.command(short_help="Raw images, captions -> D_0, P, M_0's record.")
def prepare() -> None:
    """Raw images and captions -> D_0, the prompts P, M_0's record."""
    from pipeline.prepare import stage

    stage.run(_view("prepare"), Layout())


@main.command(short_help="Choose T_k, what M_k is finetuned on.")
@_k(1)
def curate(k: int) -> None:
    """D_0, D_{k-1}, T_{k-1} -> T_k, the images that M_k is finetuned on."""
    from pipeline.curate import stage

    stage.run(_view("curate"), k, Layout())


@main.command(short_help="Finetune: T_k, M_0 -> M_k, a LoRA.")
@_k(1)
@_device
@_processes
@click.option("--dry-run", is_flag=True, help="Print the generated TOML pair and train nothing.")
def train(k: int, device: str | None, processes: int, dry_run: bool) -> None:
    """T_k, M_0 (or M_{k-1}) -> M_k, a LoRA in kohya's format.

    Example: redifine train --k 1 --dry-run
    """
    from pipeline.train import stage

    if dry_run:
        for text in stage.dry_run(_view("train"), k, Layout()):
            click.echo(text)
    else:
        stage.run(_view("train"), k, Layout(), _pick_device(device), processes)


@main.command(short_help="Draw D_k with M_k, or prompts of your own.")
@click.option("--k", type=click.IntRange(min=1), metavar="K", help="Iteration: M_k, P -> D_k, as params.yaml says.")
@_device
@_processes
@drawing
@click.pass_context
def sample(context: click.Context, k: int | None, device: str | None, processes: int, **options: Any) -> None:
    """M_k, P -> D_k; or, with --prompts, any LoRA and prompts through the same sampler.

    --processes belongs to the first form; all options but --k, --device and --processes to the second.

    Example: redifine sample --lora x.safetensors --prompts p.txt --schedule exponential
    """
    if k is not None:
        from pipeline.sample import stage

        refuse_others(context, "k", "device", "processes")
        stage.run(_view("sample"), k, Layout(), _pick_device(device), processes)
        return
    if options["prompts"] is None:
        raise click.UsageError("give --k for an iteration of the chain, or --prompts for prompts of your own")
    from pipeline.sample.standalone import read_prompts, sample_prompts

    if parameters.FILE.is_file():
        params = parameters.load()
        options |= {name: getattr(params, name) for name in CHAIN_DEFAULTS if options[name] is None}
    prompts = read_prompts(options.pop("prompts"))
    given = {name: value for name, value in options.items() if value is not None}
    written = sample_prompts(prompts=prompts, device=_pick_device(device), **given)
    click.echo(f"{len(written)} images in {options['out']}")


@main.command(short_help="FID, recall, CLIP score, SFD of D_k.")
@_k(0)
@_device
def measure(k: int, device: str | None) -> None:
    """D_0, D_k, T_k -> metrics/k.json (k = 0: D_0's own features and the real-versus-real floor)."""
    from pipeline.measure import stage

    stage.run(_view("measure"), k, Layout(), _pick_device(device))


@main.command(short_help="Spectra, fingerprint, latents and Diff norms of D_k.")
@_k(0)
def analyse(k: int) -> None:
    """D_k, traces -> analysis/k.json, .safetensors: spectra, fingerprint, latents, Diff norms (k = 0: the images' own part)."""
    from pipeline.analyse import stage

    stage.run(_view("analyse"), k, Layout())


@main.command(short_help="One page on the whole chain.")
def report() -> None:
    """Everything -> report/index.html, report/summary.json, plots/."""
    from pipeline.report import stage

    stage.run(_view("report"), Layout())


@main.command(short_help="Write named sets of values into params.yaml.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
def preset(names: tuple[str, ...]) -> None:
    """Write the defaults with the presets NAME... on top into params.yaml, keeping its comments; without NAME, list them.

    A later preset wins over an earlier one. What params.yaml held before does not count: `redifine preset baseline` undoes
    every other preset. Prints what changed.

    Example: redifine preset pokemon redifine
    """
    from pipeline import presets

    if not names:
        for found, purpose in presets.available().items():
            click.echo(f"{found:24} {purpose}")
        return
    changes = presets.apply(names)
    for line in [*presets.told(changes), *not_here({key: after for key, (_, after) in changes.items()}, Path())]:
        click.echo(line)


@main.command(name="set", short_help="Write single values into params.yaml.")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE...")
def set_values(assignments: tuple[str, ...]) -> None:
    """Write single values into params.yaml, keeping its comments and every other value. Prints what changed.

    Example: redifine set cfg=2.5 seed=1
    """
    from pipeline import presets

    for line in presets.told(presets.assign(presets.parse_assignments(assignments))):
        click.echo(line)


@main.command(
    short_help="dvc exp, after checking that Git is ready.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def exp(arguments: tuple[str, ...]) -> None:
    """`dvc exp ...`, after checking that Git is ready for it, and every value that -S would set in params.yaml.

    Example: redifine exp run -S cfg=2.5
    """
    from pipeline.experiments import check_git, check_settings

    check_git(Path())
    check_settings(arguments)
    os.execvp(sys.executable, [sys.executable, "-m", "dvc", "exp", *arguments])


@main.group(short_help="The built-in small Stable Diffusion.")
def miniature() -> None:
    """The built-in small Stable Diffusion: draw its data, build it, evaluate it."""


@miniature.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("models/miniature"), show_default=True)
@click.option(
    "--scale", type=FiniteRange(min=0.0001), default=1.0, show_default=True, help="Share of the full number of steps."
)
@click.option("--part", type=click.Choice(MINIATURE_PARTS), multiple=True, help="Only these parts.")
def build(out: Path, scale: float, part: tuple[str, ...]) -> None:
    """Train all parts from scratch and write them to OUT (about three hours on 2 CPU cores)."""
    from pipeline.miniature.build import build as run

    run(out, scale=scale, parts=part or None)


@miniature.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("models/miniature"))
@click.option("--count", type=click.IntRange(min=16), default=256, show_default=True, help="Held-out prompts.")
@click.option("--sheet", type=click.Path(path_type=Path), default=Path("docs/miniature.png"), show_default=True)
def evaluate(model: Path, count: int, sheet: Path) -> None:
    """Measure the miniature on held-out captions and write evaluation.json and a contact sheet."""
    from pipeline.miniature.evaluate import evaluate as run

    click.echo(run(model, count, sheet))


@miniature.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--style", default=None, help="One of the drawing styles; default: any but the narrow one.")
def draw(folder: Path, count: int, seed: int, style: str | None) -> None:
    """Draw captioned creatures into FOLDER, one .png and .txt each."""
    from pipeline.miniature.creatures import write_folder

    write_folder(folder, count, seed, style)


for command in (
    base,
    caption,
    compare,
    completion,
    convert,
    dataset,
    doctor,
    figure,
    lineage,
    repro,
    results,
    status,
    sweep,
    theory,
    verify,
    *SHARING,
):
    main.add_command(command)
