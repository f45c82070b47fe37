"""A running inlet of the eSCL source on the double of a device, with what tests ask of both."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import source_server
from escl_device import EsclDevice
from source_server import BroughtJob, SourceServer

from postscan.core.model.states import JobState
from postscan.plugins.sources.escl import Escl

ENDED = (JobState.PENDING, JobState.CANCELED, JobState.ABORTED)


@dataclass(frozen=True)
class EsclInletRun:
    """The inlet: its device and the server's side of it."""

    device: EsclDevice
    server: SourceServer

    def pull(self, destination: str = "d1") -> None:
        """Ask for a scan."""
        self.server.pull(destination)

    def scan(self) -> BroughtJob:
        """Ask for a scan, and return its job when it has ended."""
        number = len(self.server.jobs)
        self.pull()
        self.server.wait_for(lambda: len(self.server.jobs) > number and self.server.jobs[number].state in ENDED)
        return self.server.jobs[number]

    def refused(self) -> str:
        """Ask for a scan of which no job is made, and return why."""
        number = len(self.server.log)
        self.pull()
        self.server.wait_for(lambda: any(one.message == "scan not fetched" for one in self.server.log[number:]))
        return next(one for one in self.server.log[number:] if one.message == "scan not fetched").fields["reason"]

    def logged(self, text: str) -> bool:
        """Return whether a line of the log has this text in a field."""
        return any(text in value for line in self.server.log for value in line.fields.values())


StartEscl = Callable[..., EsclInletRun]


def starting(stack: contextlib.ExitStack, device: EsclDevice, tmp_path: Path) -> StartEscl:
    """Return a function that starts an inlet; its keywords are settings, `about` other fields of `InletStarted`."""

    def start(about: dict[str, Any] | None = None, **settings: Any) -> EsclInletRun:
        table = {"device": device.url, **settings}
        server = stack.enter_context(source_server.running(Escl(), tmp_path, table, examined=True, **(about or {})))
        server.wait_for(lambda: server.health)
        return EsclInletRun(device, server)

    return start
