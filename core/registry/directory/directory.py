"""Who users are and which scan processes there are, as plugins of hooks answer it: asked once, and then remembered.

The plugins are asked in the order of the settings file; the first that has an answer wins. A question is answered from
the cache while that is fresh. Otherwise one question for each key is under way, however many callers wait for it. If
the directory is away, what is stale is used, without a wait when that is known already; there is a line in the log
when that begins and when it ends.

Without a plugin of hooks in the settings there is no thread and no process, and every answer is None.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Final, NamedTuple, Protocol, TypeVar

from postscan.core.errors import Unavailable
from postscan.core.filters.directory.messages import (
    Answer,
    AwayAnswer,
    BrokenAnswer,
    ProcessAnswer,
    ProcessesAnswer,
    ProcessesQuestion,
    ProcessQuestion,
    Question,
    RefusedAnswer,
    UserAnswer,
    UserQuestion,
)
from postscan.core.filters.directory.values import DirectoryProcess, DirectoryUser
from postscan.core.registry.directory.cache import AnswerCache, CachedAnswer, Key
from postscan.core.registry.directory.hooks_thread import HooksCondition
from postscan.core.registry.directory.questions import AskedQuestion
from postscan.core.settings.directory import DirectorySettings

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 2.0
"""So long after a directory was away, callers get what is stale without a wait, or come again."""

LONGEST_NAME: Final = 1100
"""Most characters of a UPN or login name that is asked for."""

_Value = TypeVar("_Value")


class AskedPlugin(Protocol):
    """A plugin of hooks that takes questions."""

    @property
    def name(self) -> str:
        """The name of its entry point."""

    @property
    def condition(self) -> HooksCondition:
        """How it is now."""

    def ask(self, asked: AskedQuestion) -> None:
        """Answer a question, now or later."""


class DirectoryAnswer(NamedTuple):
    """An answer, the plugin that gave it, how many seconds ago it was read, and whether that was too long ago.

    A stale one is used because the directory does not answer.
    """

    answer: Answer
    plugin: str
    age: float
    is_stale: bool = False

    @property
    def note(self) -> str:
        """A few words for the audit trail about an answer that is stale; "" about a fresh one."""
        return f"directory away, read {self.age:.0f} s ago" if self.is_stale else ""


class Directories:
    """The directories of one server. Every method may block for `directory.answer_seconds`; call it from a thread."""

    def __init__(self, settings: DirectorySettings, plugins: Sequence[AskedPlugin], ticks: Callable[[], float]) -> None:
        self._settings = settings
        self._plugins = plugins
        self._cache = AnswerCache(settings, ticks)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # of what follows
        self._under_way: dict[Key, Future[CachedAnswer | str]] = {}
        self._waiting: Counter[str] = Counter()
        self._failed: dict[Key, float] = {}
        self._away_since: float | None = None
        self._away_at = 0.0

    @property
    def is_used(self) -> bool:
        """Whether there is a plugin to ask."""
        return bool(self._plugins)

    @property
    def waiting(self) -> int:
        """How many callers wait for an answer now."""
        with self._lock:
            return self._waiting.total()

    def conditions(self) -> dict[str, HooksCondition]:
        """Return how the plugins are, by their names."""
        return {plugin.name: plugin.condition for plugin in self._plugins}

    def user(self, caller: str, *, sid: str = "", upn: str = "", login: str = "") -> DirectoryAnswer | None:
        """Return the answer about a user; None if no directory has it. Raises `Unavailable`."""
        if not self._plugins or not all(map(_is_name, (sid, upn, login))):
            return None
        key = ("user", sid, upn.casefold(), login.casefold())
        found = self._find(caller, key, lambda id: UserQuestion(id=id, sid=sid, upn=upn, login=login))
        return found if isinstance(found.answer, UserAnswer) and found.answer.user is not None else None

    def process(self, caller: str, identifier: str, user: DirectoryUser) -> DirectoryAnswer | None:
        """Return the answer about a scan process for this user: that process, or that it is refused.

        None if no directory has it. Raises `Unavailable`.
        """
        if not self._plugins:
            return None
        key = ("process", identifier, user.sid, *user.groups)
        found = self._find(caller, key, lambda id: ProcessQuestion(id=id, identifier=identifier, user=user))
        return None if isinstance(found.answer, ProcessAnswer) and found.answer.process is None else found

    def processes(self, caller: str, user: DirectoryUser) -> list[DirectoryProcess]:
        """Return the scan processes that this user may use, of all directories, without XML. Raises `Unavailable`.

        It is asked anew each time.
        """
        found: dict[str, DirectoryProcess] = {}
        with self._place(caller):
            for plugin in self._plugins:
                answer = self._ask_once(plugin, ProcessesQuestion(id=next(self._numbers), user=user))
                if not isinstance(answer, ProcessesAnswer):
                    raise Unavailable(f"the directory {plugin.name} does not answer: {_reason(answer)}")
                for one in answer.processes:
                    found.setdefault(one.identifier, one)
        return list(found.values())

    # --- one question for all who wait ---------------------------------------------------------------------------

    def _find(self, caller: str, key: Key, question: Callable[[int], Question]) -> DirectoryAnswer:
        fresh = self._cache.fresh(key)
        if fresh is not None:
            return DirectoryAnswer(fresh.answer, fresh.plugin, self._cache.age(fresh))
        stale = self._cache.stale(key)
        if self._has_just_failed(key):
            return self._stale(stale, "it did not answer just now")
        if stale is not None and self._is_away():
            if len(self._under_way) < self._settings.waiting:
                self._begin(key, question)
            return self._stale(stale, "")
        with self._place(caller):
            try:
                result = self._begin(key, question).result(self._settings.answer_seconds)
            except FutureTimeout:
                result = f"no answer within {self._settings.answer_seconds:g} s"
                self._note_away(result)
        if isinstance(result, str):
            return self._stale(stale, result)
        return DirectoryAnswer(result.answer, result.plugin, self._cache.age(result))

    def _stale(self, stale: CachedAnswer | None, reason: str) -> DirectoryAnswer:
        if stale is None:
            raise Unavailable(f"the directory does not answer: {reason}")
        return DirectoryAnswer(stale.answer, stale.plugin, self._cache.age(stale), is_stale=True)

    def _begin(self, key: Key, question: Callable[[int], Question]) -> Future[CachedAnswer | str]:
        """Return the answer under way for this key, and ask for it if none is."""
        with self._lock:
            known = self._under_way.get(key)
            if known is not None:
                return known
            future: Future[CachedAnswer | str] = Future()
            self._under_way[key] = future
        self._ask(key, question, 0)
        return future

    def _ask(self, key: Key, question: Callable[[int], Question], number: int) -> None:
        """Ask the plugin of this number, and then the next one if it does not have what was asked for."""
        plugin = self._plugins[number]
        asked = AskedQuestion(question(next(self._numbers)), time.monotonic())

        def answered(future: Future[Answer]) -> None:
            answer = future.result()
            if isinstance(answer, AwayAnswer | BrokenAnswer):
                self._fail(key, plugin.name, answer)
            elif _is_unknown(answer) and number + 1 < len(self._plugins):
                self._ask(key, question, number + 1)
            else:
                self._succeed(key, plugin.name, answer)

        asked.answer.add_done_callback(answered)
        try:
            plugin.ask(asked)
        except Exception as error:  # else the key would be under way for ever
            log.exception("question not sent", extra={"plugin": plugin.name})
            asked.away(f"the question cannot be sent: {error}")

    def _succeed(self, key: Key, plugin: str, answer: Answer) -> None:
        cached = self._cache.put(key, answer, plugin)
        with self._lock:
            self._failed.pop(key, None)
            future = self._under_way.pop(key)
            since, self._away_since = self._away_since, None
        if since is not None:
            seconds = round(time.monotonic() - since, 1)
            log.info("directory back", extra={"plugin": plugin, "seconds": seconds})
        future.set_result(cached)

    def _fail(self, key: Key, plugin: str, answer: AwayAnswer | BrokenAnswer) -> None:
        reason = _reason(answer)
        if isinstance(answer, BrokenAnswer):
            about = {"plugin": plugin, "reason": reason} | ({"traceback": answer.traceback} if answer.traceback else {})
            log.error("hook failed", extra=about)
        else:
            self._note_away(reason, plugin)
        now = time.monotonic()
        with self._lock:
            self._failed = {one: at for one, at in self._failed.items() if at > now - AGAIN_SECONDS}
            self._failed[key] = now
            future = self._under_way.pop(key)
        future.set_result(reason)

    def _note_away(self, reason: str, plugin: str = "") -> None:
        """Remember that a directory is away; log it when that begins."""
        with self._lock:
            begins = self._away_since is None
            self._away_at = time.monotonic()
            self._away_since = self._away_at if begins else self._away_since
        if begins:
            about = {"plugin": plugin or self._plugins[0].name, "reason": reason}
            log.warning("directory away", extra=about | {"stale_seconds": self._settings.stale_seconds})

    def _has_just_failed(self, key: Key) -> bool:
        with self._lock:
            return self._failed.get(key, -AGAIN_SECONDS) > time.monotonic() - AGAIN_SECONDS

    def _is_away(self) -> bool:
        with self._lock:
            return self._away_since is not None and self._away_at > time.monotonic() - AGAIN_SECONDS

    def _ask_once(self, plugin: AskedPlugin, question: Question) -> Answer:
        asked = AskedQuestion(question, time.monotonic())
        plugin.ask(asked)
        try:
            return asked.answer.result(self._settings.answer_seconds)
        except FutureTimeout:
            return AwayAnswer(id=question.id, reason=f"no answer within {self._settings.answer_seconds:g} s")

    @contextlib.contextmanager
    def _place(self, caller: str) -> Iterator[None]:
        """Be one of the callers that wait while the body runs; raise `Unavailable` if there are too many."""
        with self._lock:
            if self._waiting.total() >= self._settings.waiting:
                raise Unavailable(f"{self._settings.waiting} callers wait for the directory")
            if self._waiting[caller] >= self._settings.waiting_per_caller:
                raise Unavailable(f"{self._settings.waiting_per_caller} calls of this caller wait for the directory")
            self._waiting[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting[caller] -= 1
                if not self._waiting[caller]:
                    del self._waiting[caller]


def _is_name(text: str) -> bool:
    """Return whether a directory may be asked for this text: no user has a name with control characters."""
    return len(text) <= LONGEST_NAME and (not text or text.isprintable())


def _is_unknown(answer: Answer) -> bool:
    return (isinstance(answer, UserAnswer) and answer.user is None) or (
        isinstance(answer, ProcessAnswer) and answer.process is None
    )


def _reason(answer: Answer) -> str:
    match answer:
        case AwayAnswer() | RefusedAnswer():
            return answer.reason
        case BrokenAnswer():
            return answer.error
        case _:
            return f"it sent {answer.type}"
