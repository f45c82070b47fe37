"""Transactions that read: how long they are, and what others do between two of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from postscan.core.store.database.pages import Reading


def longest(read: Callable[[], object]) -> int:
    """Return how many instructions of SQLite's virtual machine the longest transaction takes."""
    found = [0]

    def count() -> int:
        found[-1] += 1
        return 0

    def begin(connection: Any, _record: object, _proxy: object) -> None:
        found.append(0)
        connection.set_progress_handler(count, 1)

    sa.event.listen(sa.pool.Pool, "checkout", begin)
    try:
        read()
    finally:
        sa.event.remove(sa.pool.Pool, "checkout", begin)
    return max(found)


def between(begin: Reading, *actions: Callable[[], object]) -> Reading:
    """Return what opens transactions as *begin* does, and does one of the actions behind each of the first."""
    left = iter(actions)

    @contextlib.contextmanager
    def reading() -> Iterator[sa.Connection]:
        with begin() as db:
            yield db
        next(left, lambda: None)()

    return reading
