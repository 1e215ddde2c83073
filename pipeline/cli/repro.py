"""The commands `redifine repro` and `redifine exp`, which run DVC."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from pipeline.chain import params as parameters
from pipeline.cli import fork_server
from pipeline.run import fork_client
from pipeline.run.repro import check_fetched, check_folder, is_forced, repair
from pipeline.run.stage_python import use_this_python
from pipeline.versioning.dvc_command import run_dvc
from pipeline.versioning.finished_work import drop_all
from pipeline.versioning.run_at_work import check_no_run, only_run


@click.command(
    short_help="dvc repro, after repairing what a killed one left torn.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def repro(arguments: tuple[str, ...]) -> None:
    """`dvc repro ...`, after repairing what a DVC that was killed while it wrote has left torn.

    Without arguments it makes nothing again that a remote has and `redifine get` did not bring: it says how to go on.
    A stage's exit status 2 (it said in one sentence what to fix) or 130 (Ctrl-C) is this command's; DVC's own would be 255.

    Example: redifine repro report
    """
    if {"-h", "--help"} & set(arguments):
        click.echo(f"{click.get_current_context().get_help()}\n\nDVC's own options:\n")
        sys.exit(run_dvc(["repro", "--help"]))
    if parameters.FILE.is_file():
        params = parameters.load()
        check_folder(params)
        if params.vae and not is_forced(arguments):
            from pipeline.inputs.base_models.identity import check_vae

            check_vae(params.model, params.vae, Path())
    use_this_python()
    from pipeline.provenance.verify.repair import repair_touched

    with only_run(Path()):
        for sentence in (*repair(Path()), *repair_touched(Path()).done):
            click.echo(sentence, err=True)
        if not arguments and parameters.FILE.is_file():
            check_fetched(Path(), parameters.load().last)
        if is_forced(arguments):
            drop_all(Path())
        with fork_client.fork_server(Path(), fork_server.MODULE):
            code = run_dvc(["repro", *arguments])
    sys.exit(code)


@click.command(
    short_help="dvc exp, after checking that Git is ready.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def exp(arguments: tuple[str, ...]) -> None:
    """`dvc exp ...`, after checking that Git is ready for it, and every value that -S would set in params.yaml.

    `exp apply NAME` is our own: it refuses where DVC's would lose an edit; `exp restore` brings back what DVC's has put away.
    A run that does not come to its end puts its -S values back.

    Example: redifine exp run -S cfg=2.5
    """
    from pipeline.cli import experiments
    from pipeline.versioning.experiment_checks import check_git, check_settings, quote_settings
    from pipeline.versioning.submodules import keep_submodules

    if own := experiments.COMMANDS.get("".join(arguments[:1])):
        own.main(list(arguments[1:]), f"redifine exp {own.name}", standalone_mode=False)
        return
    check_git(Path())
    arguments = tuple(quote_settings(arguments))
    values = check_settings(arguments)
    if arguments[:1] == ("save",):
        check_no_run(Path())
    keep_submodules(Path())
    use_this_python()
    runs_stages = arguments[:1] == ("run",) and not {"--queue", "--run-all"} & set(arguments)
    with ExitStack() as stack:
        if runs_stages and "--temp" not in arguments:
            stack.enter_context(only_run(Path()))
        if runs_stages:
            stack.enter_context(fork_client.fork_server(Path(), fork_server.MODULE))
        code = experiments.run(arguments, values)
    sys.exit(code)
