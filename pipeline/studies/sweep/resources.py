"""What a job of a sweep asks of a cluster: `resources` in the sweep file."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class Resources(BaseModel):
    """What one job asks for, which runs one chain; what is null is left to the cluster."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    partition: str | None = Field(default=None, min_length=1)
    gpus: int = Field(default=1, ge=0)
    cpus: int | None = Field(default=None, ge=1)
    hours: float = Field(default=24.0, gt=0.0, allow_inf_nan=False)
    """A chain that needs longer goes on when its job is requeued."""
    memory: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    """GB."""
    at_once: int | None = Field(default=None, ge=1)
    """Jobs of the sweep that may run at a time."""
    account: str | None = Field(default=None, min_length=1)
    qos: str | None = Field(default=None, min_length=1)
    constraint: str | None = Field(default=None, min_length=1)
    container: str | None = Field(default=None, min_length=1)
    """An Apptainer image whose `python` has the requirements."""
    setup: list[str] = []
    """Shell lines before the job, such as "module load cuda"."""

    @property
    def minutes(self) -> int:
        return math.ceil(self.hours * 60)

    def describe(self) -> str:
        """Return one line for people: "1 GPU, 24 h, partition gpu"."""
        parts = [
            _counted(self.gpus, "GPU"),
            _counted(self.cpus, "CPU") if self.cpus else "",
            f"{self.hours:g} h",
            f"{self.memory:g} GB" if self.memory else "",
            f"partition {self.partition}" if self.partition else "",
            f"container {self.container}" if self.container else "",
        ]
        return ", ".join(filter(None, parts))


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" + ("" if count == 1 else "s")
