"""The commands that run one stage of the chain each: what dvc.yaml calls, and `redifine sample` for prompts of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pipeline.chain import params as parameters
from pipeline.chain.paths import Layout
from pipeline.cli.options import CHAIN_DEFAULTS, Decorator, device_option, drawing, print_lines, processes_option, refuse_others
from pipeline.core.errors import UserError
from pipeline.diffusion.devices import pick_device
from pipeline.run.recorded_stage import run_stage


def _k(minimum: int) -> Decorator:
    return click.option(
        "--k", type=click.IntRange(min=minimum), required=True, metavar="K", help="Iteration.", callback=_of_chain
    )


def _of_chain(context: click.Context, option: click.Parameter, k: int | None) -> int | None:
    """Refuse an iteration that the chain has not, whatever of it may lie here. Raises UserError."""
    if k is not None and k > (last := parameters.load().last):
        raise UserError(f"there is no iteration {k}: params.yaml lists 1 to {last}; add a line under iterations there first")
    return k


def _view(stage: str) -> parameters.View:
    return parameters.View(parameters.load(), stage)


Run = Callable[..., None]


def _run(kind: str, run: Run, *arguments: Any) -> None:
    """Call a stage's `run` with its parameters first."""
    run_stage(kind, lambda view: run(view, *arguments))


@click.command(short_help="Raw images, captions -> D_0, P, M_0's record.")
def prepare() -> None:
    """Raw images and captions -> D_0, the prompts P, M_0's record."""
    from pipeline.prepare import stage

    _run("prepare", stage.run, Layout())


@click.command(short_help="Choose T_k, what M_k is finetuned on.")
@_k(1)
def curate(k: int) -> None:
    """D_0, D_{k-1}, T_{k-1} -> T_k, the images that M_k is finetuned on."""
    from pipeline.curate import stage

    _run("curate", stage.run, k, Layout())


@click.command(short_help="Finetune: T_k, M_0 -> M_k, a LoRA.")
@_k(1)
@device_option
@processes_option
@click.option("--dry-run", is_flag=True, help="Print the generated TOML pair and train nothing.")
def train(k: int, device: str | None, processes: int, dry_run: bool) -> None:
    """T_k, M_0 (or M_{k-1}) -> M_k, a LoRA in kohya's format.

    Example: redifine train --k 1 --dry-run
    """
    from pipeline.train import stage

    if dry_run:
        print_lines(stage.dry_run(_view("train"), k, Layout(), pick_device(device)))
    else:
        _run("train", stage.run, k, Layout(), pick_device(device), processes)


@click.command(short_help="Draw D_k with M_k, or prompts of your own.")
@click.option("--k", type=click.IntRange(min=1), metavar="K", help="Iteration: M_k, P -> D_k, as params.yaml says.",
              callback=_of_chain)  # fmt: skip
@device_option
@processes_option
@drawing
@click.pass_context
def sample(context: click.Context, k: int | None, device: str | None, processes: int, **options: Any) -> None:
    """M_k, P -> D_k; or, with --prompts, any LoRA and prompts through the same sampler.

    --device and --processes belong to both forms, the other options to the second.

    Example: redifine sample --lora x.safetensors --prompts p.txt --schedule exponential
    """
    if k is not None:
        from pipeline.sample import stage

        refuse_others(context, "k", "device", "processes")
        _run("sample", stage.run, k, Layout(), pick_device(device), processes)
        return
    if options["prompts"] is None:
        raise click.UsageError("give --k for an iteration of the chain, or --prompts for prompts of your own")
    from pipeline.sample.own_prompts import sample_prompts
    from pipeline.sample.prompt_file import read_prompts

    if parameters.FILE.is_file():
        params = parameters.load()
        defaults = CHAIN_DEFAULTS if options["model"] else (*CHAIN_DEFAULTS, "vae")
        options |= {name: getattr(params, name) for name in defaults if options[name] is None}
    prompts = read_prompts(options.pop("prompts"))
    given = {name: value for name, value in options.items() if value is not None}
    written = sample_prompts(prompts=prompts, device=pick_device(device), processes=processes, **given)
    click.echo(f"{len(written)} images in {options['out']}")


@click.command(short_help="FID, recall, CLIP score, SFD of D_k.")
@_k(0)
@device_option
def measure(k: int, device: str | None) -> None:
    """D_0, D_k, T_k -> metrics/k.json (k = 0: D_0's own features and the real-versus-real floor)."""
    from pipeline.measure import stage

    _run("measure", stage.run, k, Layout(), pick_device(device))


@click.command(short_help="Spectra, fingerprint, latents and Diff norms of D_k.")
@_k(0)
def analyse(k: int) -> None:
    """D_k, traces -> analysis/k.json, .safetensors: spectra, fingerprint, latents, Diff norms (k = 0: the images' own part)."""
    from pipeline.analyse import stage

    _run("analyse", stage.run, k, Layout())


@click.command(short_help="One page on the whole chain.")
def report() -> None:
    """Everything -> report/index.html, report/summary.json, plots/."""
    from pipeline.report import stage

    _run("report", stage.run, Layout())


STAGES = (prepare, curate, train, sample, measure, analyse, report)
