"""The server's side of an inlet, without a server: jobs and their pages are in memory, at the end of a real socket.

    with source_server.running(FolderSource(), tmp_path, {"folder": "/scans"}) as server:
        server.wait_for_jobs(1)
        assert server.jobs[0].pages == [b"..."]

It answers as the server does: one job for a key, busy while that job is open, and so on. `server.on_request` may give
another reply to a request, or wait; each request has a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from works import PATIENCE

from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.messages import Destination, InletStarted, PageRequest, Request, SourceFinished
from postscan.core.workers.orders import source as source_process
from postscan.plugins import Source
from postscan.plugins.testing.sources.server import BroughtJob, JobTable, SourceServer

__all__ = ["BroughtJob", "JobTable", "SourceServer", "connected", "running", "slowly"]


@contextlib.contextmanager
def running(
    source: Source,
    tmp_path: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    destinations: tuple[str | Destination, ...] = ("Invoices",),
    accounts: Mapping[str, str] | None = None,
    stops: bool = True,
    examined: bool = False,
    **about: Any,
) -> Iterator[SourceServer]:
    """Run a source in a thread of this process; *destinations* are labels, whose ids are d1, d2 ..., or whole ones.

    *about* are other fields of `InletStarted`. At the end the source is stopped, and has to end; with *stops* it must
    not have failed before. With *examined*, a page has to be a whole image, as the server wants it.
    """
    folder, workdir = tmp_path / "inlet-folder", tmp_path / "inlet-workdir"
    folder.mkdir(exist_ok=True)
    workdir.mkdir(exist_ok=True)
    started = InletStarted(
        plugin="under-test",
        inlet="inlet",
        settings=dict(settings or {}),
        destinations=tuple(
            one if isinstance(one, Destination) else Destination(id=f"d{number}", label=one)
            for number, one in enumerate(destinations, start=1)
        ),
        folder=folder,
        workdir=workdir,
        **about,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = SourceServer(ours, started, JobTable(accounts, examined=examined))
        thread = threading.Thread(target=_run, args=(source, theirs), name="source-under-test", daemon=True)
        server.start()
        thread.start()
        try:
            server.wait_for(lambda: server.declared or server.end)
            yield server
        finally:
            server.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the source has not ended"
        if stops and not server.dead:
            server.wait_for(lambda: server.end)
            assert isinstance(server.end, SourceFinished), server.end


def _run(source: Source, channel: socket.socket) -> None:
    with contextlib.closing(InletConnection(channel)) as connection:
        started = connection.receive_start()
        if started is not None:
            source_process.run(source, started, connection)


def slowly(seconds: float) -> Callable[[Request], None]:
    """Return an `on_request` that lets every page take *seconds*, as a slow disk does."""

    def wait(request: Request) -> None:
        if isinstance(request, PageRequest):
            time.sleep(seconds)

    return wait


def connected(port: int) -> socket.socket:
    """Connect to a source in a process of this machine, which may be about to listen."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), PATIENCE)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
