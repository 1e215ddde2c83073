"""The stages and files that led to one output of a run, and the software that made it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.provenance.lineage.ancestry import ancestors, inputs
from pipeline.provenance.lineage.runs import CodeVersion, RecordedRun, code_version_of
from pipeline.versioning.dvc_lock import LOCK_FILE, PathEntry, StageEntry

_LAYOUT = Layout()
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;#]+)", re.MULTILINE)
_PINS = Path("requirements.lock")


@dataclass(frozen=True)
class Lineage:
    """What led to `target`, a path of the run."""

    run: str
    target: str
    stages: tuple[StageEntry, ...]
    """First what ran first."""
    records: dict[str, dict[str, Any]]
    """{path: content} of lineage.json of each M_k and of M_0's base.json, as far as they are here."""
    code: CodeVersion
    sd_scripts: tuple[str, ...]
    """Commits of sd-scripts that trained the models; none for the builtin trainer."""
    machines: tuple[str, ...]
    """What the models were trained on: "NVIDIA A100, torch 2.13.0"."""
    libraries: dict[str, str]
    """{name: pinned version}"""

    @property
    def items(self) -> dict[str, PathEntry]:
        """Every file and folder in it, by path; code left out."""
        return {item.path: item for stage in self.stages for item in (*inputs(stage), *stage.outs)}


def trace(run: RecordedRun, target: str, root: Path) -> Lineage:
    """Follow `target`, an output of the run, back to where the chain starts. Raise UserError when no stage wrote it."""
    stages = ancestors(run.stages, target)
    md5 = run.md5(target)
    if not stages or md5 is None:
        raise UserError(f"{LOCK_FILE} of {run.name} records no {target}; run 'dvc repro', or name an iteration that it has")
    records = _records(run, stages)
    code = code_version_of(root, target, md5, {stage.name: stage for stage in stages})
    trained = {str(record["sd_scripts_commit"]) for record in records.values() if record.get("sd_scripts_commit") is not None}
    machines = {_machine(record["made_on"]) for record in records.values() if isinstance(record.get("made_on"), dict)}
    return Lineage(
        run.name, target, tuple(stages), records, code, tuple(sorted(trained)), tuple(sorted(machines)), _libraries(run)
    )


def _machine(made_on: Mapping[str, Any]) -> str:
    libraries = [f"{name} {found}" for name, found in made_on.items() if name != "device"]
    return ", ".join([str(made_on.get("device")), *sorted(libraries)])


def _records(run: RecordedRun, stages: Sequence[StageEntry]) -> dict[str, dict[str, Any]]:
    found = {}
    for item in (item for stage in stages for item in stage.outs if item.path.startswith("models/M_")):
        base = item.path == _LAYOUT.model(0).as_posix()
        path = _LAYOUT.base_record() if base else Path(item.path) / _LAYOUT.lineage(0).name
        if content := run.read_mapping(path):
            found[path.as_posix()] = content
    return found


def _libraries(run: RecordedRun) -> dict[str, str]:
    try:
        return dict(_PIN.findall(run.read(_PINS).decode(errors="replace")))
    except UserError:
        return {}
