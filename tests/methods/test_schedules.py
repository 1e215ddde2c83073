"""Guidance schedules against closed forms, and as callbacks of a diffusers pipeline."""

from __future__ import annotations

import math

import pytest

from pipeline.core.errors import UserError
from pipeline.methods.schedules import GuidanceSettings, make_schedule
from pipeline.methods.schedules.constant import Constant
from pipeline.methods.schedules.cosine import Cosine
from pipeline.methods.schedules.exponential import Exponential
from pipeline.methods.schedules.interval import Interval
from pipeline.methods.schedules.linear import Linear

T = 30


def settings(name):
    return GuidanceSettings(name, 7.5, 2.0, 1.0, 0.28, 5.42)


def _scales(schedule, steps=T):
    return [schedule.scale(step, steps, 1.0) for step in range(steps)]


def test_exponential_is_the_papers_formula_and_never_reaches_one():
    scales = _scales(Exponential(7.5, 2.0))
    assert scales[0] == 7.5
    assert scales[15] == pytest.approx(7.5 / math.e)
    assert scales[-1] == pytest.approx(1.085, abs=5e-4)
    ratios = [b / a for a, b in zip(scales, scales[1:], strict=False)]
    assert max(ratios) - min(ratios) < 1e-12


def test_no_decay_is_constant():
    assert _scales(Exponential(3.0, 0.0)) == _scales(Constant(3.0)) == [3.0] * T


@pytest.mark.parametrize("kind", [Linear, Cosine])
def test_linear_and_cosine_join_their_ends_without_turning_back(kind):
    scales = _scales(kind(7.5, 1.5), 31)
    assert (scales[0], scales[-1]) == (7.5, pytest.approx(1.5))
    assert scales[15] == pytest.approx(4.5)
    assert all(a > b for a, b in zip(scales, scales[1:], strict=False))


def test_cosine_is_flat_at_both_ends_where_linear_is_not():
    line, wave = _scales(Linear(7.5, 1.5)), _scales(Cosine(7.5, 1.5))
    assert line[0] - line[1] > 10 * (wave[0] - wave[1])
    assert line[-2] - line[-1] > 10 * (wave[-2] - wave[-1])


def test_interval_guides_in_noise_levels_open_below_closed_above():
    schedule = Interval(5.0, 0.5, 2.0)
    assert [schedule.scale(0, T, sigma) for sigma in (0.4, 0.5, 0.51, 2.0, 2.01)] == [1.0, 1.0, 5.0, 5.0, 1.0]


@pytest.mark.parametrize("name", ["constant", "exponential", "linear", "cosine", "interval"])
def test_one_step_is_enough_for_every_schedule(name):
    assert make_schedule(settings(name)).scale(0, 1, 1.0) == 7.5


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", Constant(4.0)),
        ("exponential", Exponential(4.0, 3.0)),
        ("linear", Linear(4.0, 2.0)),
        ("cosine", Cosine(4.0, 2.0)),
        ("interval", Interval(4.0, 0.1, 9.0)),
    ],
)
def test_make_schedule_gives_each_the_numbers_it_needs(name, expected):
    assert make_schedule(GuidanceSettings(name, 4.0, 3.0, 2.0, 0.1, 9.0)) == expected


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="schedule must be one of constant, exponential, .* got 'square'"):
        make_schedule(settings("square"))
