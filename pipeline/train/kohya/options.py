"""Our own options for the training process, handed over in one environment variable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

_VARIABLE = "REDIFINE_KOHYA"


@dataclass(frozen=True)
class Options:
    """What sd-scripts has no option for. `loss_file`: where each step's loss is written; `sdxl`: the kind of the model."""

    condition_drop: float
    loss_file: str
    sdxl: bool = False

    def to_environment(self) -> dict[str, str]:
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Options:
        return cls(**json.loads(environment[_VARIABLE]))
