"""Condition drop: which samples lose their condition, and what they get instead."""

from __future__ import annotations

import pytest
import torch

from pipeline.train.condition_drop import drop_conditions, dropped

IDS = torch.arange(5 * 3 * 77).reshape(5, 3, 77) + 1000
EMPTY = torch.arange(3 * 77).reshape(1, 3, 77)


def test_probability_zero_returns_the_very_same_object() -> None:
    assert drop_conditions(IDS, EMPTY, 0.0, seed=1, step=2) is IDS


def test_probability_one_replaces_every_row_by_the_empty_prompt() -> None:
    assert torch.equal(drop_conditions(IDS, EMPTY, 1.0, seed=1, step=2), EMPTY.expand(5, -1, -1))


def test_each_row_is_whole_and_the_input_is_left_alone() -> None:
    before = IDS.clone()
    after = drop_conditions(IDS, EMPTY, 0.5, seed=3, step=0)
    rows = dropped(5, 0.5, seed=3, step=0)
    assert 0 < rows.sum() < 5
    assert torch.equal(after[rows], EMPTY.expand(int(rows.sum()), -1, -1))
    assert torch.equal(after[~rows], IDS[~rows])
    assert torch.equal(IDS, before)


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.4])
def test_samples_are_dropped_that_often_and_independently(probability: float) -> None:
    steps = torch.stack([dropped(6, probability, seed=0, step=step) for step in range(3000)]).double()
    spread = (probability * (1 - probability)) ** 0.5
    assert steps.mean() == pytest.approx(probability, abs=4 * spread / steps.numel() ** 0.5)
    between_samples = torch.corrcoef(steps.T) - torch.eye(6)
    between_steps = torch.corrcoef(torch.stack([steps[:-1].flatten(), steps[1:].flatten()]))[0, 1]
    assert between_samples.abs().max() < 5 / 3000**0.5
    assert between_steps.abs() < 5 / steps.numel() ** 0.5


def test_a_step_is_the_same_when_repeated_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    assert torch.equal(dropped(50, 0.5, seed=4, step=9), dropped(50, 0.5, seed=4, step=9))
    assert not torch.equal(dropped(50, 0.5, seed=4, step=9), dropped(50, 0.5, seed=5, step=9))
    assert torch.equal(state, torch.get_rng_state())
