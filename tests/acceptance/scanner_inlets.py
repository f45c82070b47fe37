"""A server with inlets for simulated scanners, and what it has made of their pages."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import commands
import messages
import sqlalchemy as sa
from acceptance.scanning import instructions
from acceptance.server import SHARE, Server, Tables, digest
from plugin_names import unused
from works import SID, until

from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.states import JobState
from postscan.core.service.inlets import InletRow
from postscan.core.store.schema import DOCUMENT, JOB

DESTINATION: Final = "invoices"
LABEL: Final = "Invoices"
ADMIN: Final = Principal("local:root", Proof.LOCAL, admin=True)

_PROCESS: Final = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"


class ScannerServer:
    """The server, as an administrator sees it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def jobs_of(self, page: bytes) -> list[Job]:
        """Return the jobs that have this page, in whatever state."""
        store = self.server.works.core.store
        with store.reading() as db:
            tokens = list(db.scalars(sa.select(DOCUMENT.c.token).where(DOCUMENT.c.sha256 == sha256(page))))
        return [store.load(token) for token in tokens]

    def delivered(self) -> Counter[str]:
        """Return how often the share has each file, by its SHA-256."""
        return Counter(digest(file) for file in self.server.share.rglob("*") if file.is_file())

    def pending_at(self, job: Job) -> datetime | None:
        """Return when a job became Pending; None if it did not."""
        for event in self.server.works.service.events(job.token, ADMIN):
            if event.kind == "JobStateChanged" and event.fields["state"] == JobState.PENDING:
                return event.at
        return None

    def inlet(self, name: str) -> InletRow:
        """Return how an inlet is."""
        return self.server.works.core.inlets.all_rows()[name]

    def await_ready(self, name: str) -> None:
        """Wait until an inlet takes scans."""
        until(lambda: self.inlet(name).state == "ready", f"for {name} to be ready: {self.inlet(name)}")

    def has_run_filters(self, job: Job) -> bool:
        """Return whether a filter of a job was started."""
        events = self.server.works.service.events(job.token, ADMIN)
        return any(one.kind == "FilterStateChanged" and one.fields["state"] == "Processing" for one in events)

    def pull(self, name: str) -> None:
        """Order a scan, as `postscan sources scan` does."""
        self.server.works.core.inlets.scan(name, DESTINATION, ADMIN)

    def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        store = self.server.works.core.store
        with store.reading() as db:
            tokens = list(db.scalars(sa.select(JOB.c.token).order_by(JOB.c.created)))
        return [store.load(token) for token in tokens]

    def await_end(self, number: int = 1) -> Job:
        """Wait until there are so many jobs, and the last one has ended; return that one."""
        until(lambda: len(jobs := self.jobs()) >= number and jobs[number - 1].state.ended, f"for job {number} to end")
        return self.jobs()[number - 1]

    def shown(self, token: str) -> dict[str, Any]:
        """Return what `postscan jobs show` says of a job."""
        config = str(self.server.home / "postscan.toml")
        record: dict[str, Any] = json.loads(
            commands.run(["--config", config, "jobs", "show", token, "--json"], check=True).stdout
        )
        return record

    def order_start(self, name: str) -> None:
        """Order an inlet to start: the ends of its source until now count no more, so that they are no quarantine."""
        self.server.works.core.inlets.start(name, ADMIN)


@contextlib.contextmanager
def serving(
    home: Path,
    plugin: str,
    inlets: dict[str, dict[str, Any]],
    settings: Tables | None = None,
    filters: Sequence[str] = (f"share {SHARE}",),
) -> Iterator[ScannerServer]:
    """Run a server that has these inlets of one plugin while the body runs; it delivers each page to its share."""
    tables: dict[str, Any] = {
        "plugins": {"disabled": unused("fileshare", plugin)},
        f"destinations.{DESTINATION}": {"label": LABEL, "process": _PROCESS, "user": SID},
        **{f"sources.{name}": {"plugin": plugin, **table} for name, table in inlets.items()},
        **(settings or {}),
    }
    server = Server(home, tables)
    xml = messages.PROCESS.replace(messages.INSTRUCTIONS, instructions(*filters))
    server.processes.add(xml.encode(), display_name="Scans", users=(), identifier=_PROCESS)
    try:
        server.start()
        yield ScannerServer(server)
    finally:
        server.close()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a page in hex."""
    return hashlib.sha256(content).hexdigest()
