"""What the spool keeps of each caller, for administrators: what `core.spool.quota` counts, but for what is written now.

Any process can read it, beside a server that runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from postscan.core.settings import Settings
from postscan.core.spool.image_store.opening import open_spool
from postscan.core.store.store import Store

NEARLY: Final = 0.9
"""The part of the most bytes from which a caller has little room left."""


class SpoolShare(NamedTuple):
    """The bytes of a caller's documents and of the logs of its jobs, and the most bytes that it may have."""

    owner: str
    documents: int
    logs: int
    most: int

    @property
    def used(self) -> int:
        """The bytes that count."""
        return self.documents + self.logs

    @property
    def is_full(self) -> bool:
        """Whether images of the caller are refused."""
        return self.used >= self.most

    @property
    def is_nearly_full(self) -> bool:
        """Whether little or no room is left."""
        return self.used >= NEARLY * self.most


def shares(store: Store, settings: Settings) -> Iterator[SpoolShare]:
    """Yield the shares of the callers of whom the spool keeps documents, by name. Raises `StoreBusy`."""
    logs = open_spool(settings).logs
    for token, owner in store.owners(logs.tokens()).items():
        logs.count(token, owner)
    for owner, kept, _ in store.usages():
        yield SpoolShare(owner, kept, logs.bytes_of(owner), settings.limits.caller_bytes)
