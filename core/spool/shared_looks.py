"""Reconcile a spool that several machines use, while they use it: by looks from time to time, two for each judgement.

What one look finds may be of a process that works: a file is stored before its row, and a row may be read before its
file is listed. So a file is judged to have no row, and an upload to be abandoned, if it was last changed
`UNKNOWN_SECONDS` ago and two looks find it so; an upload only if the member that writes it is not alive. A job is
damaged if two looks find that it has lost a file (docs/faults.md, F-R28).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from postscan.core.clock import Clock
from postscan.core.model.job import JobToken
from postscan.core.spool.image_store.spool_store import SpoolStore, member_of
from postscan.core.spool.recovery import Comparison, abort_damaged, comparing, put_aside
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1800.0
"""Seconds between two looks."""

UNKNOWN_SECONDS: Final = 3600.0
"""Age of a file that may count as one without a row. No upload is silent for so long: its job would have expired."""


class SharedLooks:
    """The looks of one process at a shared spool. One process at a time should look; two do no harm."""

    def __init__(self, store: Store, spool: SpoolStore, clock: Clock) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._due = float("-inf")
        self._unknown: frozenset[str] = frozenset()
        self._damaged: frozenset[JobToken] = frozenset()

    def batches(self) -> Iterator[None]:
        """Do what `look` does, if the last look is `LOOK_SECONDS` ago or there was none; yield in between."""
        now = self._clock.ticks()
        if now >= self._due:
            self._due = now + LOOK_SECONDS
            yield from self._looking()

    def look(self) -> None:
        """Compare spool and database, and act on what the look before has found as well.

        Raises `StoreBusy`; a spool that does not answer is logged.
        """
        for _ in self._looking():
            pass

    def _looking(self) -> Iterator[None]:
        found = Comparison()
        try:
            yield from comparing(self._store, self._spool, found)
            self._act(found)
        except OSError as error:
            log.warning("spool not compared", extra={"reason": str(error)})

    def _act(self, found: Comparison) -> None:
        before = self._clock.now().timestamp() - UNKNOWN_SECONDS
        unknown = {key for key, changed in found.unknown.items() if changed < before}
        alive = {one.member.id for one in self._store.members() if one.age < UNKNOWN_SECONDS}
        old = {key for key, changed in found.incomplete.items() if changed < before}
        abandoned = {key for key in old if member_of(key) not in alive}
        both, damaged = frozenset(unknown | abandoned), frozenset(found.damaged)
        twice = both & self._unknown
        self._spool.drop(*found.removed, *sorted(abandoned & twice))
        put_aside(self._spool, sorted(unknown & twice))
        lost = {token: reason for token, reason in found.damaged.items() if token in self._damaged}
        abort_damaged(self._store, self._spool, self._clock, lost)
        self._unknown, self._damaged = both, damaged
