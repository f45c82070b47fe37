"""The source's side of the socket to the server: requests from many threads, and what the server sends by itself.

One thread reads. A request waits for its reply as long as the server takes, and the server bounds that; the end of the
socket ends every wait with `Busy` and sets every token. An honest source stays below the limits of the server whatever
its clients do: a request waits for its place, passwords have few of the places, so that guessing delays no page, and
log lines above the limit are counted and left out.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, Final, cast

from pydantic import ValidationError

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source import messages
from postscan.core.filters.source.errors import Busy, Ended, Refused, Taken
from postscan.core.filters.source.messages import (
    Destination,
    DestinationsChanged,
    HealthReport,
    InletBusy,
    InletStarted,
    InletStop,
    JobCancelled,
    JobOpened,
    KeyTaken,
    OpenRequest,
    PasswordRequest,
    PullRequest,
    Reply,
    Request,
    RequestLate,
    RequestRefused,
    SourceLogLine,
    SourceMessage,
)
from postscan.core.model import json_lines
from postscan.core.model.rate_limit import RateLimit

GONE: Final = "the server has gone"
PULLS: Final = 16
"""Most pulls that wait for the one before; the server hears of none that is dropped."""

_SHARE: Final = messages.A_SECOND // 4  # of passwords, and of log lines; the other requests have the rest
_FOREVER: Final = 1e9  # seconds: a job whose token is set has no time at which its process is killed

log = logging.getLogger(__name__)


class InletConnection:
    """The socket of one inlet; several threads may use it. `stopping` is the source of the token of `run`.

    `destinations` are those of the start, with the tickets that the server has sent last.

    *lines* is the file that reads the socket, if something was read from it before.
    """

    def __init__(self, channel: socket.socket, lines: BinaryIO | None = None) -> None:
        self._channel = channel
        self._lines = lines or channel.makefile("rb")
        self._sending = threading.Lock()
        self._lock = threading.Lock()  # of what follows
        self._waiting: dict[int, _Waiting] = {}
        self._jobs: dict[str, CancelSource] = {}
        self._gone = False
        self._left_out = 0
        self._health: HealthReport | None = None
        self._numbers = itertools.count(1)
        self.destinations: tuple[Destination, ...] = ()
        self._set_places(messages.REQUESTS)
        self._lines_pace = RateLimit(_SHARE, 1.0, time.monotonic)
        self._pulls: queue.Queue[str] = queue.Queue(PULLS)
        self._reader = threading.Thread(target=self._read, name="postscan-inlet", daemon=True)
        self.stopping = CancelSource()

    def receive_start(self) -> InletStarted | None:
        """Return the first message of the server; None if it has gone. Raises `BadMessage`."""
        line = self._lines.readline(json_lines.LONGEST + 1)
        if not line:
            return None
        started = messages.read_server(line)
        if not isinstance(started, InletStarted):
            raise json_lines.BadMessage(f"expected the start of an inlet, got {started.type}")
        self._set_places(started.requests)
        self.destinations = started.destinations
        return started

    def listen(self) -> None:
        """Read what the server sends, in a thread, until the end of the socket."""
        self._reader.start()

    def close(self) -> None:
        """Close the socket; every wait ends. The tokens of open jobs and of `run` are set, and poll from now on."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        if self._reader.ident is not None:
            self._reader.join()
        self._lines.close()
        self._channel.close()
        self.stopping.close()

    @property
    def gone(self) -> bool:
        """Whether the server has closed the socket, or died."""
        return self._gone

    # --- what the source sends -----------------------------------------------------------------------------------

    def open(self, **about: Any) -> tuple[str, CancelSource]:
        """Create a job; return its id and the source of its token. Raises `Taken`, `Busy` or `Refused`."""
        if self._gone or self.stopping.cancelled:
            raise Busy(why="the source is being stopped")
        try:
            cancel = CancelSource(patience=_FOREVER)
        except OSError as error:
            raise Busy(why=f"the source has no room for a further job: {error.strerror or error}") from error
        try:
            reply = self.ask(OpenRequest, cancel, **about)
        except BaseException:
            cancel.close()
            raise
        return cast("JobOpened", reply).job, cancel

    def forget(self, job: str) -> None:
        """Give back what the token of a job holds; it is not set any more."""
        with self._lock:
            source = self._jobs.pop(job, None)
            if source is not None:
                source.close()

    def ask(self, kind: type[Request], cancel: CancelSource | None = None, **fields: Any) -> Reply:
        """Send a request and return its reply.

        Raises `Busy` and `Refused` for these replies and for a server that has gone, `Taken` if the key is taken,
        `Ended` if the job of the request has ended, `Refused` for a text that is too long.
        """
        with self._passwords if kind is PasswordRequest else self._others:
            reply = self._exchange(_message(kind, next(self._numbers), fields), cancel)
        match reply:
            case None:
                raise Busy(why=GONE)
            case KeyTaken(job=job):
                raise Taken(job)
            case InletBusy(seconds=seconds, full=full):
                raise Busy(seconds, full=full)
            case RequestRefused(reason=reason):
                raise Refused(reason)
            case RequestLate(reason=reason):
                job = fields["job"]
                self._cancel(job, reason)
                raise Ended(job, reason)
        return reply

    def send(self, message: SourceMessage) -> None:
        """Send one message; nothing happens if the server has gone."""
        with self._sending, contextlib.suppress(OSError):
            self._channel.sendall(messages.write(message))

    def report(self, health: HealthReport) -> None:
        """Send a report of the health if it says something new; one that is above the limit waits."""
        with self._lock:
            if health == self._health:
                return
            self._health = health
        while (seconds := self._lines_pace.take("")) > 0.0:
            time.sleep(seconds)
        self.send(health)

    def log(self, level: str, text: str, fields: dict[str, str]) -> None:
        """Write a line into the server's log, or count it as left out if there are too many."""
        if self._lines_pace.take("") > 0.0:
            with self._lock:
                self._left_out += 1
            return
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        shown = dict(itertools.islice(fields.items(), messages.FIELDS - 1))
        if left_out:
            shown["left_out"] = str(left_out)
        fitting = {name[: json_lines.WORD]: value[: json_lines.NAME] for name, value in shown.items()}
        level, text = level[: json_lines.WORD], text[: json_lines.SENTENCE]
        self.send(SourceLogLine(level=level, message=text, fields=fitting))

    def next_pull(self) -> str:
        """Wait for the next pull and return its destination."""
        return self._pulls.get()

    def _set_places(self, most: int) -> None:
        passwords = max(1, most // 4)
        self._passwords = _Places(passwords, _SHARE)
        self._others = _Places(max(1, most - passwords), messages.A_SECOND - 2 * _SHARE)

    def _exchange(self, request: Request, cancel: CancelSource | None) -> Reply | None:
        waiting = _Waiting(cancel)
        with self._lock:
            if self._gone:
                return None
            self._waiting[request.id] = waiting
        self.send(request)
        waiting.over.wait()
        return waiting.reply

    # --- what the server sends -----------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            while line := self._lines.readline(json_lines.LONGEST + 1):
                self._receive(messages.read_server(line))
        except OSError:
            pass  # the same as its end
        except json_lines.BadMessage as error:
            log.error("message of the server not understood", extra={"reason": str(error)})  # noqa: TRY400  (no trace helps)
        finally:
            self._end()

    def _receive(self, message: messages.ServerMessage) -> None:
        match message:
            case JobCancelled(job=job, reason=reason):
                self._cancel(job, reason)
            case InletStop(reason=reason):
                self.stopping.cancel(reason or "the source is being stopped")
            case DestinationsChanged(destinations=destinations):
                self.destinations = destinations
            case PullRequest(destination=destination):
                with contextlib.suppress(queue.Full):
                    self._pulls.put_nowait(destination)
            case InletStarted():
                raise json_lines.BadMessage("a second start")
            case _:
                self._reply(message)

    def _reply(self, reply: Reply) -> None:
        """Wake the thread that waits for this reply; a job has its token from the moment on when it is opened."""
        with self._lock:
            waiting = self._waiting.pop(reply.id, None)
            if waiting is None:
                return
            if isinstance(reply, JobOpened) and waiting.cancel is not None:
                self._jobs[reply.job] = waiting.cancel
        waiting.reply = reply
        waiting.over.set()

    def _cancel(self, job: str, reason: str) -> None:
        with self._lock:  # so that it is not closed meanwhile
            source = self._jobs.get(job)
            if source is not None:
                source.cancel(reason or "the job was cancelled")

    def _end(self) -> None:
        """Set every token and end every wait."""
        with self._lock:
            self._gone = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
            for source in self._jobs.values():
                source.cancel(GONE)
        self.stopping.cancel(GONE)
        for one in waiting:
            one.over.set()


class _Places:
    """Places for requests of a kind: at most *most* at a time, and *a_second* that begin in one."""

    def __init__(self, most: int, a_second: int) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._pace = RateLimit(a_second, 1.0, time.monotonic)

    def __enter__(self) -> None:
        self._places.acquire()
        try:
            while (seconds := self._pace.take("")) > 0.0:
                time.sleep(seconds)
        except BaseException:
            self._places.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.release()


class _Waiting:
    """A request without a reply; `cancel` is the source of the token of the job that it creates."""

    def __init__(self, cancel: CancelSource | None) -> None:
        self.cancel = cancel
        self.reply: Reply | None = None
        self.over = threading.Event()


def _message(kind: Callable[..., Request], number: int, fields: dict[str, Any]) -> Request:
    try:
        return kind(id=number, **fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Refused(f"{where}: {first['msg']}") from None
