"""Check instructions by their filters, before a job is created from them or a scan process is stored.

For `postscan doctor` the filters also check whether they reach the destinations that instructions name.

What a filter declares is a table, and is checked in this process. What only its author's code can decide
(`__post_init__` of its `Instructions`, or its `check`) is asked in a worker process, for a limited time: no code of a
plugin runs in the server.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

from postscan.core.errors import InvalidArgument, Unavailable
from postscan.core.filters.facts import JobFacts
from postscan.core.model.principal import User
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.registry.catalogue import FilterInfo, FilterLookup, Plugin
from postscan.core.workers.protocol import (
    CheckOrder,
    Diagnosed,
    DiagnoseOrder,
    InstructionsAccepted,
    InstructionsRefused,
    Order,
    OrderBroken,
    OrderFailed,
    OrderLate,
    Result,
)
from postscan.core.workers.slot import Closed

log = logging.getLogger(__name__)

SECONDS: Final = 2.0
"""Longest time for the code of one filter; the start of its process and the import of its plugin have their own."""

TURN_SECONDS: Final = 2.0
"""Longest wait for the filters of other instructions."""

TOGETHER: Final = 6.0
"""Seconds after which no further filter of the same instructions is asked.

With the others, a device waits for the checks up to 16 s: for a turn, these, the start of a last process and its check.
"""

DIAGNOSE_SECONDS: Final = 10.0
"""Longest time for the diagnosis of one filter."""

AT_ONCE: Final = 4
"""Instructions whose filters are asked at the same time, so that a slow filter does not fill the machine."""

_NO_JOB: Final = str(uuid.UUID(int=0))
_NO_USER: Final = User("S-1-0-0", "nobody@localhost")
_SENTENCE: Final = 255
_TITLE: Final = 64

Execute = Callable[[Order, float], Result]
"""Carries out an order in a worker within so many seconds; returns `OrderBroken` if there is no result."""


class _Question(NamedTuple):
    """What one filter of a process or job is asked; `number` counts from 1."""

    number: int
    instructions: FilterInstructions
    plugin: Plugin
    info: FilterInfo

    def __str__(self) -> str:
        """Return the filter's name for a sentence."""
        return f"filter {self.number} ({self.info.title[:_TITLE]}, {self.info.dialect})"


class InstructionValidator:
    """Checks instructions by the usable filters; several threads may use it at once."""

    def __init__(self, filters: FilterLookup, execute: Execute) -> None:
        self._filters = filters
        self._execute = execute
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def check(self, instructions: Instructions) -> None:
        """Raise `InvalidArgument` for the first thing that a filter refuses; it names filter and element.

        A dialect without a filter is not checked. Of a filter that lacks something on this machine only what it
        declares is checked: its code may need what is missing.

        Raises `Unavailable` if a filter's own code breaks, dies or takes too long, or if the machine is too busy to
        start it. Then it is not known whether the instructions are right, so no job is created, and the device gets the
        one fault that allows the same request to work later (ws-dsp.md section 7): when the machine is less busy, or
        the plugin is repaired. The log has the cause; the device does not get it.
        """
        known = list(self._known(instructions))
        for asked in known:
            if asked.info.instructions is not None:
                with _named(asked):
                    asked.info.instructions.read(asked.instructions.xml, asked.info.dialect)
        own_code = [asked for asked in known if asked.info.has_own_check and not asked.info.lacks]
        if own_code:
            self._ask_all(own_code)

    def diagnose(self, process: str, one: FilterInstructions, settings: Mapping[str, Any]) -> list[str]:
        """Return what would keep the documents of a scan process from where *one* of its filters sends them.

        *settings* are the table of the filter's plugin. The list is empty for a dialect without a filter, and for a
        filter that lacks something on this machine.
        """
        found = self._filters.find(one.dialect)
        if found is None or found[1].lacks:
            return []
        order = DiagnoseOrder(
            plugin=found[0].name,
            dialect=one.dialect,
            instructions=one.xml.decode(),
            settings=dict(settings),
            job=JobFacts(_NO_JOB, process, datetime.now(UTC)),
            user=_NO_USER,
        )
        result = self._execute(order, DIAGNOSE_SECONDS)
        return list(result.found) if isinstance(result, Diagnosed) else [_problem(result)]

    def _known(self, instructions: Instructions) -> Iterator[_Question]:
        for number, one in enumerate(instructions.filters, 1):
            found = self._filters.find(one.dialect)
            if found is not None:
                yield _Question(number, one, *found)

    def _ask_all(self, questions: list[_Question]) -> None:
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise Unavailable(f"the instructions of {AT_ONCE} other jobs are being checked")
        try:
            until = time.monotonic() + TOGETHER
            for asked in questions:
                if time.monotonic() > until:
                    raise Unavailable(f"{asked} is not asked any more: those before it took {TOGETHER:g} s")
                with _named(asked):
                    self._ask(asked)
        finally:
            self._turns.release()

    def _ask(self, asked: _Question) -> None:
        """Check by the filter's own code. The order has no settings: they may hold secrets, and are not checked."""
        xml = asked.instructions.xml.decode()
        order = CheckOrder(plugin=asked.plugin.name, dialect=asked.info.dialect, instructions=xml)
        try:
            result = self._execute(order, SECONDS)
        except (Closed, OSError, EOFError) as error:
            raise Unavailable(f"{asked} cannot be asked: {error}") from error
        if isinstance(result, InstructionsRefused):
            name = ElementTree.fromstring(xml).tag  # noqa: S314  (the front end has refused what could harm)
            raise InvalidArgument(name, xml, f"what it takes, but: {result.error[:_SENTENCE]}")
        if not isinstance(result, InstructionsAccepted):
            reason = _problem(result)[:_SENTENCE]
            about = {"plugin": asked.plugin.name, "filter": asked.info.title, "reason": reason}
            if isinstance(result, OrderBroken):
                about["traceback"] = result.traceback
            is_begun = not isinstance(result, OrderLate) or result.begun
            log.log(logging.ERROR if is_begun else logging.WARNING, "instructions not checked", extra=about)
            raise Unavailable(f"{asked} did not check its instructions: {reason}")


def _problem(result: Result) -> str:
    """Return the error of a result; of the result of another order, its type."""
    if isinstance(result, OrderFailed | OrderBroken):
        return result.error
    return f"its worker sent the result of another order: {result.type}"


@contextlib.contextmanager
def _named(asked: _Question) -> Iterator[None]:
    """Add to an `InvalidArgument` of one filter which filter it was."""
    try:
        yield
    except InvalidArgument as error:
        # In Clark's notation also where there is no namespace: a bare name means one of the processing service.
        name = error.argument if error.argument.startswith("{") else f"{{}}{error.argument}"
        raise InvalidArgument(name, error.value, f"{error.expected}, in {asked}") from None
