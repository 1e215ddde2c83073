"""What the methods that a chain has chosen read of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.methods.policies import POLICIES
from pipeline.methods.schedules import SCHEDULES


def read_by_methods(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parameters that the policy and the schedule named in `params` read; none for one that is not known here."""
    policy, schedule = POLICIES.get(params.get("training_set", "")), SCHEDULES.get(params.get("schedule", ""))
    return (*(policy.reads if policy else ()), *(schedule.reads if schedule else ()))
