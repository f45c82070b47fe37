"""The thread that keeps the session of a member: it beats each second, sends what waits, and passes on what arrives.

It runs until the last filter of the process has ended, also while the process drains. When the connection is lost it
connects again, with growing pauses of at most a second, so that all members are there again soon after an outage.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import StoreBusy
from postscan.core.store.cluster.session import MemberSession, SessionLost
from postscan.core.store.database.file_lock import LockHeld

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 1.0
"""Seconds between two beats."""

LATE_SECONDS: Final = 2.0
"""A beat that takes longer counts as a new connection: the database stood still, and no other member could beat."""

MOST_WAITING: Final = 1000
"""Most texts that wait to be sent; an older one is dropped for a newer one, since a wake-up only saves waiting."""

MOST_SENT: Final = 100
"""Most texts of one statement."""

STOP_SECONDS: Final = 5.0
"""How long a stop waits for a database that does not answer."""

_FIRST_PAUSE: Final = 0.1  # seconds before the connection is opened again; each pause is twice the one before
_LONGEST_PAUSE: Final = 1.0


class MemberListener:
    """Keeps the session of a member from `start` to `stop`.

    *open_session* opens it; *receive* is called with each text that arrives; *taken* is called with the name of a
    server that has taken the database for itself meanwhile.
    """

    def __init__(
        self,
        open_session: Callable[[], MemberSession],
        receive: Callable[[str], None],
        taken: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._open_session = open_session
        self._receive = receive
        self._taken = taken
        self._clock = clock
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._stopping = threading.Event()
        self._awake = -1
        self._thread: threading.Thread | None = None
        self._beat_at: float | None = None
        self._connected_at: float | None = None

    @property
    def is_started(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def beat_age(self) -> float:
        """Seconds since the others last saw this member: before its last beat was sent. Infinite without one."""
        beat = self._beat_at
        return float("inf") if beat is None else self._clock.ticks() - beat

    @property
    def connected_for(self) -> float:
        """Seconds for which this member has been connected; 0 if it is not."""
        since = self._connected_at
        return 0.0 if since is None else self._clock.ticks() - since

    def start(self) -> None:
        """Open the session, and keep it in a thread. Raises `StoreBusy`; `LockHeld` if a server is alone."""
        try:
            session = self._opened()
        except SessionLost as error:
            raise StoreBusy(f"the database does not answer: {error}") from error
        self._awake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, args=(session,), name="postscan-member", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Remove the member, and close the session: what it has suspended may be resumed at once."""
        self._stopping.set()
        self._wake()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def send(self, text: str) -> None:
        """Send a text to the other members soon, unless the database does not answer."""
        if text not in self._waiting:
            self._waiting.append(text)
        self._wake()

    def _wake(self) -> None:
        if self._awake >= 0:
            with contextlib.suppress(BlockingIOError):  # it is awake
                os.eventfd_write(self._awake, 1)

    def _opened(self) -> MemberSession:
        begun = self._clock.ticks()
        session = self._open_session()
        self._beat_at = self._connected_at = begun
        return session

    def _run(self, opened: MemberSession) -> None:
        session: MemberSession | None = opened
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                if session is None:
                    session = self._opened()
                    log.warning("member connected again")
                    pause = _FIRST_PAUSE
                self._keep(session)
                break
            except SessionLost as error:
                if session is not None:
                    log.warning("connection of the member lost", extra={"reason": str(error)})
            except LockHeld as error:
                self._taken(error.holder or "a process that has just ended")
            except Exception:
                log.exception("connection of the member failed")
            self._connected_at = None
            if session is not None:
                session.close()
                session = None
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._end(session)

    def _keep(self, session: MemberSession) -> None:
        """Beat, send and receive until the stop."""
        due = self._clock.ticks()
        while not self._stopping.is_set():
            begun = self._clock.ticks()
            if begun >= due:
                session.beat()
                self._beat_at, due = begun, begun + BEAT_SECONDS
                if self._clock.ticks() - begun > LATE_SECONDS:
                    self._connected_at = self._clock.ticks()
            while self._waiting and (texts := [*self._texts()]):
                session.send(texts)
            for text in session.received(due - self._clock.ticks(), self._awake):
                self._receive(text)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._awake)

    def _texts(self) -> list[str]:
        with contextlib.suppress(IndexError):
            return [self._waiting.popleft() for _ in range(min(MOST_SENT, len(self._waiting)))]
        return []

    def _end(self, session: MemberSession | None) -> None:
        if session is None:
            return
        with contextlib.suppress(SessionLost):
            for texts in iter(self._texts, []):
                session.send(texts)
            session.leave()
        session.close()
