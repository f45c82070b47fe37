"""One page that comes through an inlet of a server, is sent again until it is acknowledged, and is delivered.

by-folder   a file in a watched folder, acknowledged by its removal
by-ftp      an upload, acknowledged by 226
by-mail     a mail with one attachment, acknowledged by 250
by-web      a PUT, acknowledged by 201, or by 200 if it is repeated

The file share filter delivers the page; the job is Completed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from unittest import mock

import messages
import sqlalchemy as sa
from acceptance.scanning import instructions
from acceptance.server import SHARE, Server, Tables, running
from command_forker import CONSTANTS
from mail_inlet import page
from plugin_names import unused
from works import SID, alive

from campaigns.senders import LABEL, SENDERS, Outcome, Reply
from campaigns.whole_job import NoAnswer, Refused
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.states import JobReason, JobState
from postscan.core.store.schema import DOCUMENT

PLUGINS: Final = {"by-folder": "folder", "by-ftp": "ftp", "by-mail": "smtp", "by-web": "web"}
"""The plugin of the inlet for each kind of job; the inlet has the name of the kind."""

PAGE_BYTES: Final = 3000
"""A page has so many bytes, and some more."""

_PORTS: Final = itertools.count(10_000)
_ADMIN: Final = Principal("local:root", Proof.LOCAL, admin=True)
_PROCESS: Final = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
_PATIENCE: Final = 60.0
_PAUSE: Final = 0.1  # seconds before a page is sent again
_NUMBERS: Final = itertools.count(1)


@contextlib.contextmanager
def with_inlets(home: Path, settings: Tables, *kinds: str) -> Iterator[Server]:
    """Run a server that has an inlet for each of these kinds, and their destination; *settings* are further tables.

    It carries out the requests of an inlet in one thread, so that the N-th reply is always the N-th of a thread.
    """
    tables: dict[str, Mapping[str, Any]] = {
        "plugins": {"disabled": unused("fileshare", *(PLUGINS[kind] for kind in kinds))},
        "destinations.scans": {"label": LABEL, "process": _PROCESS, "user": SID},
    }
    for kind in kinds:
        tables[f"sources.{kind}"] = {"plugin": PLUGINS[kind], **_settings(kind, home)}
    with _one_thread(), running(home, {**tables, **settings}) as server:
        xml = messages.PROCESS.replace(messages.INSTRUCTIONS, instructions(f"share {SHARE}"))
        server.processes.add(xml.encode(), display_name="Scans", users=(), identifier=_PROCESS)
        yield server


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let the servers that are started within the body have one thread for the requests of an inlet."""
    with mock.patch.dict(os.environ, {CONSTANTS: json.dumps({"postscan.core.sources.inlet.THREADS": 1})}):
        yield


def order_start(server: Server, kind: str) -> None:
    """Order the inlet to start: the ends of its source until now count no more, so that they are no quarantine."""
    server.works.core.inlets.start(kind, _ADMIN)


def has_failed(job: Job) -> bool:
    """Return whether a job ended before its source had brought all pages, so that its origin comes again."""
    return job.state is JobState.ABORTED and job.reasons == (JobReason.SEND_IMAGE_FAILED,)


class SourceJob:
    """The job of one page, at a server or a source that may fail at any moment.

    `images` has the page, `acknowledged` says that its sender knows it stored, `token` is that of its job, "" before
    the job has ended. *patience* is the most seconds until the acknowledgement, and from there to the end of the job.
    """

    def __init__(self, server: Server, kind: str, *, patience: float = _PATIENCE) -> None:
        self.server = server
        self.kind = kind
        self.name = f"scan-{next(_NUMBERS)}.png"
        self.images = {1: page(os.urandom(8).hex().encode(), PAGE_BYTES)}
        self.acknowledged = False
        self.token = ""
        self._patience = patience
        source = server.settings.sources[kind]
        self._sender = SENDERS[source.plugin](source.table, self.name, self.images[1])

    def send(self) -> Reply:
        """Send the page once, and return the reply. Raises `Refused` if it was refused for good."""
        reply = self._sender.send()
        if reply.outcome is Outcome.REFUSED:
            raise Refused(f"{self.name} ({self.kind})", ("", str(reply.code), reply.text, ""))
        self.acknowledged = self.acknowledged or reply.outcome is Outcome.TAKEN
        return reply

    def go_on(self) -> None:
        """Send the page until it is acknowledged, and wait for the end of its job.

        Raises `NoAnswer` when the server has ended, `Refused` as `send` does.
        """
        until = time.monotonic() + self._patience
        while not self.acknowledged:
            reply = self.send()
            if not self.acknowledged:
                self._pause(until, f"the acknowledgement of {self.name} ({self.kind}): {reply.code} {reply.text}")
        until = time.monotonic() + self._patience
        while not self.token:
            states = {job.token: job.state for job in self.stored()}
            self.token = next((token for token, state in states.items() if state.ended), "")
            if not self.token:
                self._pause(until, f"the end of {self.name} ({self.kind}): {sorted(states.values())}")

    def stored(self) -> list[Job]:
        """Return the jobs that have the page, but those that have failed at their origin."""
        store = self.server.works.core.store
        digest = hashlib.sha256(self.images[1]).hexdigest()
        with store.reading() as db:
            tokens = list(db.scalars(sa.select(DOCUMENT.c.token).where(DOCUMENT.c.sha256 == digest)))
        jobs = [store.load(token) for token in tokens]
        return [job for job in jobs if not has_failed(job)]

    def _pause(self, until: float, what: str) -> None:
        if not alive(self.server.pid):
            raise NoAnswer(what)
        if time.monotonic() > until:
            inlet = self.server.works.core.inlets.all_rows()[self.kind]
            raise AssertionError(f"waited {self._patience:g} s for {what}; the inlet is {inlet.state}: {inlet.detail}")
        time.sleep(_PAUSE)


def _settings(kind: str, home: Path) -> Mapping[str, Any]:
    """Return what the inlet of this kind needs beyond its plugin; make its folder."""
    if kind == "by-folder":
        folder = home / "watched"
        folder.mkdir()
        return {"folder": str(folder), "quiet_seconds": 0.2}
    return {"host": _own_address(), "port": next(_PORTS), "devices": ["127.0.0.0/8"]}


def _own_address() -> str:
    """Return an address of this machine that no other process of tests or campaigns uses.

    The ports of a source that was killed are free for a moment; at a common address another process could take them.
    """
    number = os.getpid()
    return f"127.{64 + (number >> 16) % 64}.{number >> 8 & 255}.{number & 255}"
