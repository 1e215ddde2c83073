"""What a dvc.lock says of a chain: files with hashes and sizes, and the parameters that each stage ran with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.chain.paths import Layout
from pipeline.core.errors import UserError
from pipeline.core.files import read_text
from pipeline.provenance.share.iterations import own_outputs
from pipeline.versioning.dvc_lock import parse_lock

FILE = Path("dvc.lock")
_IN_GIT = Layout().summary.as_posix()
"""The one output that is not in DVC's cache (`cache: false` in dvc.yaml)."""


class Output(NamedTuple):
    """One output: its DVC hash (of a folder's list of files, with ".dir") and its size in bytes."""

    md5: str
    size: int


@dataclass(frozen=True)
class Record:
    """The content of one dvc.lock; `name` is how messages call it."""

    name: str
    outputs: dict[str, Output]
    parameters: dict[str, dict[str, Any]]

    @property
    def iterations(self) -> list[int]:
        """Every k whose D_k and M_k are recorded, in order; 0 stands for D_0 and M_0's record."""
        layout = Layout()
        numbers = (path.partition("data/D_")[2] for path in self.outputs)
        found = sorted(int(number) for number in numbers if number.isdecimal())
        return [k for k in found if layout.model(k).as_posix() in self.outputs]

    def have(self, paths: Iterable[Path]) -> list[str]:
        """Those of `paths` that are recorded."""
        return [path.as_posix() for path in paths if path.as_posix() in self.outputs]

    def check_iterations(self, wanted: Iterable[int]) -> None:
        """Raise UserError for a k that does not exist."""
        for k in wanted:
            if k not in self.iterations:
                known = f"0 to {self.iterations[-1]}" if self.iterations else "no iteration"
                raise UserError(
                    f"iteration {k} is not in {self.name}, which has {known}; "
                    "'git pull' brings what others recorded, 'dvc repro' runs what params.yaml lists"
                )

    def size(self, k: int) -> int:
        """Bytes of what the stages of iteration k wrote."""
        return sum(self.outputs[path].size for path in self.have(own_outputs(k)))

    def stage_parameters(self, *stages: str) -> dict[str, Any]:
        """The parameters that the stages ran with, in one mapping; they share one params.yaml."""
        return {key: value for stage in stages for key, value in self.parameters.get(stage, {}).items()}


def read_record(root: Path) -> Record:
    """The work tree's dvc.lock. Raises UserError when it is missing or damaged."""
    path = root / FILE
    if not path.is_file():
        raise UserError(
            f"there is no {FILE} in {root.resolve()}: nothing has run here yet; run 'dvc repro' or 'git pull' first"
        )
    return parse_record(read_text(path), FILE.name)


def parse_record(text: str, name: str) -> Record:
    """Raises UserError when `text` is no dvc.lock."""
    stages = parse_lock(text, name)
    outputs = {out.path: Output(out.md5, out.size) for stage in stages.values() for out in stage.outs if out.path != _IN_GIT}
    return Record(name, outputs, {stage.name: stage.params for stage in stages.values()})
