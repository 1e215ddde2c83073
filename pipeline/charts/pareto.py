"""Which points no other point beats: small in both coordinates."""

from __future__ import annotations

from collections.abc import Sequence

Point = tuple[float, float]


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Indices of the points that no other equals or undercuts in both coordinates and undercuts in one, from left to right.

    Equal points stand or fall together.
    """
    front: list[int] = []
    lowest, beside = float("inf"), float("-inf")
    for index in sorted(range(len(points)), key=lambda i: points[i]):
        x, y = points[index]
        if y < lowest or (y == lowest and x == beside):
            front.append(index)
            lowest, beside = y, x
    return front
