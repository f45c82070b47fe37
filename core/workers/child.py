"""The worker's side of a slot: read one order from the server, carry it out, send the result.

This is the only process in which code of a plugin runs. It leads a process group of its own, within resource limits
that the kernel enforces, and its supervisor ends it together with everything that it started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
import threading
import traceback
from datetime import UTC
from itertools import islice
from pathlib import Path
from typing import Any

from postscan.core.errors import PluginError
from postscan.core.filters import loader, parameters
from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.context import FilterContext, Parent
from postscan.core.filters.delivery import changes
from postscan.core.filters.filter import Filter
from postscan.core.filters.results import FilterFailed, reason_of
from postscan.core.filters.source.connection import InletConnection
from postscan.core.model.states import FilterReason
from postscan.core.workers import protocol, rlimits
from postscan.core.workers.orders import hooks, picture, source
from postscan.core.workers.orders.hooks import HooksConnection
from postscan.core.workers.protocol import (
    CheckOrder,
    DiagnoseOrder,
    FilterDeclaration,
    GrantRequest,
    HooksDiagnoseOrder,
    HooksOrder,
    HooksProbeOrder,
    LogLine,
    Order,
    OrderBegun,
    OrderBroken,
    OrderFailed,
    OrderWithResult,
    PictureOrder,
    ProbeOrder,
    Result,
    RunMessage,
    RunOrder,
    SourceDiagnoseOrder,
    SourceOrder,
    SourceProbeOrder,
)


def main(channel: socket.socket) -> None:
    """Wait for one order, carry it out, and send its result."""
    connection = ServerConnection(channel)
    received = connection.receive_order()
    if received is None:
        return
    order, token = received
    if isinstance(order, SourceOrder):
        _run_source(order, connection)
        return
    if isinstance(order, HooksOrder):
        _run_hooks(order, connection)
        return
    result = _result_of(order, token, connection)
    with contextlib.suppress(Exception):  # a filter may have replaced it
        sys.stdout.flush()
    connection.send(result)


def _result_of(order: OrderWithResult, token: CancellationToken, connection: ServerConnection) -> Result:
    """Carry out an order; turn every error into a result."""
    try:
        _prepare(order.resources)
        match order:
            case ProbeOrder():
                connection.send(OrderBegun())
                return _probe(order)
            case CheckOrder():
                return _check(order, connection)
            case DiagnoseOrder():
                connection.send(OrderBegun())
                return _diagnose(order, token)
            case RunOrder():
                return _run(order, token, connection)
            case SourceProbeOrder():
                connection.send(OrderBegun())
                return source.probe(order)
            case SourceDiagnoseOrder():
                connection.send(OrderBegun())
                _enter(order.workdir)
                return source.diagnose(order, token)
            case HooksProbeOrder():
                connection.send(OrderBegun())
                return hooks.probe(order)
            case HooksDiagnoseOrder():
                connection.send(OrderBegun())
                _enter(order.workdir)
                return hooks.diagnose(order)
            case PictureOrder():
                return picture.make(order, connection.send)
    except PluginError as error:
        return OrderBroken(error=str(error)[: protocol.SENTENCE])
    except MemoryError:
        rlimits.use_the_spare()
        most = order.resources.memory >> 20
        return _failed(FilterReason.SERVER_OUT_OF_MEMORY, f"it needed more than {most} MiB of memory")
    except BaseException as error:  # noqa: BLE001  (a plugin may raise anything; the server needs a result)
        reason = reason_of(error)
        if reason is FilterReason.SERVER_OUT_OF_MEMORY:
            rlimits.use_the_spare()
        if reason is not FilterReason.UNKNOWN_ERROR:
            return _failed(reason, _sentence(error))
        return OrderBroken(error=_sentence(error), traceback=traceback.format_exc()[-protocol.TRACEBACK :])


def _prepare(resources: rlimits.Resources) -> None:
    resources.enforce()
    sys.stdout = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115  (for good)


def _run_source(order: SourceOrder, connection: ServerConnection) -> None:
    """Run a source until it ends; all that it has to say goes to the server in messages of its own."""
    _prepare(dataclasses.replace(order.resources, processor=0.0))
    _enter(order.workdir)
    source.main(connection.hand_over())
    with contextlib.suppress(Exception):
        sys.stdout.flush()


def _run_hooks(order: HooksOrder, connection: ServerConnection) -> None:
    """Let a plugin of hooks answer questions until the stop; all that it has to say goes in messages of its own."""
    _prepare(dataclasses.replace(order.resources, processor=0.0))
    _enter(order.workdir)
    hooks.main(connection.hand_over_to_hooks())
    with contextlib.suppress(Exception):
        sys.stdout.flush()


def _failed(reason: str, error: str) -> OrderFailed:
    return OrderFailed(reasons=(reason,), error=error[: protocol.SENTENCE])


class ServerConnection:
    """The socket to the server, several threads may use it; it is the `Parent` of a filter's context as well."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines = channel.makefile("rb")
        self._one_at_a_time = threading.Lock()  # a filter may use threads

    def send(self, message: RunMessage | Result) -> None:
        """Send one message."""
        with self._one_at_a_time:
            self._channel.sendall(protocol.write(message))

    def receive_order(self) -> tuple[Order, CancellationToken] | None:
        """Return the order and the token of its run; None when the server has gone."""
        first, descriptors, _, _ = socket.recv_fds(self._channel, 1, 2, socket.MSG_CMSG_CLOEXEC)
        if not first:
            return None
        page, wake = descriptors
        token = CancellationToken.open(page, wake)
        os.close(page)
        return protocol.read_order(first + self._lines.readline()), token

    def hand_over(self) -> InletConnection:
        """Return the rest of this socket as that of a source."""
        return InletConnection(self._channel, self._lines)

    def hand_over_to_hooks(self) -> HooksConnection:
        """Return the rest of this socket as that of a plugin of hooks."""
        return HooksConnection(self._channel, self._lines)

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        """Ask the server for the grant to make an output visible."""
        request = GrantRequest(**_output(document, destination, name))
        with self._one_at_a_time:
            self._channel.sendall(protocol.write(request))
            line = self._lines.readline()
        return bool(line) and protocol.read_reply(line).granted

    def published(self, document: int | None, destination: str, name: str) -> None:
        """Report that the output is visible now."""
        self.send(protocol.OutputPublished(**_output(document, destination, name)))

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        """Report that the output did not become visible."""
        self.send(protocol.OutputWithdrawn(**_output(document, destination, name)))

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report how far the filter is."""
        most = protocol.MOST_UNITS
        done, total = (max(-most, min(int(number), most)) for number in (done, total))
        self.send(protocol.FilterProgress(done=done, total=total, unit=str(unit)[: protocol.WORD]))

    def log(self, level: str, text: str) -> None:
        """Write a line into the server's log, which has the begin of a long one."""
        level, text = str(level)[: protocol.WORD], str(text)
        size = len(text.encode(errors="replace"))
        self.send(LogLine(level=level, text=text[: protocol.SENTENCE], size=size))


