"""Requests of devices beside a hundred browsers that have a page of the console open, and without them.

A browser is a socket that holds the stream of the dashboard, and reads what comes. Each round measures both, one after
the other: its ratio is that of the two p99, and the result the median of the ratios, since the machine is not the same
from one minute to the next.

    python -m bench console
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import uvloop

from bench import servers
from bench.servers import Server
from postscan.console.http.process import read_address
from postscan.console.live.updates import STREAMS_OF_A_SESSION
from postscan.core.engine import Engine
from postscan.core.model.principal import Proof, Role, at_console
from postscan.core.settings import load
from postscan.soap.processes.folder import ProcessFolder

BROWSERS: Final = int(os.environ.get("BENCH_BROWSERS", "100"))
ROUNDS: Final = int(os.environ.get("BENCH_ROUNDS", "7"))
SECONDS: Final = float(os.environ.get("BENCH_SECONDS", "10"))
DEVICES: Final = 4
PAUSE_SECONDS: Final = 0.005
"""Between two requests of a device, so that it is the requests that wait and not a queue of them."""

STREAM: Final = "/live?region=running&region=attention&region=today"


class Round(NamedTuple):
    """The p99 of requests without browsers and beside them, in seconds, and the events that the browsers got."""

    without: float
    beside: float
    events: int

    @property
    def ratio(self) -> float:
        """How many times as long a request takes beside the browsers."""
        return self.beside / self.without


def run() -> None:
    """Measure, and print."""
    with servers.folder() as folder:
        rounds = measured(folder, BROWSERS, ROUNDS, SECONDS)
    print(f"requests of {DEVICES} devices beside {BROWSERS} browsers, p99")
    for one in rounds:
        print(
            f"  without {one.without * 1000:.1f} ms, beside {one.beside * 1000:.1f} ms, {one.ratio:.2f} times; "
            f"{one.events} events"
        )
    print(f"  median of {len(rounds)} ratios: {statistics.median(one.ratio for one in rounds):.2f}")


def measured(folder: Path, browsers: int, rounds: int, seconds: float) -> list[Round]:
    """Return the rounds on a server of its own with its data in this folder."""
    with servers.postscan(folder, has_console=True) as server:
        secrets, url = _signed_in(folder, browsers)
        uvloop.run(_requests(server, 1.0))
        found = []
        for number in range(rounds):
            takes = [lambda: (_p99(server, seconds), 0), lambda: _beside(server, url, secrets, browsers, seconds)]
            first, second = takes if number % 2 == 0 else takes[::-1]
            results = [first(), second()]
            without, beside = results if number % 2 == 0 else results[::-1]
            found.append(Round(without[0], beside[0], beside[1]))
    return found


def _signed_in(folder: Path, browsers: int) -> tuple[list[str], str]:
    """Return the secrets of enough sessions for so many streams, and the URL of the console."""
    settings = load(folder / "postscan.toml")
    with contextlib.closing(Engine(settings, ProcessFolder(settings.processes_dir))) as engine:
        people = [at_console(f"bench:{number}", Proof.LINK, Role.OPERATOR) for number in range(browsers)]
        needed = people[: -(-browsers // STREAMS_OF_A_SESSION)]
        secrets = [engine.sessions.begin(one, "link") for one in needed]
    until = time.monotonic() + 60
    while not (url := read_address(settings.storage.run_dir)):
        if time.monotonic() > until:
            raise TimeoutError("the console does not start")
        time.sleep(0.1)
    return secrets, url


def _beside(server: Server, url: str, secrets: list[str], browsers: int, seconds: float) -> tuple[float, int]:
    """Return the p99 while another process holds the streams of the browsers, and how many events that got."""
    command = [sys.executable, "-m", "bench.console", url, str(browsers), *secrets]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = process.stdout.readline().strip()
        if ready != f"{browsers} streams":
            process.kill()
            raise AssertionError(f"not all browsers have streams: {ready}")
        p99 = _p99(server, seconds)
        process.stdin.close()
        return p99, int(process.stdout.readline())


def _p99(server: Server, seconds: float) -> float:
    return statistics.quantiles(uvloop.run(_requests(server, seconds)), n=100)[98]


async def _requests(server: Server, seconds: float) -> list[float]:
    """Send requests as all devices for a while; return the seconds of each."""
    found: list[float] = []
    until = asyncio.get_running_loop().time() + seconds
    await asyncio.gather(*(_device(server, number, until, found) for number in range(DEVICES)))
    return found


async def _device(server: Server, number: int, until: float, found: list[float]) -> None:
    """Create a job and cancel it, again and again: two requests, of which each commits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(f"127.0.1.{number + 1}", 0))
    loop = asyncio.get_running_loop()
    data = servers.create_request()
    while loop.time() < until:
        begun = loop.time()
        body = await _exchange(server, reader, writer, data)
        found.append(loop.time() - begun)
        is_created = b"CreatePostScanJobResponse" in body
        token = body.partition(b"JobToken>")[2].partition(b"<")[0].decode()
        data = _cancel(token) if is_created else servers.create_request()
        await asyncio.sleep(PAUSE_SECONDS)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _exchange(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """Return the body of the response; raise `AssertionError` if it is a fault."""
    writer.write(servers.head(server, len(data)) + data)
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError((head + body).decode())
    return body


def _cancel(token: str) -> bytes:
    return servers.envelope("CancelPostScanJob", f"<dsp:JobToken>{token}</dsp:JobToken>")


# --- the process of the browsers -------------------------------------------------------------------------------------


async def _hold(url: str, browsers: int, secrets: list[str]) -> None:
    """Hold a stream for each browser until standard input ends; print how many there are, then their events."""
    address = urlsplit(url)
    events = [0]
    streams = []
    for number in range(browsers):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"GET {STREAM} HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Cookie: postscan={secrets[number // STREAMS_OF_A_SESSION]}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200"):
            await reader.readuntil(b"data: ")
            events[0] += 1
            streams.append(asyncio.ensure_future(_read(reader, events)))
    print(f"{len(streams)} streams", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(events[0], flush=True)
    for one in streams:
        one.cancel()


async def _read(reader: asyncio.StreamReader, events: list[int]) -> None:
    while data := await reader.read(1 << 16):
        events[0] += data.count(b"data: ")


if __name__ == "__main__":
    console_url, number_of_browsers, *sessions = sys.argv[1:]
    uvloop.run(_hold(console_url, int(number_of_browsers), sessions))
