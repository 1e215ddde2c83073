"""What is replaced in DVC, in this process, of how it runs a stage: the lock is waited for, and the record is of what ran.

Before a stage DVC reads parameters and hashes to look the stage up, and lets its lock go; when the stage has ended it takes
the lock, at once or never, and reads them again, for dvc.lock. Here it waits as long as another process has the lock
(`dvc_waiting`), tells the stage what it read, and fails where it reads something else in the end. It can go when DVC records
what it read before. tests/versioning/test_dvc_internals.py notices what else of DVC changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.core.errors import UserError
from pipeline.versioning import finished_work

if TYPE_CHECKING:
    from dvc.stage import Stage

PARAMS_AT_START = "REDIFINE_PARAMS"
"""Environment variable that tells a stage the parameters that DVC read before it started it, as JSON."""

_read_before: dict[str, dict[str, Any]] = {}
"""{stage: {dependency: what DVC read of it before the stage ran}} of those that have run and are not recorded yet."""


def patch_stage_runs() -> None:
    """From now on have DVC, in this process, run stages so."""
    from dvc.stage import Stage
    from dvc.stage import run as stage_run

    if stage_run.unlocked_repo.__module__ == __name__:
        return
    stage_run.unlocked_repo = _noting(stage_run.unlocked_repo)
    Stage.save_outs = _comparing(Stage.save_outs)
    Stage.dump = _forgetting(Stage.dump)


def _noting(unlocked_repo: Callable[..., Any]) -> Callable[..., Any]:
    """`dvc.stage.decorators.unlocked_repo`, which runs a stage's command without the lock."""

    def noting(run: Callable[..., Any]) -> Callable[..., Any]:
        unlocked = unlocked_repo(run)

        @wraps(run)
        def wrapper(stage: Stage, *arguments: Any, run_env: dict[str, str] | None = None, **options: Any) -> Any:
            stage.save_deps(allow_missing=True)
            _read_before[stage.addressing] = before = _dependencies(stage)
            params = {name: value for found in before.values() if isinstance(found, dict) for name, value in found.items()}
            told = {PARAMS_AT_START: json.dumps(params)}
            return unlocked(stage, *arguments, run_env={**(run_env or {}), **told}, **options)

        return wrapper

    noting.__module__ = __name__
    return noting


def _comparing(save_outs: Callable[..., Any]) -> Callable[..., Any]:
    """`Stage.save_outs`, which comes when all dependencies were read for the record, and before anything is written."""

    @wraps(save_outs)
    def wrapper(stage: Stage, *arguments: Any, **options: Any) -> Any:
        from dvc.stage.exceptions import StageCmdFailedError

        before = _read_before.pop(stage.addressing, None)
        if before is not None and (others := list(_others(before, _dependencies(stage)))):
            click.echo(
                f"Error: changed as {stage.addressing} ended, and DVC would record it so: {', '.join(others)}; what it made is "
                "kept: undo the change and run again, and it is not computed twice, or run again as it is",
                err=True,
            )
            raise StageCmdFailedError(stage.cmd, 2)
        return save_outs(stage, *arguments, **options)

    return wrapper


def _forgetting(dump: Callable[..., Any]) -> Callable[..., Any]:
    """`Stage.dump`, which writes dvc.lock: what is recorded need not be kept."""

    @wraps(dump)
    def wrapper(stage: Stage, *arguments: Any, **options: Any) -> Any:
        result = dump(stage, *arguments, **options)
        with suppress(UserError, OSError):
            finished_work.drop_recorded(Path(stage.wdir))
        return result

    return wrapper


def _dependencies(stage: Stage) -> dict[str, Any]:
    return {str(dep): dep.hash_info.value for dep in stage.deps}


def _others(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in before:
        was, found = before[name], now.get(name)
        if isinstance(was, dict) and isinstance(found, dict):
            yield from (f"{key} ({was.get(key)!r}, now {found.get(key)!r})" for key in was if found.get(key) != was[key])
        elif was != found:
            yield name
