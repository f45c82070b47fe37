"""Search, export and drop lines of the audit trail. For administrators; other callers find an empty trail.

A search returns a page of lines and where it goes on. It also ends after `SECONDS`, so that no caller waits for long.

What is dropped is what was exported: each line is compared with the trail before any is deleted, and again in the
transaction that deletes it. A dropped line therefore stands in the file that the administrator has, and lines that are
written meanwhile stay. Each drop leaves a line itself, in the same transaction.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from postscan.core.clock import Clock
from postscan.core.errors import InvalidArgument, PostscanError
from postscan.core.model.principal import Principal, Right
from postscan.core.model.records import AuditLine
from postscan.core.service.access import require
from postscan.core.store.callers import audit
from postscan.core.store.callers.audit import ALL_LINES, AuditQuery
from postscan.core.store.database import Transaction, pages
from postscan.core.store.store import Store

__all__ = ["ALL_LINES", "AuditQuery", "AuditTrail", "Dropped", "FoundLines"]

FOUND: Final = 50
"""Lines of a page of a search, unless a caller asks for another number."""

SECONDS: Final = 0.5
"""After which a search returns what it has found."""

PAGE: Final = 1000
"""Lines that one transaction reads or deletes, so that the server beside it waits for a moment only."""

MOST_DETAIL: Final = 500
"""Characters of an error in a line."""

_TRAIL: Final = "audit"  # stands for the token of a job in lines about the trail


class Dropped(NamedTuple):
    """How many lines were dropped now, and how many of the exported ones were not in the trail any more."""

    lines: int
    before: int


class FoundLines(NamedTuple):
    """A page of a search, newest first; it goes on before the line with the number `before`, None at its end."""

    lines: list[AuditLine]
    before: int | None


class AuditTrail:
    """The lines of all callers. Every method may block. Raised by all: `StoreBusy`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def search(
        self, by: Principal, query: AuditQuery = ALL_LINES, before: int | None = None, most: int = FOUND
    ) -> FoundLines:
        """Return at most *most* of the wanted lines before the one with this number, newest first."""
        if not by.may(Right.ADMINISTER):
            return FoundLines([], None)
        until = self._clock.ticks() + SECONDS
        found: list[AuditLine] = []
        while True:
            with self._store.reading() as db:  # one more line than wanted: to know whether there is one
                part, before = audit.find(db, query, before, most + 1 - len(found), pages.PART)
            found += part
            if len(found) > most:
                return FoundLines(found[:most], found[most - 1].seq)
            if before is None or self._clock.ticks() >= until:
                return FoundLines(found, before)

    def every(self, by: Principal, query: AuditQuery, most: int) -> Iterator[AuditLine]:
        """Yield at most *most* of the wanted lines, newest first, read in parts however long that takes."""
        before: int | None = None
        while by.may(Right.ADMINISTER) and most > 0:
            with self._store.reading() as db:
                part, last = audit.find(db, query, before, min(most, pages.PAGE), pages.PART)
            yield from part
            most -= len(part)
            before = part[-1].seq if len(part) == pages.PAGE else last
            if before is None:
                return

    def older_than(self, moment: datetime, by: Principal) -> Iterator[AuditLine]:
        """Yield the lines that were written before *moment*, oldest first, read in pages."""
        if not by.may(Right.ADMINISTER):
            return
        last = 0
        while True:
            with self._store.reading() as db:
                page = audit.read_behind(db, last, PAGE)
            yield from (line for line in page if line.at < moment)
            if not page:
                return
            last = page[-1].seq

    @contextlib.contextmanager
    def recorded(self, by: Principal, verb: str, what: str, detail: str = "") -> Iterator[None]:
        """Store a line, then run the body, which changes what is not in the database: files of the administrator.

        No change lacks its line so; one that fails gets a second line, `failed`. *what* stands for the token of a job.
        Raises `NotAdministrator` before the body.
        """
        require(by, Right.ADMINISTER)
        self._write(AuditLine.of(by, verb, what, self._clock.now(), detail=detail))
        try:
            yield
        except (PostscanError, OSError) as error:
            self._write(AuditLine.of(by, verb, what, self._clock.now(), "failed", str(error)[:MOST_DETAIL]))
            raise

    def _write(self, line: AuditLine) -> None:
        with self._store.writing() as db:
            audit.write_audit(db, line)

    def drop(self, exported: Callable[[], Iterable[AuditLine]], by: Principal, source: str) -> Dropped:
        """Delete the exported lines; *source* names them in the trail.

        *exported* is called twice. A call that failed on its way may be repeated. Raises `InvalidArgument`, and
        deletes nothing, if a line differs from the one of its number in the trail.
        """
        total = Dropped(0, 0)
        if not by.may(Right.ADMINISTER):
            return total
        for page in _pages(exported()):
            with self._store.reading() as db:
                _compared(db, page, source)
        for page in _pages(exported()):
            with self._store.writing() as db:
                found = _compared(db, page, source)
                count = audit.drop(db, found)
                if count:
                    detail = f"{count} lines, {min(found)} to {max(found)}, exported to {source}"
                    audit.write_audit(db, AuditLine.of(by, "drop", _TRAIL, self._clock.now(), detail=detail))
            total = Dropped(total.lines + count, total.before + len(page) - count)
        return total


def _compared(db: Transaction, exported: dict[int, AuditLine], source: str) -> dict[int, AuditLine]:
    """Return those of the exported lines that are in the trail; raise `InvalidArgument` if one differs from it."""
    found = audit.read_numbered(db, exported)
    for number, line in found.items():
        if line != exported[number]:
            raise InvalidArgument(source, f"seq {number}", "the line that the audit trail has under this number")
    return found


def _pages(lines: Iterable[AuditLine]) -> Iterator[dict[int, AuditLine]]:
    """Yield the lines by their numbers, at most `PAGE` at a time; none twice in a page."""
    left = iter(lines)
    while page := list(itertools.islice(left, PAGE)):
        yield {line.seq: line for line in page}
