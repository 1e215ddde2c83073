"""Run a stage for DVC so that what DVC records of it is what ran.

DVC writes the parameters and hashes that it finds when a stage has ended. A stage that then finds others than it has read
fails; what it has finished is kept, and is not computed again where the old ones come back.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.chain import params as parameters
from pipeline.chain.params import STAGE_PARAMS, Params, View
from pipeline.core.errors import UserError
from pipeline.core.loaded_code import is_as_noted, note_imported
from pipeline.core.process import lock_holder
from pipeline.run.status.times import kind_of, timed
from pipeline.versioning.dvc_stage_runs import PARAMS_AT_START
from pipeline.versioning.false_records import false_records
from pipeline.versioning.finished_work import bring_back, drop, drop_recorded, keep, kept_at
from pipeline.versioning.stage_declarations import Declaration, declaration
from pipeline.versioning.stage_inputs import Changes, StageInputs, changes, inputs_at_start, inputs_now

Work = Callable[[View], None]

_SETTLE_SECONDS = 5.0
"""So long what another process has put into params.yaml for a moment, as plain `dvc exp run --queue` does, is waited for."""
_LOOK_SECONDS = 0.1
_MOST_NAMED = 5


def run_stage(kind: str, work: Work) -> None:
    """Do `work`, the stage `kind`, with its parameters.

    As a stage of DVC raise UserError where a parameter, module or other input is another at its end than it has read.
    """
    params = parameters.load()
    name = os.environ.get("DVC_STAGE", "").rpartition(":")[2]
    declared = declaration(Path(), name, params.model_dump()) if name.partition("@")[0] and _is_of(kind, name) else None
    if declared is None:
        work(View(params, kind))
        return
    params = _as_dvc_has_them(kind, params)
    _run_declared(name, kind, params, declared, work)


def _is_of(kind: str, name: str) -> bool:
    """Return whether DVC's stage `name` runs the command `kind`: "reference" runs `measure`, "reference_analysis" `analyse`."""
    return {"reference": "measure", "reference_analysis": "analyse"}.get(kind_of(name), kind_of(name)) == kind


def _run_declared(name: str, kind: str, params: Params, declared: Declaration, work: Work) -> None:
    root = Path()
    if false := false_records(root):
        raise UserError(
            f"{'; '.join(map(str, false))}; it was changed as the stage ended: run 'redifine repro', which mends this"
        )
    before = inputs_at_start(root, name, _values(kind, params), declared.deps)
    found_kept = bring_back(root, before, declared.outs)
    if found_kept:
        click.echo(f"{name} had ended before with just these inputs, and DVC had not recorded it: nothing is computed again")
    else:
        with timed(name):
            _import_all(kind)
            work(View(params, kind))
    place = kept_at(root, before) if found_kept else _kept(root, before, declared)
    found = _settled_changes(root, before, kind, declared)
    if not found:
        return
    if place is not None and not found_kept and not found.is_certain(root):
        drop(place)
        place = None
    raise UserError(_sentence(name, found, place is not None))


def _kept(root: Path, before: StageInputs, declared: Declaration) -> Path | None:
    """Keep what was made, and no longer what is recorded by now; where it cannot be kept, no finished stage fails for it."""
    try:
        drop_recorded(root)
        return keep(root, before, declared.outs)
    except (UserError, OSError):
        return None


def _values(kind: str, params: Params) -> dict[str, Any]:
    values = params.model_dump()
    return {name: values[name] for name in STAGE_PARAMS[kind]}


def _import_all(kind: str) -> None:
    """Import the stage's code; what a process that it starts imports comes later, and within moments."""
    importlib.import_module(f"pipeline.{kind}.stage")
    if kind == "train":
        importlib.import_module("pipeline.train.builtin")
    note_imported()
    if not is_as_noted():
        raise UserError("the code was changed as this stage began, and it cannot be told which ran; run again")


def _as_dvc_has_them(kind: str, params: Params) -> Params:
    """Return the parameters once they are those that DVC has read before it started this stage, where it tells them."""
    if (told := os.environ.get(PARAMS_AT_START)) is None:
        return params
    expected = json.loads(told)
    until = time.monotonic() + _SETTLE_SECONDS
    while others := _others(expected, _values(kind, params)):
        if time.monotonic() > until:
            raise UserError(f"params.yaml was changed as this stage began: {', '.join(others)}; run again, nothing is lost")
        time.sleep(_LOOK_SECONDS)
        params = parameters.load()
    return params


def _others(expected: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    return [name for name, value in values.items() if name in expected and expected[name] != value]


def _settled_changes(root: Path, before: StageInputs, kind: str, declared: Declaration) -> Changes:
    """Return what has changed; while another process has DVC's lock, not before that has had time to put it back."""
    until = time.monotonic() + _SETTLE_SECONDS
    while True:
        found = _changes(root, before, kind, declared)
        if not found or time.monotonic() > until or lock_holder(root) is None:
            return found
        time.sleep(_LOOK_SECONDS)


def _changes(root: Path, before: StageInputs, kind: str, declared: Declaration) -> Changes:
    try:
        values = _values(kind, parameters.load())
    except UserError as error:
        return Changes((str(error),), (), ())
    return changes(root, before, inputs_now(root, before.stage, values, declared.deps))


def _sentence(name: str, found: Changes, kept: bool) -> str:
    all_of_it = [*found.params, *found.code, *found.data]
    what = ", ".join(all_of_it[:_MOST_NAMED]) + (f" and {more} more" if (more := len(all_of_it) - _MOST_NAMED) > 0 else "")
    start = f"changed while {name} ran, and DVC would record it so: {what}"
    if kept:
        return f"{start}; what it made is kept: undo the change and run again, or run as it is now"
    unknown, undo = ("what it read", "'dvc checkout' undoes the change, then ") if found.data else ("which code ran", "")
    return f"{start}; what it made is not kept, because it cannot be told {unknown}; {undo}run again"
