from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.charts.pareto import Point, pareto_front

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=25)


def beats(a: Point, b: Point) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


@settings(max_examples=60, deadline=None)
@given(points)
def test_the_front_is_what_brute_force_finds(points: list[Point]) -> None:
    expected = {i for i, point in enumerate(points) if not any(beats(other, point) for other in points)}
    assert set(pareto_front(points)) == expected


@settings(max_examples=60, deadline=None)
@given(points)
def test_along_the_front_one_coordinate_rises_and_the_other_falls(points: list[Point]) -> None:
    front = [points[i] for i in pareto_front(points)]
    assert [x for x, _ in front] == sorted(x for x, _ in front)
    assert [y for _, y in front] == sorted((y for _, y in front), reverse=True)
