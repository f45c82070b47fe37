"""The worker's side of a plugin of hooks: answer questions until the stop; probe and diagnose it.

One thread reads the questions, and as many as the plugin declares call its hooks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import queue
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from postscan.core.errors import PluginError
from postscan.core.filters import loader, parameters
from postscan.core.filters.directory import messages
from postscan.core.filters.directory.context import HooksContext
from postscan.core.filters.directory.errors import AccessRefused, DirectoryAway
from postscan.core.filters.directory.messages import (
    Answer,
    AwayAnswer,
    BrokenAnswer,
    HooksDeclared,
    HooksFailed,
    HooksLogLine,
    HooksMessage,
    HooksStarted,
    ProcessAnswer,
    ProcessesAnswer,
    ProcessesQuestion,
    ProcessQuestion,
    Question,
    RefusedAnswer,
    UserAnswer,
    UserQuestion,
)
from postscan.core.filters.directory.values import MOST_PROCESSES, DirectoryProcess
from postscan.core.filters.loader import LoadedHooks
from postscan.core.model import json_lines
from postscan.core.model.rate_limit import RateLimit
from postscan.core.workers import protocol, rlimits
from postscan.core.workers.protocol import Diagnosed, HooksDiagnoseOrder, HooksProbed, HooksProbeOrder

CLOSE_SECONDS: Final = 2.0
"""Longest time for `close`."""

LINES_A_MINUTE: Final = 600
"""Most lines of the log; further ones are dropped."""

_SHOWN_NAME: Final = 255


class HooksConnection:
    """The socket to the server; several threads may send."""

    def __init__(self, channel: socket.socket, lines: BinaryIO) -> None:
        self._channel = channel
        self._lines = lines
        self._sending = threading.Lock()
        self._pace = RateLimit(LINES_A_MINUTE, 60.0, time.monotonic)

    def receive(self) -> messages.HooksServerMessage | None:
        """Return the next message; None when the server has gone. Raises `BadMessage`."""
        line = self._lines.readline(messages.LONGEST + 1)
        return messages.read_server(line) if line else None

    def send(self, message: HooksMessage) -> None:
        """Send a message; nothing happens if the server has gone. Raises `ValueError` for one that is too long."""
        line = messages.write(message)
        if len(line) > messages.LONGEST:
            raise ValueError(f"an answer of {len(line)} bytes; expected at most {messages.LONGEST}")
        with self._sending, contextlib.suppress(OSError):
            self._channel.sendall(line)

    def log(self, level: str, text: str, fields: dict[str, str]) -> None:
        """Send a line of the log, unless there are too many."""
        if self._pace.take("") > 0.0:
            return
        shown = {
            name[: json_lines.WORD]: value[: json_lines.NAME]
            for name, value in itertools.islice(fields.items(), messages.FIELDS)
        }
        line = HooksLogLine(level=level[: json_lines.WORD], message=text[: json_lines.SENTENCE], fields=shown)
        self.send(line)


def main(connection: HooksConnection) -> None:
    """Receive the start, load the plugin, and answer until the stop; nothing if the server has gone."""
    started = connection.receive()
    if not isinstance(started, HooksStarted):
        return
    try:
        loaded = _load(started, connection.log)
    except BaseException as error:  # noqa: BLE001  (a plugin may raise anything; the server needs to know)
        connection.send(_failed(error))
        return
    connection.send(
        HooksDeclared(title=loaded.plugin.title[:_SHOWN_NAME], at_once=loaded.plugin.at_once, hooks=loaded.names)
    )
    _answer_all(loaded, connection)
    closing = threading.Thread(target=loaded.plugin.close, name="postscan-close", daemon=True)
    closing.start()
    closing.join(CLOSE_SECONDS)


def probe(order: HooksProbeOrder) -> HooksProbed:
    """Load a plugin of hooks and return what it declares; its object is not made, as that needs its settings."""
    kind = loader.hooks_class(order.plugin)
    refused = ""
    try:
        if order.settings is not None:
            loader.hooks_settings(order.plugin, kind, order.settings)
    except PluginError as error:
        refused = str(error)[: json_lines.SENTENCE]
    declared = parameters.settings(kind.Settings) if kind.Settings else ()
    return HooksProbed(
        title=kind.title,
        summary=(kind.__doc__ or "").strip().partition("\n")[0],
        hooks=tuple(name for name in loader.QUESTIONS if hasattr(kind, name)),
        at_once=min(kind.at_once, messages.AT_ONCE),
        settings=tuple(dataclasses.asdict(setting) for setting in declared),
        refused=refused,
    )


def diagnose(order: HooksDiagnoseOrder) -> Diagnosed:
    """Let a plugin check whether it reaches its directory."""
    kind = loader.hooks_class(order.plugin)
    settings = loader.hooks_settings(order.plugin, kind, order.settings)
    loaded = loader.make_hooks(kind, HooksContext(order.plugin, settings, order.seconds, order.workdir))
    found = itertools.chain(loaded.plugin.requires(), loaded.plugin.diagnose())
    shown = tuple(str(one)[: json_lines.SENTENCE] for one in itertools.islice(found, protocol.SENTENCES))
    with contextlib.suppress(Exception):
        loaded.plugin.close()
    return Diagnosed(found=shown)


def _load(started: HooksStarted, log: Callable[[str, str, dict[str, str]], None]) -> LoadedHooks:
    kind = loader.hooks_class(started.plugin)
    settings = loader.hooks_settings(started.plugin, kind, started.settings)
    context = HooksContext(started.plugin, settings, started.seconds, Path(started.workdir), log)
    loaded = loader.make_hooks(kind, context)
    lacks = " ".join(map(str, loaded.plugin.requires()))
    if lacks:
        raise PluginError(lacks)
    return loaded


def _answer_all(loaded: LoadedHooks, connection: HooksConnection) -> None:
    """Answer questions until the stop, or until the server has gone."""
    questions: queue.SimpleQueue[Question] = queue.SimpleQueue()

    def work() -> None:
        while True:
            _send(connection, reply_to(loaded, questions.get()))

    for number in range(min(loaded.plugin.at_once, messages.AT_ONCE)):
        threading.Thread(target=work, name=f"postscan-hook-{number}", daemon=True).start()
    while isinstance(message := connection.receive(), UserQuestion | ProcessQuestion | ProcessesQuestion):
        questions.put(message)


def _send(connection: HooksConnection, reply: Answer) -> None:
    try:
        connection.send(reply)
    except ValueError as error:
        connection.send(BrokenAnswer(id=reply.id, error=str(error)[: json_lines.SENTENCE]))


def reply_to(loaded: LoadedHooks, question: Question) -> Answer:
    """Call the hook that a question is for; turn every error into an answer."""
    try:
        return _call(loaded.call, question)
    except DirectoryAway as error:
        return AwayAnswer(id=question.id, reason=_one_line(error))
    except AccessRefused as error:
        if isinstance(question, ProcessQuestion):
            return RefusedAnswer(id=question.id, reason=_one_line(error))
        return _broken(question, error)
    except BaseException as error:  # noqa: BLE001  (a plugin may raise anything; the server needs an answer)
        return _broken(question, error)


def _call(call: Any, question: Question) -> Answer:
    match question:
        case UserQuestion():
            user = call.postscan_find_user(sid=question.sid, upn=question.upn, login=question.login)
            return UserAnswer(id=question.id, user=user)
        case ProcessQuestion():
            process = call.postscan_find_process(identifier=question.identifier, user=question.user)
            return ProcessAnswer(id=question.id, process=None if process is None else _shortened(process))
        case _:
            found: Iterable[DirectoryProcess] = call.postscan_processes(user=question.user) or ()
            listed = [replace(_shortened(one), xml="", sha256="") for one in itertools.islice(found, MOST_PROCESSES)]
            return ProcessesAnswer(id=question.id, processes=tuple(listed))


def _shortened(process: DirectoryProcess) -> DirectoryProcess:
    return replace(process, display_name=process.display_name[:_SHOWN_NAME])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[: json_lines.SENTENCE]


def _broken(question: Question, error: BaseException) -> BrokenAnswer:
    if isinstance(error, MemoryError):
        rlimits.use_the_spare()
    trace = "".join(traceback.format_exception(error))
    return BrokenAnswer(id=question.id, error=_sentence(error), traceback=trace[-json_lines.TRACEBACK :])


def _failed(error: BaseException) -> HooksFailed:
    if isinstance(error, MemoryError):
        rlimits.use_the_spare()
    if isinstance(error, PluginError):
        return HooksFailed(error=str(error)[: json_lines.SENTENCE])
    trace = "".join(traceback.format_exception(error))
    return HooksFailed(error=_sentence(error), traceback=trace[-json_lines.TRACEBACK :])


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[: json_lines.SENTENCE]
