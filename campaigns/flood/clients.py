"""What all unkind clients have in common: they begin again until the flood ends, and everything is counted."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from campaigns.flood import envelopes
from campaigns.flood.lines import Line, Target, connected

AT_ONCE: Final = 1.0
"""Seconds; a connection that the server closes sooner counts as refused, a later one as closed."""

PAUSES: Final = {"refused": 5.0, "closed": 1.0}
"""Seconds from such an outcome to the next try, half of them at random."""


@dataclass
class Count:
    """The clients of one kind: how many there should be, how many there are, and what the server did to them.

    A client is there while it does what its kind does. `samples` and `sum` are taken once a second.
    """

    wanted: int = 0
    there: int = 0
    samples: int = 0
    sum: int = 0
    most: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count one client while the body runs."""
        self.there += 1
        self.most = max(self.most, self.there)
        try:
            yield
        finally:
            self.there -= 1

    def sample(self) -> None:
        """Take a sample of how many there are."""
        self.samples += 1
        self.sum += self.there


@dataclass
class Flood:
    """What the clients of one process share: the server, a stored scan process, the size of a large envelope.

    `acknowledged` are pairs of a job's token and the operation on it: create, end or cancel.
    """

    target: Target
    process: str
    instructions: str
    envelope_bytes: int
    acknowledged: list[tuple[str, str]] = field(default_factory=list)


class Caller:
    """The clients at one address, which are one caller to the server: they share a job."""

    def __init__(self, flood: Flood, address: str) -> None:
        self.flood = flood
        self.address = address
        self._job = ""
        self._creating = asyncio.Lock()
        self._uploads: asyncio.Queue[str] = asyncio.Queue()

    async def job(self) -> str:
        """Return the token of a job that takes images; create it if there is none."""
        async with self._creating:
            if not self._job:
                self._job = await self.create()
        return self._job

    @contextlib.contextmanager
    def uploading(self, token: str) -> Iterator[None]:
        """Let those who ask for it have this job, an image of which is arriving while the body runs."""
        self._uploads.put_nowait(token)
        try:
            yield
        finally:
            self._uploads.get_nowait()

    async def uploaded(self) -> str:
        """Wait for a job with an image that is arriving; return its token."""
        token = await self._uploads.get()
        self._uploads.put_nowait(token)
        return token

    async def create(self) -> str:
        """Create a job and return its token; raises `OSError` or `EOFError` if the server refuses."""
        flood = self.flood
        message = envelopes.create(flood.target.url, flood.process, flood.instructions)
        status, answer = await self.post(message)
        token = envelopes.token_in(answer) if status == 200 else ""
        if not token:
            raise ConnectionRefusedError(envelopes.outcome(status, answer))
        flood.acknowledged.append((token, "create"))
        return token

    async def post(self, message: bytes) -> tuple[int, bytes]:
        """Send one message on a connection of its own; return status and body of the answer."""
        async with connected(self.flood.target, self.address) as line:
            await line.send(self.flood.target.request(message))
            return await line.answer()


class Client:
    """One unkind client. Subclasses have one turn of what it does."""

    kind: ClassVar[str]

    def __init__(self, caller: Caller, count: Count) -> None:
        self.caller = caller
        self.flood = caller.flood
        self.target = caller.flood.target
        self.count = count

    def connected(
        self, *, without_tls: bool = False, receives: int = 0
    ) -> contextlib.AbstractAsyncContextManager[Line]:
        """Connect to the server while the body runs."""
        return connected(self.target, self.caller.address, without_tls=without_tls, receives=receives)

    async def turn(self) -> str:
        """Misbehave once; return what the server did. Raises `OSError` or `EOFError` for a closed connection."""
        raise NotImplementedError

    async def run(self) -> None:
        """Take one turn after the other until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            try:
                outcome = await self.turn()
            except (OSError, EOFError):
                outcome = "refused" if now() - began < AT_ONCE else "closed"
            self.count.outcomes[outcome] += 1
            await asyncio.sleep(self.pause() + PAUSES.get(outcome, 0.0) * random.uniform(0.5, 1.0))

    def pause(self) -> float:
        """Return the seconds between two turns."""
        return 0.0


def shown(count: Count) -> dict[str, Any]:
    """Return a count as JSON has it."""
    return {
        "wanted": count.wanted,
        "mean": count.sum / count.samples if count.samples else 0.0,
        "most": count.most,
        "outcomes": dict(count.outcomes),
    }
