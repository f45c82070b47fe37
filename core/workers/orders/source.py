"""The worker's side of a source: run it until it is stopped, and report how that ended; probe and diagnose it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import threading
import traceback

from postscan.core.errors import PluginError
from postscan.core.filters import loader, parameters
from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.context import SourceContext
from postscan.core.filters.source.messages import InletStarted, ProofKind, SourceDeclared, SourceFailed, SourceFinished
from postscan.core.filters.source.source import Source
from postscan.core.model import json_lines
from postscan.core.workers import protocol, rlimits
from postscan.core.workers.protocol import Diagnosed, SourceDiagnoseOrder, SourceProbed, SourceProbeOrder


def main(connection: InletConnection) -> None:
    """Receive the start of an inlet, run its source, and report the end; nothing if the server has gone."""
    started = connection.receive_start()
    if started is None:
        return
    try:
        source = loader.load_source(started.plugin)
    except BaseException as error:  # noqa: BLE001  (a plugin may raise anything; the server needs to know)
        connection.send(_failed(error))
        return
    run(source, started, connection)


def run(source: Source, started: InletStarted, connection: InletConnection) -> None:
    """Run a source that is loaded, and report the end."""
    try:
        lacks = " ".join(map(str, source.requires()))
        if lacks:
            raise PluginError(lacks)  # noqa: TRY301  (reported as the errors of the plugin are)
        settings = loader.source_settings(started.inlet, source, started.settings)
        inlet = SourceContext(connection, started, settings, connection.stopping.token())
        connection.listen()
        connection.send(_declaration(source))
        if pulls(source):
            threading.Thread(target=_pull, args=(source, inlet), name="postscan-pull", daemon=True).start()
        with contextlib.suppress(Cancelled):
            source.run(inlet, inlet.token)
        if not connection.stopping.cancelled and not source.once:
            raise PluginError(f"{type(source).__name__}.run returned before it was stopped")  # noqa: TRY301
    except BaseException as error:  # noqa: BLE001
        connection.send(_failed(error))
    else:
        connection.send(SourceFinished())


def probe(order: SourceProbeOrder) -> SourceProbed:
    """Load a source and return what it declares."""
    source = loader.load_source(order.plugin)
    refused = {}
    for inlet, table in order.inlets.items():
        try:
            loader.source_settings(inlet, source, table)
        except PluginError as error:
            refused[inlet] = str(error)[: json_lines.SENTENCE]
    declared = parameters.settings(source.Settings) if source.Settings else ()
    return SourceProbed(
        title=source.title,
        summary=(type(source).__doc__ or "").strip().partition("\n")[0],
        proofs=_proofs(source),
        grace=float(source.grace),
        once=source.once,
        pulls=pulls(source),
        lacks=tuple(map(str, source.requires())),
        settings=tuple(dataclasses.asdict(setting) for setting in declared),
        refused=refused,
    )


def diagnose(order: SourceDiagnoseOrder, token: CancellationToken) -> Diagnosed:
    """Let a source check whether origins can come; every call to the server raises `Busy`."""
    started = order.started
    source = loader.load_source(started.plugin)
    settings = loader.source_settings(started.inlet, source, started.settings)
    channel, server = socket.socketpair()
    server.close()
    with contextlib.closing(InletConnection(channel)) as connection:
        connection.listen()
        inlet = SourceContext(connection, started, settings, token)
        found = itertools.islice(source.diagnose(inlet), protocol.SENTENCES)
        return Diagnosed(found=tuple(str(problem)[: json_lines.SENTENCE] for problem in found))


def pulls(source: Source) -> bool:
    """Return whether a source fetches a scan when an administrator asks for it."""
    return type(source).pull is not Source.pull


def _pull(source: Source, inlet: SourceContext) -> None:
    """Pass on what administrators ask for, one after another; an error of the source is logged."""
    while True:
        destination = inlet.connection.next_pull()
        try:
            source.pull(inlet, destination)
        except BaseException as error:  # noqa: BLE001
            inlet.log("scan not fetched", "warning", destination=destination, reason=_sentence(error))


def _declaration(source: Source) -> SourceDeclared:
    return SourceDeclared(
        title=source.title[: json_lines.NAME],
        api=source.api,
        proofs=_proofs(source),
        grace=float(source.grace),
        pulls=pulls(source),
    )


def _proofs(source: Source) -> tuple[ProofKind, ...]:
    return tuple(sorted(set(source.proofs)))


def _failed(error: BaseException) -> SourceFailed:
    if isinstance(error, MemoryError):
        rlimits.use_the_spare()
    if isinstance(error, PluginError):
        return SourceFailed(error=str(error)[: json_lines.SENTENCE])
    trace = "".join(traceback.format_exception(error))
    return SourceFailed(error=_sentence(error), traceback=trace[-json_lines.TRACEBACK :])


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[: json_lines.SENTENCE]
