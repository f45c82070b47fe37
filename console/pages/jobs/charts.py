"""Bars as values of SVG attributes, for templates. Pure.

Lengths are percentages of the picture, so that it fits into any width without a style and without stretched text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from postscan.console.pages.jobs.timeline import TimelineBar

LEAST_WIDTH: Final = 0.5
"""Percent that a bar takes at least, so that a short one can be seen."""

_GAP: Final = 0.15
"""The part of a column that stays free."""


class ChartBar(NamedTuple):
    """A horizontal bar: its left edge and its width."""

    x: str
    width: str


class ChartPart(NamedTuple):
    """A part of a column, with its name and number; it stands on the part before it."""

    name: str
    number: int
    y: str
    height: str


class ChartColumn(NamedTuple):
    """A column of a chart: its left edge, its width, and its parts from the bottom to the top."""

    begin: datetime
    number: int
    x: str
    width: str
    parts: tuple[ChartPart, ...]


def bar(found: TimelineBar, seconds: float) -> ChartBar:
    """Return a bar on a scale of so many seconds."""
    width = min(max(100 * found.seconds / seconds, LEAST_WIDTH), 100.0)
    left = min(max(100 * found.begin / seconds, 0.0), 100.0 - width)
    return ChartBar(percent(left), percent(width))


def position(at: float, seconds: float) -> str:
    """Return where a moment is on a scale of so many seconds."""
    return percent(min(max(100 * at / seconds, 0.0), 100.0))


def columns(
    begins: Sequence[datetime], numbers: Sequence[Mapping[str, int]], names: Sequence[str]
) -> tuple[ChartColumn, ...]:
    """Return one column for each time, with the numbers of these names in this order; the highest fills the chart."""
    sums = [sum(of.get(name, 0) for name in names) for of in numbers]
    most = max([*sums, 1])
    width = 100 / max(len(begins), 1)
    return tuple(
        ChartColumn(
            begin,
            total,
            percent(place * width + width * _GAP / 2),
            percent(width * (1 - _GAP)),
            _parts(of, names, most),
        )
        for place, (begin, of, total) in enumerate(zip(begins, numbers, sums, strict=True))
    )


def percent(number: float) -> str:
    """Return a percentage as an attribute has it."""
    return f"{round(number, 2):g}%"


def _parts(numbers: Mapping[str, int], names: Sequence[str], most: int) -> tuple[ChartPart, ...]:
    below = 0
    found = []
    for name in names:
        number = numbers.get(name, 0)
        if number:
            below += number
            found.append(ChartPart(name, number, percent(100 - 100 * below / most), percent(100 * number / most)))
    return tuple(found)
