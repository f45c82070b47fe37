"""GetPostScanJobElements per second, against a bare Starlette handler that parses and builds with lxml."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import uvloop

from bench import servers

CONNECTIONS = 32
SECONDS = 2.0
ROUNDS = 5


def run() -> None:
    """Measure and print."""
    with servers.folder() as folder, servers.postscan(folder) as ours, servers.bare(folder, "/parse") as bare:
        data = request(servers.create_job(ours))
        rates: dict[str, list[float]] = {"postscan": [], "bare": []}
        for _ in range(ROUNDS):
            for name, server in (("postscan", ours), ("bare", bare)):
                rates[name].append(uvloop.run(hammer(server, data)))
        mine, theirs = (statistics.median(rates[name]) for name in ("postscan", "bare"))
        print(f"GetPostScanJobElements: postscan {mine:.0f}/s, bare {theirs:.0f}/s, ratio {mine / theirs:.2f}")


def request(token: str) -> bytes:
    """Return a request for the two elements that a device reads."""
    return servers.envelope(
        "GetPostScanJobElements",
        f"<dsp:JobToken>{token}</dsp:JobToken><dsp:RequestedElements>"
        "<dsp:Name>dsp:JobStatus</dsp:Name><dsp:Name>dsp:JobDescription</dsp:Name></dsp:RequestedElements>",
    )


class Caller(asyncio.Protocol):
    """Sends the same request repeatedly on one connection, and counts the responses."""

    def __init__(self, data: bytes) -> None:
        self.count = 0
        self._data = data
        self._left = b""

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        """Count a complete response, and send the request again."""
        self._left += data
        if self._left.endswith(b"Envelope>"):
            assert self._left.startswith(b"HTTP/1.1 200"), self._left
            self._left = b""
            self.count += 1
            self._transport.write(self._data)


async def hammer(server: servers.Server, data: bytes) -> float:
    """Send on all connections for `SECONDS`; return the responses per second."""
    loop = asyncio.get_running_loop()
    whole = servers.head(server, len(data)) + data
    made = [await loop.create_connection(lambda: Caller(whole), "127.0.0.1", server.port) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.3)
    callers = [protocol for _, protocol in made]
    before, begun = sum(caller.count for caller in callers), time.perf_counter()
    await asyncio.sleep(SECONDS)
    rate = (sum(caller.count for caller in callers) - before) / (time.perf_counter() - begun)
    for transport, _ in made:
        transport.abort()
    await asyncio.sleep(0.1)
    return rate
