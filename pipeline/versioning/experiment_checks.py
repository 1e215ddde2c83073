"""Checks before `dvc exp`: its own failures in an unready Git checkout are riddles, and can cost params.yaml."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.chain import params
from pipeline.core.errors import UserError
from pipeline.inputs.missing import missing_inputs
from pipeline.versioning.git import ask_git, git
from pipeline.versioning.untracked_code import check_code_is_in_git

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_IN_PART = "keep it in a folder of its own, such as raw/mine, and 'dvc add' that, or "
"""What to do where Git holds the rest of a folder, which DVC then cannot hold."""

_NEEDED = ("params.yaml", "dvc.yaml")


def check_git(root: Path) -> None:
    """Raise UserError unless `root` is a Git checkout with an identity, in which Git knows params.yaml and dvc.yaml.

    Changes that are not committed are a part of the experiment, and DVC keeps them; a file that Git does not know is
    deleted when DVC fails before the first stage.
    """
    if ask_git(root, "rev-parse", "--git-dir") is None and _has_repository(root):
        git(root, "rev-parse", "--git-dir")  # which says what is wrong with it
    if ask_git(root, "rev-parse", "--verify", "HEAD") is None:
        raise UserError(
            "experiments are kept in Git, and this repository has no commits; run 'git init', 'git add -A' and 'git commit'"
        )
    if not ask_git(root, "config", "user.name") or not ask_git(root, "config", "user.email"):
        raise UserError(
            "an experiment is a commit, and Git does not know who you are; "
            "run 'git config user.name NAME' and 'git config user.email ADDRESS'"
        )
    for name in _NEEDED:
        if ask_git(root, "ls-files", "--error-unmatch", name) is None:
            raise UserError(f"{name} is not in Git, and a failing experiment could delete it; 'git add' and 'git commit' it")


def _has_repository(root: Path) -> bool:
    """Return whether there is a .git at or above a folder, whatever is wrong with it."""
    place = root.resolve()
    return any((folder / ".git").exists() for folder in (place, *place.parents))


def check_settings(arguments: Sequence[str], file: Path = params.FILE) -> dict[str, Any]:
    """Check every value that `dvc exp ARGUMENTS` would set in params.yaml, each run of a grid by itself; return {key: value}.

    Of a grid, that is the last value. Settings of other files (`-S file.yaml:key=value`) are DVC's business. Raise UserError
    that names key and value; also for inputs that a copy of the project would lack, where DVC would run in one, for a VAE
    whose files have changed, and for code that Git does not know.
    """
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] != ["run"]:
        return {}
    check_code_is_in_git(file.parent)
    current = params.load(file).model_dump()
    options, _ = _options().parse_known_args(list(arguments))
    settings = [text for given in options.set_param if (text := _of_params(given, file)) is not None]
    choices = {override.key_or_group: _values(override, options.queue) for override in map(_parsed, settings)}
    inputs: dict[tuple[str, str], None] = {}
    for values in itertools.product(*choices.values()):
        setting = current | dict(zip(choices, values, strict=True))
        checked = params.check(setting, Path("-S"))
        # A dependency that is not there would be DVC's "No such file or directory".
        for sentence in missing_inputs({key: setting[key] for key in choices}, file.parent):
            raise UserError(sentence)
        inputs |= dict.fromkeys(_inputs(checked))
    if options.queue:
        check_queue(file.parent)
    for name, given in inputs if options.queue or options.temp else ():
        check_copy(name, given, file.parent)
    if not options.force and not {"model", "vae"} & choices.keys():
        from pipeline.inputs.base_models.identity import check_vae

        check_vae(current["model"], current["vae"], file.parent)
    return {key: values[-1] for key, values in choices.items()}


def quote_settings(arguments: Sequence[str]) -> list[str]:
    """Return `dvc exp ARGUMENTS` with quotation marks around values that DVC would not read without: -S 'title=Größe'."""
    words, quoted, is_value = list(arguments), [], False
    for word in words:
        flag, text = ("", word) if is_value else _flag(word)
        is_value = word in ("-S", "--set-param")
        quoted.append(word if flag is None or is_value else f"{flag}{_quoted(text, '--queue' in words)}")
    return quoted


def _flag(word: str) -> tuple[str | None, str]:
    """Return the option that a word begins with, and the value of -S that it goes on with; None for another word."""
    for flag in ("--set-param=", "-S"):
        if word.startswith(flag):
            return flag, word.removeprefix(flag)
    return None, word


def _quoted(text: str, queue: bool) -> str:
    """Return [FILE:]KEY=VALUE, or with `queue` [FILE:]KEY=VALUE,VALUE, as it can be read: as it is, where that is possible."""
    key, equals, value = text.partition("=")
    name = key.rpartition(":")[2]
    if not equals or _is_readable(f"{name}={value}"):
        return text
    parts = value.split(",") if queue else [value]
    return f"{key}={','.join(part if _is_readable(f'{name}={part}') else _in_quotes(part) for part in parts)}"


def _in_quotes(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_readable(text: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        return False
    return True


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("redifine exp run", add_help=False)
    parser.add_argument("-S", "--set-param", action="append", default=[])
    parser.add_argument("--queue", action="store_true")
    parser.add_argument("--temp", action="store_true")
    parser.add_argument("-f", "--force", action="store_true")
    return parser


def _inputs(values: params.Params) -> Iterator[tuple[str, str]]:
    """(parameter, path) of what a run reads and finds by a path in the project."""
    for name in params.PATH_PARAMETERS:
        given = getattr(values, name)
        is_read = name != "folder" or values.dataset == "folder"
        if given and is_read and not Path(given).is_absolute():
            yield name, given


def check_queue(root: Path) -> None:
    """Raise UserError where DVC's queue would fail for each experiment: its worker writes the paths of its copies in ASCII."""
    from pipeline.versioning.dvc_repo import open_repo

    with open_repo(root) as repo:
        written = {"the path of DVC's cache": os.fsencode(repo.cache.local_cache_dir)}
    for name in (".dvc/config.local", ".git/config"):
        if (root / name).is_file():
            written[name] = (root / name).read_bytes()
    for what, content in written.items():
        if not content.isascii():
            word = next(word for word in content.decode(errors="replace").split() if not word.isascii())
            raise UserError(
                f"DVC's queue writes in ASCII, and {what} has {word!r} in it; run one experiment at a time with --temp in the "
                "place of --queue, many with 'redifine sweep', or make this clone again below a path of plain letters"
            )


