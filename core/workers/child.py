"""The worker's side of a slot: take one order from the server, do it, say how it ended.

This is the only process in which code of a plugin runs. It leads a process group of its own, within limits that the
kernel watches, and its keeper ends it together with everything that it started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import sys
import threading
import traceback
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from postscan.core.errors import PluginError
from postscan.core.filters import changes, loader, parameters
from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.context import FilterContext, Parent
from postscan.core.filters.facts import Document, JobFacts
from postscan.core.filters.filter import Filter
from postscan.core.filters.results import FilterFailed
from postscan.core.model.principal import User
from postscan.core.model.states import FilterReason
from postscan.core.settings.engine import MIB
from postscan.core.workers import orphans, protocol, rlimits
from postscan.core.workers.rlimits import Resources

MOST_FOUND: Final = 50
"""Sentences of one diagnosis that are heard."""

_KEPT_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "VIRTUAL_ENV", orphans.MARK)
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(channel: socket.socket) -> None:
    """Wait for one order, carry it out, and say how it ended."""
    pipe = Pipe(channel)
    order = pipe.receive()
    if order is None:
        return
    answer = _carried_out(order, pipe)
    with contextlib.suppress(Exception):  # a filter may have put anything in its place
        sys.stdout.flush()
    pipe.send(answer)


def _carried_out(order: protocol.Message, pipe: Pipe) -> protocol.Message:
    """Do it, and turn whatever comes out of it into the last word."""
    try:
        Resources.read(order["resources"]).enforce()
        sys.stdout = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115  (for good)
        match order["do"]:
            case "probe":
                return _probe(order)
            case "check":
                return _check(order)
            case "diagnose":
                return _diagnose(order)
            case _:
                return _run(order, pipe)
    except PluginError as error:
        return {"end": "broken", "error": str(error), "traceback": ""}
    except MemoryError:
        rlimits.use_the_spare()
        most = order["resources"]["memory"] // MIB
        return _failed(FilterReason.SERVER_OUT_OF_MEMORY, f"it needed more than {most} MiB of memory")
    except BaseException as error:  # noqa: BLE001  (a plugin may raise anything; the server must hear of it)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return _failed(FilterReason.OUT_OF_DISK_SPACE, _sentence(error))
        return {"end": "broken", "error": _sentence(error), "traceback": traceback.format_exc()[-8000:]}


def _failed(reason: str, detail: str) -> protocol.Message:
    return {"end": "failed", "error": detail, "reasons": [reason], "detail": detail}


class Pipe:
    """Lines of JSON to and from the server; it is also the `Parent` that a filter's context talks to."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._lines = channel.makefile("rb")
        self._one_at_a_time = threading.Lock()  # a filter may use threads

    def send(self, message: protocol.Message) -> None:
        """Send one message."""
        with self._one_at_a_time:
            self._channel.sendall(protocol.write(message) + b"\n")

    def receive(self) -> protocol.Message | None:
        """Return the next message, or None when the server has gone."""
        line = self._lines.readline()
        return protocol.read(line) if line else None

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        """Ask the server for leave to make an output visible."""
        with self._one_at_a_time:
            self._channel.sendall(protocol.write({"ask": "grant", **_about(document, destination, name)}) + b"\n")
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


def _probe(order: protocol.Message) -> protocol.Message:
    """Load a plugin and say what it declares."""
    plugin, table = order["plugin"], order["settings"]
    filters = loader.load(plugin)
    for one in filters:
        loader.settings_for(plugin, one, table)
    return {"end": "declared", "filters": [_declaration(one) for one in filters]}


def _declaration(one: Filter) -> protocol.Message:
    summary = (type(one).__doc__ or "").strip().partition("\n")[0]
    return {
        "dialect": one.dialect,
        "title": one.title,
        "summary": summary,
        "grace": float(one.grace),
        "lacks": [str(lack) for lack in one.requires()],
        "instructions": parameters.schema(one.Instructions).as_data() if one.Instructions else None,
        "checks": type(one).check is not Filter.check,
        "settings": [dataclasses.asdict(setting) for setting in parameters.settings(one.Settings)]
        if one.Settings
        else [],
    }


def _check(order: protocol.Message) -> protocol.Message:
    """Say whether a filter takes these instructions."""
    one = _filter(order)
    try:
        loader.instructions_for(one, order["instructions"].encode())
    except ValueError as error:
        return {"end": "refused", "error": str(error)[:2000]}
    return {"end": "checked"}


class _Nobody:
    """The `Parent` of a filter that only looks: it gives leave for nothing, and hears nothing."""

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        """Refuse."""
        return False

    def published(self, document: int | None, destination: str, name: str) -> None:
        """Never happens."""

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        """Never happens."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell nobody."""

    def log(self, level: str, text: str) -> None:
        """Tell nobody."""


def _diagnose(order: protocol.Message) -> protocol.Message:
    """Let a filter look whether it would reach its destinations; it has nothing to deliver, and no leave to."""
    _settle_in(Path(order["workdir"]))
    one = _filter(order)
    settings = loader.settings_for(order["plugin"], one, order["settings"])
    instructions = loader.instructions_for(one, order["instructions"].encode())
    job = _context(order, instructions, settings, CancellationToken.open(order["token"]), _Nobody())
    return {"end": "diagnosed", "found": [str(said)[:1000] for said in islice(one.diagnose(job), MOST_FOUND)]}


def _run(order: protocol.Message, pipe: Pipe) -> protocol.Message:
    """Run one filter for one job."""
    _settle_in(Path(order["workdir"]))
    one = _filter(order)
    lacks = list(one.requires())
    if lacks:
        return _failed(FilterReason.UNKNOWN_ERROR, " ".join(lacks))
    settings = loader.settings_for(order["plugin"], one, order["settings"])
    try:
        instructions = loader.instructions_for(one, order["instructions"].encode())
    except ValueError as error:
        return _failed(FilterReason.INVALID_ARGS, str(error))
    token = CancellationToken.open(order["token"])
    job = _context(order, instructions, settings, token, pipe)
    try:
        token.check()
        result = one.run(job, token)
    except Cancelled:
        return {"end": "cancelled"}
    except FilterFailed as failure:
        return {
            "end": "failed",
            "reasons": [str(reason) for reason in failure.reasons],
            "detail": str(failure.detail)[:2000],
        }
    warnings = [str(warning)[:2000] for warning in result.warnings] if result else []
    made = changes.encode(job.changes.entries)
    return {"end": "done", "warnings": warnings} | ({} if made is None else {"documents": made})


def _filter(order: protocol.Message) -> Filter:
    """Load the filter that the order is about."""
    return next(one for one in loader.load(order["plugin"]) if one.dialect == order["dialect"])


def _context(
    order: protocol.Message, instructions: Any, settings: Any, token: CancellationToken, parent: Parent
) -> FilterContext:
    job = order["job"]
    return FilterContext(
        job=JobFacts(job["token"], job["process"], datetime.fromisoformat(job["created"])),
        user=User(**order["user"]),
        instructions=instructions,
        settings=settings,
        workdir=Path(order["workdir"]),
        token=token,
        parent=parent,
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


def _about(document: int | None, destination: str, name: str) -> protocol.Message:
    return {"document": document, "destination": str(destination)[:2048], "name": str(name)[:2048]}


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:2000]
