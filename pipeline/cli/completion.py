"""The command `redifine completion`: click's own script for a shell, and where to put it."""

from __future__ import annotations

import click

PLACES = {
    "bash": "redifine completion bash > ~/.local/share/bash-completion/completions/redifine",
    "zsh": "redifine completion zsh > ~/.zfunc/_redifine, with 'fpath+=~/.zfunc' before 'compinit' in ~/.zshrc",
    "fish": "redifine completion fish > ~/.config/fish/completions/redifine.fish",
}


@click.command(short_help="Script that lets bash, zsh or fish complete.")
@click.argument("shell", type=click.Choice(tuple(PLACES)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands and options; its first line says where to put it.

    Example: redifine completion fish > ~/.config/fish/completions/redifine.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"this version of click knows no {shell}")
    script = kind(context.find_root().command, {}, "redifine", "_REDIFINE_COMPLETE").source().strip()
    # zsh looks for #compdef in the very first line.
    first, _, rest = script.partition("\n")
    note = f"# Put this in place with: {PLACES[shell]}"
    click.echo(f"{first}\n{note}\n{rest}" if first.startswith("#compdef") else f"{note}\n{script}")
