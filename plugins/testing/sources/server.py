"""The server's side of an inlet in memory, which a test can hold, refuse and cut at every step.

`JobTable` decides as the server does: one job for a key, busy while it is open, no page that is cut. `SourceServer` is
the other end of the socket of one process of a source; several may have one table, one after another.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from postscan.core.filters.source import messages
from postscan.core.filters.source.completeness import FileState, examine
from postscan.core.filters.source.messages import (
    AccountChecked,
    CancelRequest,
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
    NoteRequest,
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
from postscan.core.model.json_lines import BadMessage
from postscan.core.model.states import JobState

PATIENCE: Final = 60.0
"""Seconds after which a test has failed that waits for something."""

_LOOK: Final = 0.05  # seconds between two looks at what no message tells
_DISK: Final = 5.0  # seconds after which a busy inlet asks to come again


@dataclass
class BroughtJob:
    """A job as the server has it; `leave` is how many bytes it was given leave for."""

    id: str
    request: OpenRequest
    pages: list[bytes] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    leave: int = 0
    state: JobState = JobState.CREATING
    reason: str = ""
    told: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class JobTable:
    """Jobs of one inlet. *accounts* maps names to passwords; with *examined*, a page has to be a whole image."""

    def __init__(self, accounts: Mapping[str, str] | None = None, *, examined: bool = False) -> None:
        self.jobs: list[BroughtJob] = []
        self.passwords: list[tuple[str, str]] = []
        self._accounts = accounts or {}
        self._examined = examined
        self._numbers = itertools.count(1)

    def in_state(self, state: str) -> list[BroughtJob]:
        """Return the jobs in this state, in the order in which they were opened."""
        return [job for job in self.jobs if job.state == state]

    def reply(self, request: Request, started: InletStarted) -> Reply:
        """Do what a source asks, and return the reply."""
        match request:
            case OpenRequest():
                return self._open(request, started)
            case PasswordRequest(account=account, password=password):
                self.passwords.append((account, password))
                return AccountChecked(id=request.id, right=self._accounts.get(account) == password)
        job = next((job for job in self.jobs if job.id == request.job), None)
        if job is None:
            return RequestRefused(id=request.id, reason=f"there is no job {request.job}")
        match request:
            case StateRequest():
                return StateReply(id=request.id, state=job.state)
            case ToldRequest(outcome=outcome):
                job.told.append(outcome)
            case _ if job.state != JobState.CREATING:
                return RequestLate(id=request.id, reason=job.reason)
            case PageRequest():
                if reason := self._store(job, request, started):
                    return RequestRefused(id=request.id, reason=reason)
            case LeaveRequest(bytes=size):
                job.leave += size
            case NoteRequest(text=text):
                job.notes.append(text)
            case EndRequest():
                job.state = JobState.PENDING
            case FailRequest(reason=reason):
                job.state, job.reason = JobState.ABORTED, reason
            case CancelRequest(reason=reason):
                job.state, job.reason = JobState.CANCELED, reason
        return RequestDone(id=request.id)

    def fail_open(self) -> None:
        """Fail the jobs that are open, since their process has ended."""
        for job in self.in_state(JobState.CREATING):
            job.state, job.reason = JobState.ABORTED, "the process of the source has ended"

    def _open(self, request: OpenRequest, started: InletStarted) -> Reply:
        if request.destination not in [one.id for one in started.destinations]:
            return RequestRefused(id=request.id, reason="there is no such destination")
        of_key = [job for job in self.jobs if job.request.key == request.key and job.state != JobState.ABORTED]
        if of_key and of_key[-1].state == JobState.CREATING:
            return InletBusy(id=request.id, seconds=1.0)
        if of_key:
            return KeyTaken(id=request.id, job=of_key[-1].id)
        if len(self.in_state(JobState.CREATING)) >= started.open_jobs:
            return InletBusy(id=request.id, seconds=_DISK)
        self.jobs.append(BroughtJob(f"job-{next(self._numbers)}", request))
        return JobOpened(id=request.id, job=self.jobs[-1].id)

    def _store(self, job: BroughtJob, request: PageRequest, started: InletStarted) -> str:
        """Store a page; return why it is refused, or ""."""
        path = (started.folder if request.kept else started.workdir) / request.path
        try:
            content = _read(path)
        except OSError as error:
            return f"{request.path} cannot be read: {error.strerror}"
        if self._examined:
            with path.open("rb") as file:
                found = examine(file)
            if found.state is FileState.CUT or (found.state is FileState.UNKNOWN and not request.whole):
                return f"the page is {found.state}: {found.reason}"
        if request.given:
            path.unlink()  # the server may do so, whatever its reply is
        job.pages.append(content)
        job.formats.append(request.format)
        job.whole.append(request.whole)
        return ""


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


class SourceServer:
    """The other end of the socket of one process of a source; usable from several threads.

    `on_request` may give another reply to a request, hold it, or raise; each request has a thread of its own.
    `before_reply` is called when the request was carried out.
    """

    def __init__(self, channel: socket.socket, started: InletStarted, table: JobTable) -> None:
        self.started = started
        self.table = table
        self.requests: list[Request] = []
        self.declared: SourceDeclared | None = None
        self.end: SourceFinished | SourceFailed | None = None
        self.health: list[tuple[str, str]] = []
        self.log: list[SourceLogLine] = []
        self.problem = ""  # a message that is none
        self.closed = False
        self.dead = False
        self.on_request: Callable[[Request], Reply | None] = lambda _request: None
        self.before_reply: Callable[[Request, Reply], None] = lambda _request, _reply: None
        self._channel = channel
        self._sending = threading.Lock()
        self._changed = threading.Condition(threading.RLock())
        self._reader = threading.Thread(target=self._read, name="source-server", daemon=True)

    @property
    def jobs(self) -> list[BroughtJob]:
        """All jobs of the table."""
        return self.table.jobs

    @property
    def passwords(self) -> list[tuple[str, str]]:
        """The accounts and passwords that were asked for."""
        return self.table.passwords

    def in_state(self, state: str) -> list[BroughtJob]:
        """Return the jobs in this state, in the order in which they were opened."""
        return self.table.in_state(state)

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
            job.state, job.reason = JobState.CANCELED, reason
            self._changed.notify_all()
        self.send(JobCancelled(job=job.id, reason=reason))

    def pull(self, destination: str = "") -> None:
        """Ask the source for a scan."""
        self.send(PullRequest(destination=destination))

    def die(self) -> None:
        """Close the socket, as the death of the server does; nothing is answered any more."""
        self.dead = True
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until everything that the source sent was read."""
        self._reader.join(PATIENCE)

    def wait_for(self, true: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until *true* returns something true; it is asked again after each message, and in between.

        Raises `AssertionError` if it does not within *seconds*.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while not true():
                if time.monotonic() > until:
                    about = f"jobs: {self.jobs}; end: {self.end}; log: {self.log}"
                    raise AssertionError(f"waited {seconds} s in vain; {about}")
                self._changed.wait(_LOOK)

    def wait_for_jobs(self, number: int, state: str = "Pending", seconds: float = PATIENCE) -> list[BroughtJob]:
        """Wait until so many jobs are in a state, and return them."""
        self.wait_for(lambda: len(self.in_state(state)) >= number, seconds)
        return self.in_state(state)

    # --- what the source sends -----------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            with contextlib.suppress(OSError), self._channel.makefile("rb") as lines:
                for line in lines:
                    self._receive(messages.read_source(line))
        except BadMessage as error:
            self.problem = str(error)
        with self._changed:
            self.closed = True
            self.table.fail_open()
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
                threading.Thread(target=self._carry_out, args=(message,), daemon=True).start()
        with self._changed:
            self._changed.notify_all()

    def _carry_out(self, request: Request) -> None:
        reply = self.on_request(request)
        if self.dead:
            return
        with self._changed:
            if self.closed:
                return  # the process has ended, and its jobs have failed
            reply = reply or self.table.reply(request, self.started)
            self._changed.notify_all()
        self.before_reply(request, reply)
        self.send(reply)
