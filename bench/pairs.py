"""Pairs of CreatePostScanJob and CancelPostScanJob: their rate, and what each costs the server.

For comparison, in the same run and on the same disk: two bare commits, each of one row as large as the rows of half a
pair, with the journal and the syncing of the server. With `BENCH_BEFORE`, the path of another checkout with its
environment, a server of that checkout takes turns with ours. With strace installed, the calls that write are counted
in runs of their own, since it slows the server down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

from bench import servers
from bench.servers import Server, Spent

CONNECTIONS: Final = (1, 8, 32)
TRACED: Final = (1, 8)
SECONDS: Final = 3.0
ROUNDS: Final = 7
IDLE_SECONDS: Final = 3
CALLS: Final = "write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,ftruncate,unlink"
_CALL: Final = re.compile(r"^\d+ +(\w+)\((?:\d+<([^>]*)>|\"([^\"]*)\").* = (\d+)$")


class Sample(NamedTuple):
    """One run: the seconds of each pair, the length of the run, and processor, writes and bytes of a pair.

    Seconds, but for `processor`, which is in milliseconds. Writes are those of /proc/PID/io, sockets included. A pair
    that the server refuses, because it is busy, is not counted as a pair.
    """

    latencies: list[float]
    refused: int
    seconds: float
    processor: float
    writes: float
    written: float

    @property
    def rate(self) -> float:
        """Pairs per second."""
        return len(self.latencies) / self.seconds


def run() -> None:
    """Measure and print."""
    with contextlib.ExitStack() as running:
        ours = _Measured("now", running, None)
        before = os.environ.get("BENCH_BEFORE")
        all = ([_Measured("before", running, Path(before))] if before else []) + [ours]
        for one in all:
            one.pairs(8, 1.0)
        disk = _Commits(running.enter_context(servers.folder()), ours.database)
        print(f"pairs: journal {disk.journal}, {disk.size} bytes of rows in each commit")
        for connections in CONNECTIONS:
            caps: list[float] = []
            samples: dict[str, list[Sample]] = {one.name: [] for one in all}
            for _ in range(ROUNDS):
                caps.append(disk.pairs_per_second())
                for one in all:
                    samples[one.name].append(one.pairs(connections, SECONDS))
            cap = statistics.median(caps)
            print(f"  {connections} connections; two bare commits: {cap:.0f}/s")
            for name, found in samples.items():
                _print(name, found, caps)
        if shutil.which("strace"):
            for connections in TRACED:
                for one in all:
                    print(f"  {one.name}, {connections} connections, calls of a pair")
                    for line in _calls(one.server, connections):
                        print(f"    {line}")


class _Measured:
    """A server of one checkout, ours for None. `idle` is what it needs for a second without requests: see `Spent`."""

    def __init__(self, name: str, running: contextlib.ExitStack, checkout: Path | None) -> None:
        folder = running.enter_context(servers.folder())
        self.name = name
        self.server = running.enter_context(servers.postscan(folder, checkout=checkout))
        self.database = folder / "data" / "postscan.sqlite"
        time.sleep(1)
        before = Spent.by([self.server.process.pid])
        time.sleep(IDLE_SECONDS)
        self.idle = [(b - a) / IDLE_SECONDS for a, b in zip(before, Spent.by([self.server.process.pid]), strict=True)]

    def pairs(self, connections: int, seconds: float) -> Sample:
        """Send pairs on all connections, each as a device of its own; return what they cost."""
        return uvloop.run(_pairs(self.server, self.idle, connections, seconds))


class _Commits:
    """Bare commits beside the database of a server: its journal, its syncing, and rows as large as half a pair."""

    def __init__(self, folder: Path, database: Path) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as served:
            self.journal = served.execute("PRAGMA journal_mode").fetchone()[0]
            self.size = _bytes_of_a_pair(served) // 2
        self._bare = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        for pragma in (f"journal_mode={self.journal}", "synchronous=FULL"):
            self._bare.execute(f"PRAGMA {pragma}")
        self._bare.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, row BLOB)")

    def pairs_per_second(self) -> float:
        """Commit for a second; return how many times two commits fit into it."""
        begun, commits = time.perf_counter(), 0
        while time.perf_counter() - begun < 1:
            self._bare.execute("BEGIN IMMEDIATE")
            self._bare.execute("INSERT INTO bare (row) VALUES (?)", (os.urandom(self.size),))
            self._bare.execute("COMMIT")
            commits += 1
        return commits / 2 / (time.perf_counter() - begun)


def _bytes_of_a_pair(database: sqlite3.Connection) -> int:
    """Return the bytes that the rows of a job have, in all tables, as text."""
    tables = {"job": 1, "step": 1, "event": 1, "audit": 1, "request": 1}
    total = 0
    for table in tables:
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        lengths = " + ".join(f'coalesce(length(cast("{column}" as blob)), 0)' for column in columns)
        total += database.execute(f"SELECT sum({lengths}) FROM {table}").fetchone()[0]
    return total // int(database.execute("SELECT count(*) FROM job").fetchone()[0])


async def _pairs(server: Server, idle: Sequence[float], connections: int, seconds: float) -> Sample:
    loop, results = asyncio.get_running_loop(), list[float | None]()
    until = loop.time() + seconds
    before, begun = Spent.by([server.process.pid]), time.perf_counter()
    await asyncio.gather(*(_send_pairs(server, number, until, results) for number in range(connections)))
    took, after = time.perf_counter() - begun, Spent.by([server.process.pid])
    latencies = [one for one in results if one is not None]
    processor, writes, written = (
        (b - a - rate * took) / len(latencies) for a, b, rate in zip(before, after, idle, strict=True)
    )
    return Sample(latencies, len(results) - len(latencies), took, processor * 1000, writes, written)


async def _send_pairs(
    server: Server, number: int, until: float, results: list[float | None], most: int = 1 << 30
) -> None:
    """Send pairs as one device; append the seconds of each one, None for one that is refused."""
    address = (f"127.0.1.{number + 1}", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=address)
    loop = asyncio.get_running_loop()
    for _ in range(most):
        begun = loop.time()
        if begun >= until:
            break
        response = await _exchange(server, reader, writer, servers.create_request())
        if response is not None:
            token = response.partition(b"JobToken>")[2].partition(b"<")[0].decode()
            cancel = servers.envelope("CancelPostScanJob", f"<dsp:JobToken>{token}</dsp:JobToken>")
            response = await _exchange(server, reader, writer, cancel)
        results.append(None if response is None else loop.time() - begun)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _exchange(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes | None:
    """Return the body of the response; None if the server cannot do it now."""
    writer.write(servers.head(server, len(request)) + request)
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", head)[0]))
    if b"ServerErrorTemporaryError" in body:
        return None
    if not head.startswith(b"HTTP/1.1 200"):
        raise AssertionError((head + body).decode())
    return body


def _print(name: str, samples: list[Sample], caps: list[float]) -> None:
    rate = statistics.median(sample.rate for sample in samples)
    ratio = statistics.median(sample.rate / cap for sample, cap in zip(samples, caps, strict=True))
    refused = sum(sample.refused for sample in samples)
    latencies = [seconds for sample in samples for seconds in sample.latencies]
    cuts = statistics.quantiles(latencies, n=100)
    cost: list[Any] = [
        statistics.median(costs) for costs in zip(*((s.processor, s.writes, s.written) for s in samples), strict=True)
    ]
    print(
        f"    {name:6}: {rate:4.0f} pairs/s, {ratio:.2f} of the bare commits; p50 {cuts[49] * 1000:.1f} ms, "
        f"p99 {cuts[98] * 1000:.1f} ms; processor {cost[0]:.1f} ms, {cost[1]:.0f} writes of {cost[2] / 1000:.0f} KB"
        + (f"; {refused} refused" if refused else "")
    )


def _calls(server: Server, connections: int, pairs: int = 96) -> Iterator[str]:
    """Yield a line for each kind of call and file: how many a pair has, and their bytes."""
    with servers.folder() as folder:
        log = folder / "calls"
        command = ["strace", "-f", "-qq", "-y", "-s", "0", "-e", f"trace={CALLS}", "-e", "signal=none"]
        tracer = subprocess.Popen([*command, "-o", str(log), "-p", str(server.process.pid)], stderr=subprocess.PIPE)
        time.sleep(1)
        uvloop.run(_some(server, connections, pairs // connections))
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        calls, sizes = Counter[str](), Counter[str]()
        for match in filter(None, map(_CALL.match, log.read_text().splitlines())):
            name = _kind(match[2] if match[2] is not None else match[3])
            key = f"{match[1]} {name}"
            calls[key] += 1
            sizes[key] += int(match[4])
    made = pairs // connections * connections
    for key, count in sorted(calls.items()):
        yield f"{key}: {count / made:.1f} of {sizes[key] / made / 1000:.1f} KB"


def _kind(path: str) -> str:
    """Return what a file is: the database or a file beside it, a connection, or something else by its name."""
    if path.startswith(("socket", "TCP", "UNIX")):
        return "connection"
    if path.startswith(("pipe", "anon")):
        return "a pipe"
    name = Path(path).name
    return "a temporary file" if name.startswith("etilqs") else name


async def _some(server: Server, connections: int, most: int) -> None:
    """Send *most* pairs on each connection."""
    until = asyncio.get_running_loop().time() + 600
    await asyncio.gather(*(_send_pairs(server, number, until, [], most) for number in range(connections)))
