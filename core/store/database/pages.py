"""Read many rows in several transactions, so that no transaction that reads is long (decision 66).

The transactions do not see the same moment: what begins or ends between two of them may be missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import sqlalchemy as sa

PAGE: Final = 500
"""Most jobs, events or lines that one transaction reads for a list."""

ROWS: Final = 2000
"""Most rows of several jobs, beside the jobs themselves, that one transaction reads."""

PART: Final = 2000
"""Most rows at which the database looks in one transaction, to select few of them."""

Reading = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens a transaction that only reads."""

Row = TypeVar("Row")
Key = TypeVar("Key")


class TooManyRows(Exception):
    """The jobs have more rows than one transaction reads."""


def in_pages(
    reading: Reading, page: Callable[[sa.Connection, Row | None, int], list[Row]], limit: float = math.inf
) -> Iterator[Row]:
    """Yield rows, read in pages; no page has more than *limit* rows, for a caller who takes no more.

    *page* returns so many of those that follow the last one, which is None for the first page.
    """
    most = int(min(PAGE, limit))
    last: Row | None = None
    while True:
        with reading() as db:
            read = page(db, last, most)
        yield from read
        if len(read) < most:
            return
        last = read[-1]


def in_parts(
    reading: Reading, part: Callable[[sa.Connection, Key | None, int], tuple[Sequence[Row], Key | None]]
) -> Iterator[Row]:
    """Yield those rows that the database selects from many others, which it looks at in parts.

    *part* looks at so many of those that follow a key, which is None for the first part; it returns the rows that it
    selects, and the key of the last one that it has looked at, None if no other follows.
    """
    key: Key | None = None
    while True:
        with reading() as db:
            selected, key = part(db, key, PART)
        yield from selected
        if key is None:
            return


def of_jobs(
    reading: Reading, tokens: Sequence[str], read: Callable[[sa.Connection, Sequence[str], float], list[Row]]
) -> list[Row]:
    """Return what *read* returns of these jobs, read some jobs at a time: as many as have at most `ROWS` rows.

    *read* gets jobs, and raises `TooManyRows` if they have more rows than the number that it gets; then half of them
    are read. A job is never divided, so one alone may have any number: its images have a limit of their own.
    """
    found: list[Row] = []
    start, size = 0, PAGE
    failures = successes = 0
    while start < len(tokens):
        part = tokens[start : start + size]
        try:
            with reading() as db:
                found += read(db, part, ROWS if len(part) > 1 else math.inf)
        except TooManyRows:
            size, failures, successes = len(part) // 2, failures + 1, 0
            continue
        start, successes = start + len(part), successes + 1
        if successes > failures:  # the more jobs have many rows, the later more are tried at once
            size, successes = min(PAGE, 2 * size), 0
    return found


def at_most(
    db: sa.Connection, query: sa.Select[Any], most: float, of: dict[str, Any] | None = None
) -> Sequence[sa.Row[Any]]:
    """Return the rows of the query with these parameters; raise `TooManyRows` if there are more than *most*."""
    if math.isinf(most):
        return db.execute(query, of).all()
    found = db.execute(query.limit(int(most) + 1), of).all()
    if len(found) > most:
        raise TooManyRows
    return found
