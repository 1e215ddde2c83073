"""The commands `redifine remote`, `share`, `get`, `ls`, `export` and `import`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from pipeline.cli.options import FOLDER, Decorator, git_remote_option, print_lines, together
from pipeline.cli.project_folder import PathOrName, given_path
from pipeline.core.errors import UserError, printable
from pipeline.core.files import project_root

_FORMATS = ("hf-dataset", "webdataset", "folder", "lora")
_git_remote = git_remote_option("Where experiments are.")
_places = together(click.option("--remote", metavar="NAME", help="DVC remote; default: the project's."), _git_remote)


def _experiment(force_help: str) -> Decorator:
    return together(
        click.option("--exp", "experiment", metavar="NAME", help="Of this experiment, not of the work tree."),
        click.option("--force", is_flag=True, help=force_help),
    )


@click.command(short_help="Set the DVC remote that iterations are shared on.")
@click.argument("url")
@click.option("--name", default="shared", show_default=True, help="What DVC calls it.")
@click.option(
    "--set", "options", multiple=True, metavar="KEY=VALUE", help="One of DVC's options, secret or not; may be repeated."
)
def remote(url: str, name: str, options: tuple[str, ...]) -> None:
    """Make URL (a folder, s3://, gs://, ssh:// or https://, which is read only) the project's DVC remote.

    The library it needs is installed. Keys, passwords and user names go to .dvc/config.local, which Git ignores.

    Example: redifine remote s3://bucket/chains --set endpointurl=http://localhost:9000
    """
    from pipeline.provenance.share.remotes import parse_options, set_up

    place = url if "://" in url or not url.strip() else given_path(url)
    found = set_up(project_root(), name, place, parse_options(options))
    where = f"{name.lower()} ({printable(found.url)})"
    click.echo(f"iterations are shared on {where}; commit .dvc/config, so that others share there too")


@click.command(short_help="Send iterations to the DVC remote.")
@click.argument("iterations", nargs=-1, type=click.IntRange(min=0), metavar="[K]...")
@_experiment("Replace an experiment of that name on the Git remote.")
@_places
def share(iterations: tuple[int, ...], experiment: str | None, force: bool, remote: str | None, git_remote: str) -> None:
    """Send iterations K (default: all) with everything that they were made from.

    With --exp, the experiment goes to the Git remote as well.

    Example: redifine share 3 --exp cfg2.5
    """
    from pipeline.provenance.share import sharing

    sent, notices = sharing.share(project_root(), iterations, experiment, force, remote, git_remote)
    print_lines((f"{sent} file(s) sent" if sent else "everything is there already", *notices))


@click.command(short_help="Fetch one iteration, or a whole experiment.")
@click.argument("k", type=click.IntRange(min=0), required=False)
@click.option("--images", metavar="A:B", help="Of D_K alone images A to B-1, as its manifest.jsonl lists them.")
@_experiment("Overwrite what was changed here.")
@_places
def get(k: int | None, images: str | None, experiment: str | None, force: bool, remote: str | None, git_remote: str) -> None:
    """Fetch what iteration K is: D_K, T_K, M_K, its metrics and analysis, the prompts and M_0's record; no other D_j.

    Without K, all iterations. With --exp, the experiment's params.yaml and dvc.lock come into the work tree first.
    With --images, of a set in shards just the shards that hold them.

    Example: redifine get 3 --exp cfg2.5
    """
    from pipeline.provenance.share import sharing

    if images is not None and (k is None or experiment is not None):
        raise click.UsageError("--images needs an iteration K, and takes no --exp; get the experiment first")
    if k is None and experiment is None:
        raise UserError("say what to get: an iteration ('redifine get 3'), or an experiment ('redifine get --exp NAME')")
    if images is not None and k is not None:
        fetched, notices = sharing.get_images(project_root(), k, _span(images), force, remote)
    else:
        fetched, notices = sharing.get(project_root(), k, experiment, force, remote, git_remote)
    print_lines((f"{fetched} file(s) fetched" if fetched else "everything is here already", *notices))


def _span(images: str) -> slice:
    """What --images says, 0:1000, as a slice. Raises UsageError for anything else."""
    found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", images)
    if not found or int(found[1]) >= int(found[2]):
        raise click.UsageError(f"--images takes A:B with A below B, as 0:1000; got {images!r}")
    return slice(int(found[1]), int(found[2]))


@click.command(short_help="Which iterations of which experiments a remote has.")
@click.argument("remote", type=PathOrName(), required=False)
@_git_remote
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def ls(remote: str | None, git_remote: str, json_: bool) -> None:
    """List what REMOTE has: experiment or branch, k, cfg, FID, size.

    REMOTE is the name of a DVC remote (default: the project's), a folder, or an address: s3://, gs://, ssh://, https://.

    Example: redifine ls /mnt/share/chains
    """
    from pipeline.provenance.share.listing import as_json, as_table, list_remote

    rows = list_remote(project_root(), remote, git_remote)
    if json_:
        click.echo(as_json(rows))
    elif rows:
        click.echo(as_table(rows))
    else:
        click.echo("nothing is shared there yet; 'redifine share' sends iterations")


@click.command(short_help="D_k as a data set, or M_k as a LoRA, that others' tools read.")
@click.argument("k", type=click.IntRange(min=0))
@click.option("--to", "format_", type=click.Choice(_FORMATS), required=True, help="hf-dataset: Hugging Face imagefolder; "
              "webdataset: tar shards; folder: kohya's images and .txt; lora: M_k.")  # fmt: skip
@click.option("--out", type=FOLDER, help="Default: export/D_K-FORMAT.")
@click.option("--name", help="What the set or model is called; default: from the title in params.yaml.")
@click.option("--licence", "--license", default="unknown", show_default=True, help="As the hub writes it: mit, cc-by-4.0, ...")
def export(k: int, format_: str, out: Path | None, name: str | None, licence: str) -> None:
    """Write D_K (or with --to lora M_K) with a card that says what it is, and SHA256SUMS of every file.

    Example: redifine export 3 --to hf-dataset --licence cc-by-4.0
    """
    from pipeline.provenance.share.export import write_export

    target = out or Path("export") / (f"M_{k}-lora" if format_ == "lora" else f"D_{k}-{format_}")
    digest = write_export(project_root(), k, format_, target, name, licence)
    click.echo(f"{target}: sha256 of its SHA256SUMS is {digest}")


@click.command(name="import", short_help="Someone's exported D_k as raw images for a D_0.")
@click.argument("source", type=PathOrName())
@click.option("--out", type=FOLDER, default=Path("raw"), show_default=True)
@click.option("--sha256", metavar="HASH", help="What the sender's `redifine export` printed.")
def import_(source: str, out: Path, sha256: str | None) -> None:
    """Check every file of the exported D_k at SOURCE (a folder or an http address) and write images and captions to OUT.

    Example: redifine import https://huggingface.co/datasets/someone/D_3
    """
    from pipeline.provenance.share.importing import import_set

    count = import_set(source, out, sha256)
    click.echo(f"{count} images in {out}, all hashes right; to start from them:")
    click.echo(f"redifine set dataset=folder folder={out.as_posix()} prompts=null")