def _output(document: int | None, destination: str, name: str) -> dict[str, Any]:
    most = protocol.NAME
    return {"document": document, "destination": str(destination)[:most], "name": str(name)[:most]}


def _probe(order: ProbeOrder) -> Result:
    """Load a plugin and return what it declares."""
    filters = loader.load(order.plugin)
    for one in filters:
        loader.settings_for(order.plugin, one, order.settings)
    return protocol.PluginDeclared(filters=tuple(_declaration(one) for one in filters))


def _declaration(one: Filter) -> FilterDeclaration:
    declared = parameters.settings(one.Settings) if one.Settings else ()
    return FilterDeclaration(
        dialect=one.dialect,
        title=one.title,
        summary=(type(one).__doc__ or "").strip().partition("\n")[0],
        grace=float(one.grace),
        lacks=tuple(str(lack) for lack in one.requires()),
        instructions=parameters.schema(one.Instructions).as_data() if one.Instructions else None,
        checks=type(one).check is not Filter.check,
        settings=tuple(dataclasses.asdict(setting) for setting in declared),
    )


def _check(order: CheckOrder, connection: ServerConnection) -> Result:
    """Return whether a filter accepts these instructions; its time begins when it is loaded."""
    one = _filter(order)
    connection.send(OrderBegun())
    try:
        loader.instructions_for(one, order.instructions.encode())
    except ValueError as error:
        return protocol.InstructionsRefused(error=str(error)[: protocol.SENTENCE])
    return protocol.InstructionsAccepted()


