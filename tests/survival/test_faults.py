"""A disk that fills up or fails, and a kill, in the middle of any file operation of any stage."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from survival.preload import Action, Kind, needs_compiler
from survival.workshop import STAGES, Ended, Workshop, opened, partial_outputs, visible, wrong_files

pytestmark = needs_compiler

FEW = ["prepare", "curate", "train", "sample"]
MANY = int(os.environ.get("SURVIVAL_FAULTS", "4"))
"""Faults of each kind in each stage, of the slow test."""


@dataclass(frozen=True)
class Fault:
    name: str
    action: Action
    kinds: Kind
    error: int = 0


FAULTS = (
    Fault("full disk", Action.FAIL_ON, Kind.WRITES, errno.ENOSPC),
    Fault("failed write", Action.FAIL_ONCE, Kind.WRITES, errno.EIO),
    Fault("failed read", Action.FAIL_ONCE, Kind.READS, errno.EIO),
    Fault("kill", Action.KILL, Kind.WRITES | Kind.REMOVALS),
)


@pytest.fixture(scope="module")
def workshop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Workshop]:
    every = any("every_stage" in item.name for item in request.session.items)
    with opened(tmp_path_factory.mktemp("faults"), tiny_model, list(STAGES) if every else FEW) as found:
        yield found


@pytest.fixture(scope="module")
def operations(workshop: Workshop) -> dict[tuple[str, Kind], int]:
    """How many operations of each kind a stage does, counted once."""
    return {}


def strike(workshop: Workshop, operations: dict, stage: str, fault: Fault, chance: random.Random) -> Ended:
    """Run a stage, as DVC does with its outputs removed, that fails at a random operation; or, every second time, over them."""
    key = (stage, fault.kinds)
    if key not in operations:
        operations[key] = workshop.operations(stage, fault.kinds)
    if chance.random() < 0.5:
        workshop.remove(stage)
    workshop.faults.arm(fault.action, fault.kinds, at=chance.randint(1, operations[key]), error=fault.error)
    return workshop.run(STAGES[stage][0])


def check(workshop: Workshop, stage: str, fault: Fault, ended: Ended) -> None:
    where = f"{fault.name} at {workshop.faults.hit} in {stage}: {ended.said}"
    assert workshop.faults.fired, where
    assert wrong_files(workshop.project, workshop.undisturbed) == [], where
    assert partial_outputs(workshop.project, workshop.undisturbed, STAGES[stage][1]) == [], where
    if fault.action == Action.KILL:
        assert ended.status == -9, where
    elif ended.status == 0:  # what failed was no output: a log, a checkpoint
        assert visible(workshop.project) == workshop.undisturbed, where
    else:
        last = ended.said.splitlines()[-1]
        assert ended.status == 2 and last.startswith("Error: ") and ended.said.count("Error: ") == 1, where
        assert "Traceback" not in ended.said, where
    workshop.run_whole(stage)
    assert visible(workshop.project) == workshop.undisturbed, where


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("stage", ["curate", "sample"])
def test_a_fault_is_one_sentence_and_leaves_nothing_half_written(
    workshop: Workshop, operations: dict, stage: str, fault: Fault
) -> None:
    chance = random.Random(f"{stage} {fault.name}")
    check(workshop, stage, fault, strike(workshop, operations, stage, fault, chance))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("stage", STAGES)
def test_many_faults_in_every_stage(workshop: Workshop, operations: dict, stage: str, fault: Fault) -> None:
    chance = random.Random(f"many {stage} {fault.name}")
    for _ in range(MANY):
        ended = strike(workshop, operations, stage, fault, chance)
        print(f"{stage}: {fault.name} at {workshop.faults.hit} -> {ended.status} {ended.said.splitlines()[-1:]}")
        check(workshop, stage, fault, ended)


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_sampling_killed_while_it_tidies_up_goes_on(workshop: Workshop, share: float) -> None:
    at = round(share * workshop.operations("sample", Kind.REMOVALS))
    workshop.remove("sample")
    workshop.faults.arm(Action.KILL, Kind.REMOVALS, at=max(1, at))
    assert workshop.run(STAGES["sample"][0]).status == -9
    workshop.run_whole("sample")
    assert visible(workshop.project) == workshop.undisturbed, workshop.faults.hit
