"""Wake-ups between the processes of a database: a job waits, was cancelled, or has left its executor.

They only save waiting. The rows are the truth, and each process looks at them four times a second.

A port with two adapters: `NoWakeups` for a process that is alone, and `MemberWakeups` for a member of a cluster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from postscan.core.cluster.listener import MemberListener
from postscan.core.errors import StoreBusy
from postscan.core.store.store import Store


class Wakeup(StrEnum):
    """What a wake-up is about; each but the first is about one job."""

    WAKE = "wake"  # a job is Pending
    CANCEL = "cancel"  # a cancel of a job in progress is stored
    ENDED = "ended"  # a job has left the executor of its holder


Receive = Callable[[str], None]
"""Called with the token of the job, empty for `WAKE`; must not block, and may be called in any thread."""


class JobWakeups(Protocol):
    """Sends wake-ups to the other processes, behind the commit that they are about, and receives theirs."""

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process that runs jobs."""

    def on(self, kind: Wakeup, receive: Receive) -> None:
        """Call *receive* for each wake-up of this kind that another process sends."""

    def send(self, kind: Wakeup, token: str = "") -> None:
        """Send a wake-up to the other processes. Never blocks and never raises: it may be lost."""


class NoWakeups:
    """The adapter of a process that is alone: there is nobody to wake."""

    is_alone = True

    def on(self, kind: Wakeup, receive: Receive) -> None:
        """Do nothing: none is received."""

    def send(self, kind: Wakeup, token: str = "") -> None:
        """Do nothing."""


class MemberWakeups:
    """The adapter of a member: texts on the channel of the database, `wake` or `cancel <token>`.

    A process that runs no jobs, such as a command, sends on a connection of its own.
    """

    is_alone = False

    def __init__(self, store: Store, listener: MemberListener) -> None:
        self._store = store
        self._listener = listener
        self._receivers: dict[str, Receive] = {}

    def on(self, kind: Wakeup, receive: Receive) -> None:
        """Call *receive* for each wake-up of this kind that another process sends."""
        self._receivers[kind] = receive

    def send(self, kind: Wakeup, token: str = "") -> None:
        """Send a wake-up; a process without a listener waits until it is sent."""
        text = f"{kind} {token}".rstrip()
        if self._listener.is_started:
            self._listener.send(text)
        else:
            with contextlib.suppress(StoreBusy):
                self._store.notify([text])

    def receive(self, text: str) -> None:
        """Call who receives wake-ups of this kind; ignore what is none, for example that of a newer version."""
        kind, _, token = text.partition(" ")
        receive = self._receivers.get(kind)
        if receive is not None:
            receive(token)
