"""The server's side of an inlet, without a server: jobs and their pages are in memory, at the end of a real socket.

    with source_server.running(FolderSource(), tmp_path, {"folder": "/scans"}) as server:
        server.wait_for_jobs(1)
        assert server.jobs[0].pages == [b"..."]

It answers as the server does: one job for a key, busy while that job is open, and so on. `server.on_request` may give
another reply to a request, or wait; each request has a thread of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from works import PATIENCE

from postscan.core.filters.source import messages
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.messages import (
    AccountChecked,
    CancelRequest,
    Destination,
    EndRequest,
    FailRequest,
    HealthReport,
    InletBusy,
    InletStarted,
    InletStop,
    JobCancelled,
    JobOpened,
    KeyTaken,
    LeaveRequest,
    OpenRequest,
    PageRequest,
    PasswordRequest,
    PullRequest,
    Reply,
    Request,
    RequestDone,
    RequestLate,
    RequestRefused,
    SourceDeclared,
    SourceFailed,
    SourceFinished,
    SourceLogLine,
    StateReply,
    StateRequest,
    ToldRequest,
)
from postscan.core.workers import source as source_process
from postscan.plugins import Source


@dataclass
class BroughtJob:
    """A job as the server has it; `state` is Creating, Pending, Aborted or Canceled."""

    id: str
    request: OpenRequest
    pages: list[bytes] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    leave: int = 0
    state: str = "Creating"
    reason: str = ""
    told: list[str] = field(default_factory=list)


class SourceServer:
    """The other end of the socket. `accounts` maps names to passwords."""

    def __init__(self, channel: socket.socket, started: InletStarted, accounts: Mapping[str, str]) -> None:
        self.started = started
        self.jobs: list[BroughtJob] = []
        self.requests: list[Request] = []
        self.declared: SourceDeclared | None = None
        self.end: SourceFinished | SourceFailed | None = None
        self.health: list[tuple[str, str]] = []
        self.log: list[SourceLogLine] = []
        self.passwords: list[tuple[str, str]] = []
        self.on_request: Callable[[Request], Reply | None] = lambda _request: None
        self.dead = False
        self._accounts = accounts
        self._channel = channel
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._changed = threading.Condition(threading.RLock())
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start(self) -> None:
        """Send the start, and read what the source sends."""
        self.send(self.started)
        self._reader.start()

    def send(self, message: messages.ServerMessage) -> None:
        """Send a message; nothing happens if the source has gone."""
        with self._sending, contextlib.suppress(OSError):
            self._channel.sendall(messages.write(message))

    def stop(self, reason: str = "the test is over") -> None:
        """Ask the source to stop."""
        self.send(InletStop(reason=reason))

    def cancel(self, job: BroughtJob, reason: str = "cancelled by the test") -> None:
        """Cancel a job that is open, as an administrator does."""
        with self._changed:
            job.state, job.reason = "Canceled", reason
            self._changed.notify_all()
        self.send(JobCancelled(job=job.id, reason=reason))

    def pull(self, destination: str = "") -> None:
        """Ask the source for a scan."""
        self.send(PullRequest(destination=destination))

    def die(self) -> None:
        """Close the socket, as the death of the server does."""
        self.dead = True
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until everything that the source sent was read."""
        self._reader.join(PATIENCE)

    def wait_for(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until *true* returns something true; it is asked again after each message."""
        with self._changed:
            if not self._changed.wait_for(true, seconds):
                raise AssertionError(f"waited {seconds} s in vain; jobs: {self.jobs}; end: {self.end}; log: {self.log}")

    def wait_for_jobs(self, number: int, state: str = "Pending", seconds: float = PATIENCE) -> list[BroughtJob]:
        """Wait until so many jobs are in a state, and return them."""
        self.wait_for(lambda: len(self.in_state(state)) >= number, seconds)
        return self.in_state(state)

    def in_state(self, state: str) -> list[BroughtJob]:
        """Return the jobs in this state, in the order in which they were opened."""
        return [job for job in self.jobs if job.state == state]

    # --- what the source sends -----------------------------------------------------------------------------------

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._channel.makefile("rb") as lines:
            for line in lines:
                self._receive(messages.read_source(line))
        with self._changed:
            self._changed.notify_all()

    def _receive(self, message: messages.SourceMessage) -> None:
        match message:
            case SourceDeclared():
                self.declared = message
            case SourceFinished() | SourceFailed():
                self.end = message
            case HealthReport():
                self.health.append((message.state, message.text))
            case SourceLogLine():
                self.log.append(message)
            case _:
                self.requests.append(message)
                threading.Thread(target=self._answer, args=(message,), daemon=True).start()
        with self._changed:
            self._changed.notify_all()

    def _answer(self, request: Request) -> None:
        reply = self.on_request(request)
        if self.dead:
            return
        with self._changed:
            reply = reply or self._reply(request)
            self._changed.notify_all()
        self.send(reply)

    def _reply(self, request: Request) -> Reply:
        match request:
            case OpenRequest():
                return self._open(request)
            case PasswordRequest(account=account, password=password):
                self.passwords.append((account, password))
                return AccountChecked(id=request.id, right=self._accounts.get(account) == password)
        job = next((job for job in self.jobs if job.id == request.job), None)
        if job is None:
            return RequestRefused(id=request.id, reason=f"no job {request.job}")
        if isinstance(request, StateRequest):
            return StateReply(id=request.id, state=job.state)
        if isinstance(request, ToldRequest):
            job.told.append(request.outcome)
        elif job.state != "Creating":
            return RequestLate(id=request.id, reason=job.reason)
        else:
            self._change(job, request)
        return RequestDone(id=request.id)

    def _open(self, request: OpenRequest) -> Reply:
        if request.destination not in [one.id for one in self.started.destinations]:
            return RequestRefused(id=request.id, reason="no such destination")
        of_key = [job for job in self.jobs if job.request.key == request.key and job.state != "Aborted"]
        if of_key and of_key[-1].state == "Creating":
            return InletBusy(id=request.id, seconds=1.0)
        if of_key:
            return KeyTaken(id=request.id, job=of_key[-1].id)
        if len(self.in_state("Creating")) >= self.started.open_jobs:
            return InletBusy(id=request.id, seconds=5.0)
        self.jobs.append(BroughtJob(f"job-{next(self._numbers)}", request))
        return JobOpened(id=request.id, job=self.jobs[-1].id)

    def _change(self, job: BroughtJob, request: Request) -> None:
        match request:
            case LeaveRequest(bytes=size):
                job.leave += size
            case PageRequest(path=path, kept=kept):
                folder = self.started.folder if kept else self.started.workdir
                job.pages.append((folder / path).read_bytes())
                job.formats.append(request.format)
                job.whole.append(request.whole)
            case EndRequest():
                job.state = "Pending"
            case FailRequest(reason=reason):
                job.state, job.reason = "Aborted", reason
            case CancelRequest(reason=reason):
                job.state, job.reason = "Canceled", reason


@contextlib.contextmanager
def running(
    source: Source,
    tmp_path: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    destinations: tuple[str, ...] = ("Invoices",),
    accounts: Mapping[str, str] | None = None,
    stops: bool = True,
    **about: Any,
) -> Iterator[SourceServer]:
    """Run a source in a thread of this process; *destinations* are labels, their ids are d1, d2 ...

    *about* are other fields of `InletStarted`. At the end the source is stopped, and has to end; with *stops* it must
    not have failed before.
    """
    folder, workdir = tmp_path / "inlet-folder", tmp_path / "inlet-workdir"
    folder.mkdir(exist_ok=True)
    workdir.mkdir(exist_ok=True)
    started = InletStarted(
        plugin="under-test",
        inlet="inlet",
        settings=dict(settings or {}),
        destinations=tuple(Destination(id=f"d{n}", label=label) for n, label in enumerate(destinations, start=1)),
        folder=folder,
        workdir=workdir,
        **about,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = SourceServer(ours, started, accounts or {})
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
