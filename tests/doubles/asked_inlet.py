"""The server's side of an inlet without a process: its requests are made here, as a source makes them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from sourced import ADDRESS, Sources, picture

from postscan.core.filters.source.messages import JobCancelled, JobOpened, OpenRequest, PageRequest, Reply, Request
from postscan.core.sources.intake import IntakeParts, SourceIntake
from postscan.core.sources.places import JobPlaces


class Inlet:
    """The inlet `mail`, asked as a source does; each request has the next number."""

    def __init__(self, sources: Sources, home: Path, *, places: int = 10, name: str = "mail") -> None:
        self.sources = sources
        self.folder, self.workdir = home / "folder", home / "workdir"
        self.folder.mkdir(parents=True)
        self.workdir.mkdir()
        core = sources.core
        self.places = JobPlaces(places)
        parts = IntakeParts(
            sources.settings,
            core.service,
            sources.origins,
            sources.accounts,
            core.quota,
            self.places,
            core.clock,
        )
        self.ended = 0
        self.intake = SourceIntake(parts, name, self.folder, self.workdir, self._count)
        self.intake.declared(("device", "password", "clear"))
        self.jobs = self.intake.jobs
        self._numbers = itertools.count(1)

    def _count(self) -> None:
        self.ended += 1

    def ask(self, kind: type[Request], **fields: Any) -> Reply:
        """Return the reply to a request."""
        request = kind(id=next(self._numbers), **fields)
        reply = self.intake.handle(request)
        assert reply.id == request.id
        return reply

    def open(self, key: str = "1", **changed: Any) -> Reply:
        """Ask for a job."""
        fields = {"destination": self.sources.destination, "proof": "device", "subject": ADDRESS} | changed
        return self.ask(OpenRequest, key=key, **fields)

    def opened(self, key: str = "1", **changed: Any) -> str:
        """Open a job; return its token."""
        reply = self.open(key, **changed)
        assert isinstance(reply, JobOpened), reply
        return reply.job

    def page(self, job: str, data: bytes | None = None, **changed: Any) -> Reply:
        """Write a page into the workdir, and ask for it to be stored."""
        path = self.workdir / f"page-{next(self._numbers)}"
        path.write_bytes(picture() if data is None else data)
        return self.ask(PageRequest, job=job, **({"path": path.name} | changed))

    def notices(self) -> list[JobCancelled]:
        """Look which open jobs others have ended; return what the source is told of them."""
        return self.jobs.ended(self.sources.origins.ended(self.jobs.tokens()))