class _NoParent:
    """The `Parent` of a diagnosis, in which a filter publishes nothing: it refuses every grant and sends nothing."""

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        """Refuse."""
        return False

    def published(self, document: int | None, destination: str, name: str) -> None:
        """Do nothing; nothing was granted."""

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        """Do nothing; nothing was granted."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Do nothing."""

    def log(self, level: str, text: str) -> None:
        """Do nothing."""


def _diagnose(order: DiagnoseOrder, token: CancellationToken) -> Result:
    """Let a filter check whether it reaches its destinations; it has no documents and gets no grant."""
    _enter(order.workdir)
    one = _filter(order)
    settings = loader.settings_for(order.plugin, one, order.settings)
    instructions = loader.instructions_for(one, order.instructions.encode())
    job = _context(order, instructions, settings, token, _NoParent())
    found = islice(one.diagnose(job), protocol.SENTENCES)
    return protocol.Diagnosed(found=tuple(str(problem)[: protocol.SENTENCE] for problem in found))


def _run(order: RunOrder, token: CancellationToken, connection: ServerConnection) -> Result:
    """Run one filter for one job."""
    _enter(order.workdir)
    one = _filter(order)
    lacks = list(one.requires())
    if lacks:
        return _failed(FilterReason.UNKNOWN_ERROR, " ".join(lacks))
    settings = loader.settings_for(order.plugin, one, order.settings)
    try:
        instructions = loader.instructions_for(one, order.instructions.encode())
    except ValueError as error:
        return _failed(FilterReason.INVALID_ARGS, str(error))
    job = _context(order, instructions, settings, token, connection)
    try:
        token.check()
        result = one.run(job, token)
    except Cancelled:
        return protocol.FilterCancelled()
    except FilterFailed as failure:
        reasons = tuple(str(reason) for reason in failure.reasons)
        return OrderFailed(reasons=reasons, error=str(failure.detail)[: protocol.SENTENCE])
    warnings = result.warnings if result else ()
    return protocol.FilterDone(
        warnings=tuple(str(warning)[: protocol.SENTENCE] for warning in warnings),
        documents=changes.encode(job.changes.entries),
    )


def _filter(order: CheckOrder | DiagnoseOrder | RunOrder) -> Filter:
    """Load the filter that the order is for."""
    return next(one for one in loader.load(order.plugin) if one.dialect == order.dialect)


def _context(
    order: DiagnoseOrder | RunOrder, instructions: Any, settings: Any, token: CancellationToken, parent: Parent
) -> FilterContext:
    return FilterContext(
        job=dataclasses.replace(order.job, created=order.job.created.astimezone(UTC)),
        user=order.user,
        instructions=instructions,
        settings=settings,
        workdir=order.workdir,
        token=token,
        parent=parent,
        all_documents=order.documents,
        earlier={(one.document, one.destination): one.name for one in order.earlier},
    )


def _enter(workdir: Path) -> None:
    """Give the filter its own folder, also for temporary files, and a umask without access for others.

    The group may read what a filter delivers. `postscan.core.workers.process` has the rest of the environment.
    """
    os.chdir(workdir)
    os.umask(0o027)
    os.environ["TMPDIR"] = str(workdir)


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[: protocol.SENTENCE]