def check_copy(name: str, given: str, root: Path) -> None:
    """Raise UserError for an input that a run would not find in a copy of what Git and DVC hold, as DVC's queue makes."""
    if _is_in_dvc(given, root) or not (root / given).exists():
        return
    unknown = ask_git(root, "ls-files", "--others", "-z", "--", given)
    if unknown == "":
        return
    if unknown is None:  # beyond a link, or outside of the checkout
        lacking, advice = given, ""
    else:
        lacking = unknown.split("\0")[0]
        partly = ask_git(root, "ls-files", "--", given)
        advice = _IN_PART if partly else f"run 'dvc add {given}' and 'git add {given}.dvc', or "
    raise UserError(
        f"{name}: {lacking} is not in Git, and DVC runs this in a copy of what Git and DVC hold; "
        f"{advice}set {name} to an absolute path"
    )


def _is_in_dvc(given: str, root: Path) -> bool:
    """Return whether a path, or a folder that it lies in, was added by `dvc add` and its .dvc file to Git."""
    places = (Path(given), *Path(given).parents)
    return any(ask_git(root, "ls-files", "--error-unmatch", f"{place}.dvc") is not None for place in places[:-1])


def _of_params(given: str, file: Path) -> str | None:
    """Return what `-S [FILE:]KEY=VALUE` sets in params.yaml; None when FILE is another one."""
    name, colon, rest = given.partition(":")
    if not colon or "=" in name:
        return given
    return rest if name == file.name else None


def _parsed(text: str) -> Override:
    """`KEY=VALUE` as DVC reads it. Raise UserError for what can be written so, but is no value of params.yaml."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise _unreadable(text) from error
    key = override.key_or_group
    if override.is_add() or override.is_force_add() or override.is_delete() or override.package is not None:
        raise UserError(f"-S {text!r} would add or remove a key, and those of params.yaml are fixed; write -S {key}=VALUE")
    if "." in key or "/" in key or key == "iterations":
        raise UserError(f"-S {text!r} would set a part of a mapping; edit iterations in params.yaml itself, then run again")
    return override


def _unreadable(text: str) -> UserError:
    return UserError(f"-S {text!r} cannot be read; write KEY=VALUE, or with --queue KEY=VALUE,VALUE or KEY=range(FROM,TO,STEP)")


def _values(override: Override, queue: bool) -> list[Any]:
    """Return every value that an override gives its key; several are a grid, which DVC runs from its queue alone."""
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep
    from hydra.errors import HydraException

    if not override.is_sweep_override():
        return [override.value()]
    text = override.input_line or override.key_or_group
    if not isinstance(override.value(), ChoiceSweep | RangeSweep):
        raise _unreadable(text)
    if not queue:
        raise UserError(f"-S {text!r} gives several values; add --queue, and run them with 'dvc queue start'")
    try:
        values = list(override.sweep_string_iterator())
    except (HydraException, ValueError) as error:
        raise _unreadable(text) from error
    return [_parsed(f"{override.key_or_group}={value}").value() for value in values]
