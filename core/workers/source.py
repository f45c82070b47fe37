"""The worker's side of an inlet: load the source, run it until it is stopped, report how that ended."""

from __future__ import annotations

import contextlib
import threading
import traceback

from postscan.core.errors import PluginError
from postscan.core.filters import loader
from postscan.core.filters.cancellation import Cancelled
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.context import SourceContext
from postscan.core.filters.source.messages import InletStarted, SourceDeclared, SourceFailed, SourceFinished
from postscan.core.filters.source.source import Source
from postscan.core.model import json_lines
from postscan.core.workers import rlimits


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
        proofs=tuple(sorted(set(source.proofs))),
        grace=float(source.grace),
        pulls=pulls(source),
    )


def _failed(error: BaseException) -> SourceFailed:
    if isinstance(error, MemoryError):
        rlimits.use_the_spare()
    if isinstance(error, PluginError):
        return SourceFailed(error=str(error)[: json_lines.SENTENCE])
    trace = "".join(traceback.format_exception(error))
    return SourceFailed(error=_sentence(error), traceback=trace[-json_lines.TRACEBACK :])


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[: json_lines.SENTENCE]
