"""What the filters have to say about instructions, before a job is made of them or a scan process is stored.

For `postscan doctor` they also look whether they would reach the destinations that instructions name.

What a filter declares is a table, and is checked right here. What only its author's code can tell (`__post_init__` of
its `Instructions`, or its `check`) is asked in a worker process, for a moment: no code of a plugin runs in the server.
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
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin
from postscan.core.workers import protocol
from postscan.core.workers.child import MOST_FOUND
from postscan.core.workers.slot import Closed

log = logging.getLogger(__name__)

SECONDS: Final = 2.0
"""Longest time that the code of one filter gets, the import of its plugin included."""

TOGETHER: Final = 6.0
"""Seconds after which no further filter of the same instructions is asked."""

LOOKING: Final = 10.0
"""Longest time that a filter may look at its destinations."""

AT_ONCE: Final = 4
"""Instructions about which filters are asked at the same time, so that a slow one does not fill the machine."""

_NO_JOB: Final = str(uuid.UUID(int=0))
_SENTENCE: Final = 255
_TITLE: Final = 64

Ask = Callable[[protocol.Message, float], protocol.Message]
"""Gives a worker an order and so many seconds; returns its last word, or `{"error": ...}` if there was none."""


class _Asked(NamedTuple):
    """What one filter of a process or job is asked; `number` counts from 1."""

    number: int
    instructions: FilterInstructions
    plugin: Plugin
    info: FilterInfo

    def __str__(self) -> str:
        """Say which filter it is, for a sentence."""
        return f"filter {self.number} ({self.info.title[:_TITLE]}, {self.info.dialect})"


class InstructionValidator:
    """Judges instructions by the catalogue; several threads may use it at once."""

    def __init__(self, catalogue: Catalogue, ask: Ask) -> None:
        self._catalogue = catalogue
        self._ask = ask
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def check(self, instructions: Instructions) -> None:
        """Raise `InvalidArgument` for the first thing that a filter does not take; it names filter and element.

        A dialect that nobody has is nobody's to judge, and a filter that lacks something on this machine is not asked
        for more than it declares: its code may need what is missing.

        Raises `Unavailable` if a filter's own code breaks, dies or takes too long. Nobody has said then that the
        instructions are right, so there is no job; nor that they are wrong, so the device is not told that they are.
        It is the one fault that says that the same request may work later (ws-dsp.md section 7): when the
        machine is less busy, or the plugin is mended. The log says what happened, the device hears nothing of it.
        """
        known = list(self._known(instructions))
        for asked in known:
            if asked.info.instructions is not None:
                with _named(asked):
                    asked.info.instructions.read(asked.instructions.xml, asked.info.dialect)
        judges = [asked for asked in known if asked.info.judges and not asked.info.lacks]
        if judges:
            self._ask_them(judges)

    def diagnose(self, process: str, one: FilterInstructions, settings: Mapping[str, Any]) -> list[str]:
        """Return what would keep the documents of a scan process from where *one* of its filters sends them.

        *settings* are the table of the filter's plugin. A dialect that nobody has, and a filter that lacks something
        on this machine, has nothing to say.
        """
        found = self._catalogue.find(one.dialect)
        if found is None or found[1].lacks:
            return []
        order = {
            "do": "diagnose",
            "plugin": found[0].name,
            "dialect": one.dialect,
            "instructions": one.xml.decode(),
            "settings": dict(settings),
            "job": {"token": _NO_JOB, "process": process, "created": datetime.now(UTC).isoformat()},
            "user": {"sid": "S-1-0-0", "name": "nobody@localhost"},
            "documents": [],
            "earlier": [],
        }
        said = self._ask(order, LOOKING)
        heard = said.get("found")
        if said.get("end") == "diagnosed" and isinstance(heard, list):
            return [str(sentence) for sentence in heard[:MOST_FOUND]]
        return [str(said.get("error", "it said nothing that makes sense"))[:1000]]

    def _known(self, instructions: Instructions) -> Iterator[_Asked]:
        for number, one in enumerate(instructions.filters, 1):
            found = self._catalogue.find(one.dialect)
            if found is not None:
                yield _Asked(number, one, *found)

    def _ask_them(self, judges: list[_Asked]) -> None:
        if not self._turns.acquire(timeout=SECONDS):
            raise Unavailable(f"the instructions of {AT_ONCE} other jobs are being checked")
        try:
            until = time.monotonic() + TOGETHER
            for asked in judges:
                if time.monotonic() > until:
                    raise Unavailable(f"{asked} is not asked any more: those before it took {TOGETHER:g} s")
                with _named(asked):
                    self._ask_one(asked)
        finally:
            self._turns.release()

    def _ask_one(self, asked: _Asked) -> None:
        """Let the filter's own code judge. Its settings stay here: they may hold secrets, and are not judged."""
        order = {
            "do": "check",
            "plugin": asked.plugin.name,
            "dialect": asked.info.dialect,
            "instructions": asked.instructions.xml.decode(),
        }
        try:
            said = self._ask(order, SECONDS)
        except (Closed, OSError, EOFError) as error:
            raise Unavailable(f"{asked} cannot be asked: {error}") from error
        sentence = str(said.get("error", "it said nothing that makes sense"))[:_SENTENCE]
        if said.get("end") == "refused":
            xml = asked.instructions.xml.decode()
            name = ElementTree.fromstring(xml).tag  # noqa: S314  (the front end has refused what could harm)
            raise InvalidArgument(name, xml, f"what it takes, but: {sentence}")
        if said.get("end") != "checked":
            traceback = {"traceback": said.get("traceback", "")}
            log.error("%s did not judge its instructions: %s", asked, sentence, extra=traceback)
            raise Unavailable(f"{asked} did not judge its instructions: {sentence}")


@contextlib.contextmanager
def _named(asked: _Asked) -> Iterator[None]:
    """Let an error of one filter say which filter it was."""
    try:
        yield
    except InvalidArgument as error:
        # In Clark's way also where there is no namespace: a bare name means one of the processing service.
        name = error.argument if error.argument.startswith("{") else f"{{}}{error.argument}"
        raise InvalidArgument(name, error.value, f"{error.expected}, in {asked}") from None
