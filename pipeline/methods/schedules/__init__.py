"""Guidance schedules, one a file: the scale s_t of classifier-free guidance at each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, is_dataclass
from typing import Any, Protocol, TypeVar, cast

from pipeline.core.errors import UserError
from pipeline.methods.registry import Registry


class Schedule(Protocol):
    """The guidance scale as a function of time: t = `step` in 0 (noisiest) .. T - 1, T = `steps`, `sigma` the noise level."""

    def scale(self, step: int, steps: int, sigma: float) -> float: ...

    def describe(self) -> str:
        """Return a short phrase without a line break, which every image keeps."""
        ...

    def in_words(self) -> str:
        """Return what the report says: "Images are drawn in 30 steps with ..."."""
        ...


@dataclass(frozen=True)
class RegisteredSchedule:
    """A class of schedules, and the parameters of params.yaml whose values make one, in the order of its fields."""

    kind: Callable[..., Schedule]
    reads: tuple[str, ...]


@dataclass(frozen=True)
class GuidanceSettings:
    """The parameters that choose a schedule and that schedules read, as params.yaml names them."""

    schedule: str
    cfg: float
    cfg_decay: float
    cfg_end: float
    interval_low: float
    interval_high: float


READABLE = tuple(entry.name for entry in fields(GuidanceSettings) if entry.name != "schedule")

SCHEDULES: Registry[RegisteredSchedule] = Registry(
    "schedule", __name__, ("constant", "exponential", "linear", "cosine", "interval")
)

Class = TypeVar("Class", bound=type)


def schedule(name: str, reads: tuple[str, ...]) -> Callable[[Class], Class]:
    """Register a frozen dataclass as the schedule `name`, whose fields are the parameters that it `reads`, in that order.

    Raises UserError where the class is no schedule, a parameter is none of `GuidanceSettings`, or the name is taken.
    """

    def register(kind: Class) -> Class:
        missing = [method for method in ("scale", "describe", "in_words") if not callable(getattr(kind, method, None))]
        if missing:
            raise UserError(f"the schedule {name!r} lacks the method {missing[0]}")
        if not is_dataclass(kind) or len(fields(kind)) != len(reads):
            raise UserError(f"the schedule {name!r} must be a dataclass with a field for each parameter that it reads")
        if unknown := [key for key in reads if key not in READABLE]:
            raise UserError(f"the schedule {name!r} cannot read {unknown[0]!r}, only {', '.join(READABLE)}")
        SCHEDULES.register(name, RegisteredSchedule(cast(Any, kind), reads), kind.__module__)
        # A process that draws beside others gets the name, and reads the extension itself.
        setattr(kind, "__reduce__", lambda self: (_remade, (name, astuple(self))))  # noqa: B010
        return kind

    return register


def _remade(name: str, values: tuple[Any, ...]) -> Schedule:
    return SCHEDULES.named(name).kind(*values)


def make_schedule(params: Any) -> Schedule:
    """Return the schedule that `params.schedule` names, of the parameters that it reads; `params` has them as attributes.

    Raises UserError when there is no schedule of that name.
    """
    found = SCHEDULES.named(params.schedule)
    return found.kind(*(getattr(params, name) for name in found.reads))


def progress(step: int, steps: int) -> float:
    """Return 0 at the first step, 1 at the last."""
    return step / (steps - 1) if steps > 1 else 0.0
