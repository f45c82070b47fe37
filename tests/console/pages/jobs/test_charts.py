"""Bars and columns as attributes: within the picture, none without a width, with the numbers that were given."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from postscan.console.pages.jobs.charts import bar, columns, position
from postscan.console.pages.jobs.timeline import TimelineBar
from postscan.plugins.testing.runner import EXAMPLE_TIME

TOLERANCE = 0.02
"""Percent: two rounded numbers."""


def number(text: str) -> float:
    """Return a percentage."""
    assert text.endswith("%")
    return float(text[:-1])


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_bar_can_be_seen_and_stays_in_the_picture(begin: float, length: float, rest: float) -> None:
    """Also one of no length at the end of the scale."""
    seconds = max(begin + length + rest, 0.001)
    found = bar(TimelineBar(begin, begin + length), seconds)

    assert number(found.width) > 0
    assert number(found.x) >= 0
    assert number(found.x) + number(found.width) <= 100 + TOLERANCE
    assert 0 <= number(position(begin, seconds)) <= 100


def test_a_bar_has_the_part_of_the_picture_that_it_has_of_the_time() -> None:
    """From a quarter to three quarters."""
    assert bar(TimelineBar(5, 15), 20) == ("25%", "50%")


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**6)), min_size=1, max_size=24))
def test_columns_stand_side_by_side_and_their_parts_on_each_other(numbers: list[dict[str, int]]) -> None:
    """The highest fills the picture; the numbers are those that were given."""
    begins = [EXAMPLE_TIME + timedelta(hours=hour) for hour in range(len(numbers))]

    found = columns(begins, numbers, ["a", "b", "c"])

    assert [one.number for one in found] == [sum(of.values()) for of in numbers]
    for left, right in itertools.pairwise(found):
        assert number(left.x) + number(left.width) < number(right.x) + TOLERANCE
    for column, of in zip(found, numbers, strict=True):
        assert {part.name: part.number for part in column.parts} == {name: n for name, n in of.items() if n}
        edges = [100.0, *(number(part.y) for part in column.parts)]
        assert all(
            low - high - number(part.height) < TOLERANCE
            for low, high, part in zip(edges, edges[1:], column.parts, strict=False)
        )
        assert all(edge >= 0 for edge in edges)
