"""`redifine finetune`: sd-scripts on one's own config, with condition drop."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from pipeline.cli.options import FiniteRange, device_option, processes_option
from pipeline.cli.project_folder import folder_of_typing
from pipeline.core.errors import INTERRUPTED
from pipeline.diffusion.devices import pick_device


@click.command(
    short_help="Your own kohya run with condition drop.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("config", type=click.Path(path_type=Path), metavar="CONFIG.toml")
@click.option(
    "--condition-drop",
    "--condition_drop",
    type=FiniteRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    metavar="P",
    help="Share of the samples that each step trains on the empty prompt; the paper's is 0.2.",
)
@device_option
@processes_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[ANY SD-SCRIPTS OPTION]...")
@click.pass_context
def finetune(
    context: click.Context, config: Path, condition_drop: float, device: str | None, processes: int, options: tuple[str, ...]
) -> None:  # fmt: skip
    """Train a LoRA as your own sd-scripts config says (its --config_file), on a Stable Diffusion 1.x or SDXL.

    The unmodified script of the model's family runs in this terminal with all that it can do: buckets, sample images, logging,
    validation, resuming. Paths count from the current folder. With --processes, each process takes a batch of its own.

    Example: redifine finetune config.toml --condition-drop 0.2 --max_train_epochs 10
    """
    from pipeline.train.kohya import finetune as own_run

    try:
        outcome = own_run.finetune(config, options, condition_drop, pick_device(device), processes, folder_of_typing())
    except KeyboardInterrupt:
        click.echo("Stopped: what sd-scripts has saved is kept; from a saved state, --resume FOLDER goes on", err=True)
        context.exit(INTERRUPTED)
    if "draw" in outcome:
        click.echo(f"{outcome['lora']}; draw with it: {shlex.join(outcome['draw'])}")
    elif outcome:
        click.echo(f"{outcome['lora']}; redifine sample cannot draw with it: {outcome['undrawable']}")
