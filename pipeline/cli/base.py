"""The commands `redifine base fetch`, `check` and `list`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.project_folder import GivenPath, PathOrName
from pipeline.core.errors import UserError
from pipeline.core.files import project_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.diffusion.judgement.usable import Role
    from pipeline.inputs.base_models.check import Report
    from pipeline.inputs.base_models.fetch import Fetched


@click.group(short_help="Bring a base model here, and check it.")
def base() -> None:
    """Bring a base model here once, hashed and recorded. Everything after that works without a network."""


@base.command(short_help="Bring a model into models/base.")
@click.argument("model", type=PathOrName(), default="sd15", metavar="[MODEL]")
@click.option(
    "--vae", type=PathOrName(), metavar="VAE", help="Bring this VAE, too; default: the one that 'base list' names beside MODEL."
)
@click.option("--no-vae", is_flag=True, help="Bring no VAE of its own.")
@click.option("--revision", metavar="REV", help="A commit, tag or branch of the hub's repository.")
@click.option("--variant", type=click.Choice(["fp16"]), help="The weights in half precision: half the download.")
@click.option("--tokenizer", type=GivenPath(exists=True), help="For a single file: a folder with vocab.json "
              "and merges.txt, or CLIP's bpe_simple_vocab_16e6.txt.gz.")  # fmt: skip
@click.option("--name", metavar="NAME", help="Its folder below models/base.")
@click.option("--use", is_flag=True, help="Write model and vae into params.yaml.")
def fetch(
    model: str, vae: str | None, no_vae: bool, revision: str | None, variant: str | None, tokenizer: Path | None,
    name: str | None, use: bool,
) -> None:  # fmt: skip
    """Bring MODEL into models/base: a name ('redifine base list'), a hub id owner/name[@revision], a folder, or one file.

    Only configs and safetensors come. A fetch that breaks off goes on where it stopped; what is half there is never used.

    Example: redifine base fetch sd15 --use
    """
    from pipeline.chain.model_names import CATALOGUE
    from pipeline.diffusion.families.layouts import LAYOUTS
    from pipeline.inputs.base_models.fetch import fetch as bring

    if vae and no_vae:
        raise click.UsageError("give --vae or --no-vae, not both")
    root = project_root()
    main = bring(model, root, name, revision, variant, tokenizer)
    _say(main, root)
    wanted = None if no_vae else vae or (CATALOGUE[model].vae if model in CATALOGUE else None)
    # A single-file VAE looks alike for both kinds of model, but their latents are scaled differently.
    configs = LAYOUTS[main.record["kind"]].published() if main.record["kind"] in LAYOUTS else None
    second = bring(wanted, root, configs=configs) if wanted else None
    if second:
        if second.record["kind"] != "vae":
            raise UserError(f"{_shown(second.folder, root)} is no VAE but {second.record['kind']}; name a VAE with --vae")
        _say(second, root)
    if main.record["kind"] in LAYOUTS:
        _point(main, second, root, use)
    elif use:
        raise UserError(f"{_shown(main.folder, root)} is no base model, so --use cannot set it; set the parameter yourself")


def _shown(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.as_posix()


def _say(fetched: Fetched, root: Path) -> None:
    from pipeline.inputs.base_models.check import describe_source

    rows = fetched.record["files"].values()
    size = f"{sum(row['bytes'] for row in rows) / 1e9:.2f} GB in {len(rows)} files"
    what = "here already" if fetched.was_here else "fetched"
    source = describe_source(fetched.record["source"], fetched.record.get("licence"))
    click.echo(f"{_shown(fetched.folder, root)}: {what}, {size}, {source}")


def _point(main: Fetched, vae: Fetched | None, root: Path, use: bool) -> None:
    """Set model and vae in params.yaml, or say how."""
    values = {"model": _shown(main.folder, root), "vae": _shown(vae.folder, root) if vae else None}
    if use:
        from pipeline.chain import presets
        from pipeline.chain.params import FILE

        presets.assign(values, root / FILE)
        click.echo(f"params.yaml has model: {values['model']}, vae: {values['vae'] or 'null'}")
    else:
        click.echo(f"set model: {values['model']} and vae: {values['vae'] or 'null'} in params.yaml, or give --use")


@base.command(short_help="Is a model whole and unchanged?")
@click.argument("model", type=PathOrName(), required=False)
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def check(model: str | None, json_: bool) -> None:
    """Check MODEL (a name below models/base or a folder); without it, the model and the VAE of params.yaml.

    Every part is there, every file has the hash that was recorded, and the architecture is one that a chain can use.

    Example: redifine base check sd15
    """
    from pipeline.chain import params
    from pipeline.diffusion.judgement.usable import require_no_faults, used_folders
    from pipeline.inputs.base_models.check import as_json, as_text
    from pipeline.inputs.base_models.check import check as look
    from pipeline.inputs.base_models.source import local_folder

    root = project_root()
    uses: Sequence[tuple[str, Role | None, tuple[str, ...]]] = [(model, None, ())] if model else ()
    if not model:
        values = params.load(root / params.FILE)
        uses = used_folders(values.model, values.vae)
    reports: list[Report] = []
    for name, role, without in uses:
        folder = local_folder(name, root)
        reports.append(look(folder, _shown(folder, root), role, without))
    click.echo(as_json(reports) if json_ else "\n".join(as_text(report) for report in reports))
    for report in reports:
        require_no_faults(report.folder, report.faults)


@base.command(name="list", short_help="Models by name, and those that are here.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def list_models(json_: bool) -> None:
    """List the models that can be fetched by name, and everything in models/base."""
    from pipeline.inputs.base_models.check import all_models, as_json, as_table

    found = all_models(project_root())
    click.echo(as_json(found) if json_ else as_table(found))
