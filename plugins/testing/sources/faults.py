"""What can happen to a source at one of its steps, and how a test lets it happen."""

from __future__ import annotations

import os
import signal
import threading
from enum import Enum
from typing import Final

from postscan.core.filters.source.messages import (
    EndRequest,
    InletBusy,
    LeaveRequest,
    NoteRequest,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
    RequestRefused,
)
from postscan.plugins.testing.sources.process import SourceProcess

BUSY_SECONDS: Final = 0.2
"""Seconds after which an origin may come again."""

CANCELLED: Final = "cancelled by the contract test"
"""The reason of the job that `StepFault.CANCEL` cancels."""


class StepFault(Enum):
    """What happens at a step: words for it, and the first step at which it can (0 is `open`)."""

    KILL_BEFORE = ("the process was killed before", 0)
    KILL_AFTER = ("the process was killed after", 0)
    SERVER_DIES = ("the server died at", 0)
    STOP = ("the source was stopped at", 0)
    BUSY = ("the server was busy at", 0)
    REFUSE = ("the server refused", 0)
    CANCEL = ("the job was cancelled before", 1)

    @property
    def words(self) -> str:
        """What happens, in front of the name of the step."""
        return self.value[0]

    @property
    def first(self) -> int:
        """The first step at which it can happen."""
        return self.value[1]

    @property
    def ends_the_process(self) -> bool:
        """Whether the process of the source ends by it."""
        return self in (StepFault.KILL_BEFORE, StepFault.KILL_AFTER, StepFault.SERVER_DIES, StepFault.STOP)


def is_step(request: Request) -> bool:
    """Return whether a request is a step of a job: no question, no reminder, no end by the source itself."""
    if isinstance(request, LeaveRequest):
        return request.bytes > 0
    return isinstance(request, OpenRequest | PageRequest | EndRequest | NoteRequest)


class FaultAtStep:
    """Lets a fault happen at the step with this number, once; `happened` is set then, `begun` at the first step."""

    def __init__(self, process: SourceProcess, fault: StepFault, step: int) -> None:
        self.begun = threading.Event()
        self.happened = threading.Event()
        self.late: list[Request] = []  # steps of the cancelled job that came after the one at which it was cancelled
        self._process, self._fault, self._step = process, fault, step
        self._number = 0
        self._lock = threading.Lock()
        self._at: Request | None = None
        process.server.on_request = self._before
        process.server.before_reply = self._after

    def _before(self, request: Request) -> Reply | None:
        if not is_step(request):
            return None
        self.begun.set()
        with self._lock:
            number, self._number = self._number, self._number + 1
            if number == self._step:
                self._at = request
        if number != self._step:
            if self._fault is StepFault.CANCEL and self._at is not None and _job(request) == _job(self._at):
                self.late.append(request)
            return None
        return self._do(request)

    def _do(self, request: Request) -> Reply | None:
        """Let the fault happen, unless it comes when the step was carried out."""
        server = self._process.server
        reply: Reply | None = None
        match self._fault:
            case StepFault.KILL_AFTER:
                return None
            case StepFault.KILL_BEFORE:
                self._kill()
            case StepFault.SERVER_DIES:
                server.die()
            case StepFault.STOP:
                server.stop()
            case StepFault.BUSY:
                reply = InletBusy(id=request.id, seconds=BUSY_SECONDS, full=isinstance(request, LeaveRequest))
            case StepFault.REFUSE:
                reply = RequestRefused(id=request.id, reason="refused by the contract test")
            case StepFault.CANCEL:
                server.cancel(next(job for job in server.jobs if job.id == _job(request)), CANCELLED)
        self.happened.set()
        return reply

    def _after(self, request: Request, _reply: Reply) -> None:
        if self._fault is StepFault.KILL_AFTER and request is self._at:
            self._kill()
            self.happened.set()

    def _kill(self) -> None:
        """Kill the process, and wait until the server's side has seen its end."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.server.join()


def _job(request: Request) -> str:
    return getattr(request, "job", "")
