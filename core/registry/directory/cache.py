"""What directories have answered, and how long it may be used.

fresh      used without a question: `fresh_seconds`; of what a directory does not have, `unknown_seconds`
stale      used only while the directory does not answer: `stale_seconds` more
expired    not used
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postscan.core.filters.directory.messages import Answer, ProcessAnswer, ProcessesAnswer, UserAnswer
from postscan.core.settings.directory import DirectorySettings

Key = tuple[str, ...]
"""The kind of a question, and what was asked."""

_ENTRY_BYTES: Final = 500  # of an entry without its texts, about
_GROUP_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """An answer, the plugin that gave it, and when; `size` in bytes, about."""

    answer: Answer
    plugin: str
    at: float
    size: int

    @property
    def is_negative(self) -> bool:
        """Whether no directory has what was asked for."""
        return (isinstance(self.answer, UserAnswer) and self.answer.user is None) or (
            isinstance(self.answer, ProcessAnswer) and self.answer.process is None
        )


class AnswerCache:
    """The newest answers by their questions; usable from several threads. *ticks* returns steady seconds."""

    def __init__(self, settings: DirectorySettings, ticks: Callable[[], float]) -> None:
        self._settings = settings
        self._ticks = ticks
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, CachedAnswer] = OrderedDict()  # the newest comes last
        self._bytes = 0

    def fresh(self, key: Key) -> CachedAnswer | None:
        """Return the answer if it may be used without a question."""
        return self._younger(key, lambda one: self._fresh_seconds(one))

    def stale(self, key: Key) -> CachedAnswer | None:
        """Return the answer if it may be used while the directory does not answer; what is fresh may be as well."""
        return self._younger(
            key, lambda one: self._fresh_seconds(one) + (0.0 if one.is_negative else self._settings.stale_seconds)
        )

    def age(self, cached: CachedAnswer) -> float:
        """Return how many seconds ago it was read."""
        return max(0.0, self._ticks() - cached.at)

    def put(self, key: Key, answer: Answer, plugin: str) -> CachedAnswer:
        """Keep an answer, and drop the oldest ones above the limits."""
        cached = CachedAnswer(answer, plugin, self._ticks(), _size(key, answer))
        with self._lock:
            before = self._entries.pop(key, None)
            self._bytes += cached.size - (before.size if before else 0)
            self._entries[key] = cached
            while len(self._entries) > self._settings.entries or self._bytes > self._settings.entry_bytes:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= dropped.size
        return cached

    def _fresh_seconds(self, cached: CachedAnswer) -> float:
        return self._settings.unknown_seconds if cached.is_negative else self._settings.fresh_seconds

    def _younger(self, key: Key, seconds: Callable[[CachedAnswer], float]) -> CachedAnswer | None:
        with self._lock:
            cached = self._entries.get(key)
        return cached if cached is not None and self._ticks() - cached.at < seconds(cached) else None


def _size(key: Key, answer: Answer) -> int:
    texts = sum(map(len, key))
    match answer:
        case UserAnswer(user=user) if user is not None:
            texts += len(user.groups) * _GROUP_BYTES + 2 * len(user.display_name) + len(user.home_folder)
        case ProcessAnswer(process=process) if process is not None:
            texts += 4 * len(process.xml)
        case ProcessesAnswer(processes=processes):
            texts += len(processes) * _ENTRY_BYTES
    return _ENTRY_BYTES + texts
