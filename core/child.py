"""The worker's side of a slot: take one order from the server, do it, say how it ended.

This is the only process in which code of a plugin runs. It leads a process group of its own, so that the tools
that a filter starts can be ended with it, and it dies with the server.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from postscan.core import loading, wire
from postscan.core.cancellation import CancellationToken, Cancelled
from postscan.core.errors import PluginError
from postscan.core.filters import Document, Filter, FilterContext, FilterFailed, JobFacts
from postscan.core.model import User

_KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "VIRTUAL_ENV")


def main(channel: socket.socket) -> None:
    """Wait for one order, carry it out, and end."""
    os.setsid()
    _die_with_the_server()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server; it tells us what to do
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pipe = Pipe(channel)
    order = pipe.receive()
    if order is None:
        return
    try:
        answer = _probe(order) if order["do"] == "probe" else _run(order, pipe)
    except PluginError as error:
        answer = {"end": "broken", "error": str(error), "traceback": ""}
    except BaseException as error:  # noqa: BLE001  (a plugin may raise anything; the server must hear of it)
        answer = {"end": "broken", "error": _sentence(error), "traceback": traceback.format_exc()[-8000:]}
    pipe.send(answer)


class Pipe:
    """Lines of JSON to and from the server; it is also the `Parent` that a filter's context talks to."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines = channel.makefile("rb")
        self._one_at_a_time = threading.Lock()  # a filter may use threads

    def send(self, message: wire.Message) -> None:
        """Send one message."""
        with self._one_at_a_time:
            self._channel.sendall(wire.write(message) + b"\n")

    def receive(self) -> wire.Message | None:
        """Return the next message, or None when the server has gone."""
        line = self._lines.readline()
        return wire.read(line) if line else None

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        """Ask the server for leave to make an output visible."""
        with self._one_at_a_time:
            self._channel.sendall(wire.write({"ask": "grant", **_about(document, destination, name)}) + b"\n")
            answer = self.receive()
        return answer is not None and answer.get("granted") is True

    def published(self, document: int | None, destination: str, name: str) -> None:
        """Tell that the output is visible now."""
        self.send({"tell": "published", **_about(document, destination, name)})

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        """Tell that the output did not become visible."""
        self.send({"tell": "withdrawn", **_about(document, destination, name)})

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell how far the filter is."""
        self.send({"tell": "progress", "done": int(done), "total": int(total), "unit": str(unit)[:64]})

    def log(self, level: str, text: str) -> None:
        """Write a line into the server's log."""
        self.send({"tell": "log", "level": str(level), "text": str(text)[:2000]})


def _probe(order: wire.Message) -> wire.Message:
    """Load a plugin and say what it declares."""
    plugin, table = order["plugin"], order["settings"]
    filters = loading.load(plugin)
    for one in filters:
        loading.settings_for(plugin, one, table)
    return {"end": "declared", "filters": [_declaration(one) for one in filters]}


def _declaration(one: Filter) -> wire.Message:
    summary = (type(one).__doc__ or "").strip().partition("\n")[0]
    return {
        "dialect": one.dialect,
        "title": one.title,
        "summary": summary,
        "grace": float(one.grace),
        "lacks": [str(lack) for lack in one.requires()],
    }


def _run(order: wire.Message, pipe: Pipe) -> wire.Message:
    """Run one filter for one job."""
    _settle_in(Path(order["workdir"]))
    one = next(one for one in loading.load(order["plugin"]) if one.dialect == order["dialect"])
    lacks = list(one.requires())
    if lacks:
        return {"end": "failed", "reasons": ["UnknownError"], "detail": " ".join(lacks)}
    settings = loading.settings_for(order["plugin"], one, order["settings"])
    token = CancellationToken.open(order["token"])
    try:
        token.check()
        result = one.run(_context(order, settings, token, pipe), token)
    except Cancelled:
        return {"end": "cancelled"}
    except FilterFailed as failure:
        return {"end": "failed", "reasons": [str(reason) for reason in failure.reasons], "detail": failure.detail}
    return {"end": "done", "warnings": [str(warning)[:2000] for warning in result.warnings] if result else []}


def _context(order: wire.Message, settings: Any, token: CancellationToken, pipe: Pipe) -> FilterContext:
    job = order["job"]
    return FilterContext(
        job=JobFacts(job["token"], job["process"], datetime.fromisoformat(job["created"])),
        user=User(**order["user"]),
        instructions=order["instructions"].encode(),
        settings=settings,
        workdir=Path(order["workdir"]),
        token=token,
        parent=pipe,
        all_documents=tuple(Document(**{**one, "path": Path(one["path"])}) for one in order["documents"]),
        earlier={(one["document"], one["destination"]): one["name"] for one in order["earlier"]},
    )


def _settle_in(workdir: Path) -> None:
    """Give the filter a clean place: its own folder, a careful umask, and no secrets in the environment."""
    os.chdir(workdir)
    os.umask(0o027)
    for name in list(os.environ):
        if name not in _KEPT_ENVIRONMENT and not name.startswith("LC_"):
            del os.environ[name]
    os.environ["TMPDIR"] = str(workdir)


def _die_with_the_server() -> None:
    """End this process group when the server dies, even if it was killed.

    An idle worker would see the pipe close; a busy one needs this thread. PR_SET_PDEATHSIG does not help, since the
    kernel's parent of a worker is the forkserver, which lives as long as any worker does.
    """
    server = multiprocessing.parent_process()
    if server is None:
        raise AssertionError("a worker is started by multiprocessing")

    def watch() -> None:
        server.join()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="postscan-orphan", daemon=True).start()


def _about(document: int | None, destination: str, name: str) -> wire.Message:
    return {"document": document, "destination": str(destination)[:2048], "name": str(name)[:2048]}


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
