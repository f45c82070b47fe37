"""GetPostScanJobElements, against a bare Starlette handler that parses and builds with lxml.

Measures responses per second, the time of each, and the processor time of the server for each.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any, NamedTuple

import uvloop

from bench import servers

CONNECTIONS = 32
SECONDS = 2.0
ROUNDS = 7
LABELS = {
    "rate": "responses a second",
    "p50": "p50 in µs",
    "p99": "p99 in µs",
    "processor": "processor time for each in µs",
}


class Measured(NamedTuple):
    """One round: responses a second, and microseconds."""

    rate: float
    p50: float
    p99: float
    processor: float


def run() -> None:
    """Measure and print."""
    with servers.folder() as folder, servers.postscan(folder) as ours, servers.bare(folder, "/parse") as bare:
        data = request(servers.create_job(ours))
        found: dict[str, list[Measured]] = {"postscan": [], "bare": []}
        for _ in range(ROUNDS):
            for name, server in (("postscan", ours), ("bare", bare)):
                found[name].append(uvloop.run(hammer(server, data)))
        for kind in Measured._fields:
            mine, theirs = (statistics.median(getattr(one, kind) for one in found[name]) for name in found)
            print(
                f"GetPostScanJobElements, {LABELS[kind]}: postscan {mine:.0f}, bare {theirs:.0f}, {mine / theirs:.2f}"
            )


def request(token: str) -> bytes:
    """Return a request for the two elements that a device reads."""
    return servers.envelope(
        "GetPostScanJobElements",
        f"<dsp:JobToken>{token}</dsp:JobToken><dsp:RequestedElements>"
        "<dsp:Name>dsp:JobStatus</dsp:Name><dsp:Name>dsp:JobDescription</dsp:Name></dsp:RequestedElements>",
    )


class Caller(asyncio.Protocol):
    """Sends the same request repeatedly on one connection, and measures the responses."""

    def __init__(self, data: bytes) -> None:
        self.seconds: list[float] = []
        self._begun = 0.0
        self._data = data
        self._left = b""

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Measure a complete response, and send the request again."""
        self._left += data
        if self._left.endswith(b"Envelope>"):
            assert self._left.startswith(b"HTTP/1.1 200"), self._left
            self._left = b""
            self.seconds.append(time.perf_counter() - self._begun)
            self._send()

    def _send(self) -> None:
        self._begun = time.perf_counter()
        self._transport.write(self._data)


async def hammer(server: servers.Server, data: bytes) -> Measured:
    """Send on all connections for `SECONDS`; return what was measured."""
    loop = asyncio.get_running_loop()
    whole = servers.head(server, len(data)) + data
    made = [await loop.create_connection(lambda: Caller(whole), "127.0.0.1", server.port) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.3)
    callers = [protocol for _, protocol in made]
    for caller in callers:
        caller.seconds.clear()
    begun, worked = time.perf_counter(), server.processor_seconds()
    await asyncio.sleep(SECONDS)
    seconds = [one for caller in callers for one in caller.seconds]
    passed, worked = time.perf_counter() - begun, server.processor_seconds() - worked
    for transport, _ in made:
        transport.abort()
    await asyncio.sleep(0.1)
    cuts = statistics.quantiles(seconds, n=100)
    return Measured(len(seconds) / passed, cuts[49] * 1e6, cuts[98] * 1e6, worked / len(seconds) * 1e6)
