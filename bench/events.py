"""Delivery of 12,000 queued events to 2,000 subscriptions by a starting server: rate and memory.

For comparison, in the same run: the same number of posts by the bare HTTP client with the same concurrency, and a
server with the same jobs without subscriptions. Then the same again with every other sink hanging.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
import uvloop

from bench import servers
from postscan import migrations
from postscan.core.engine import Engine
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.core.model.subscription import EventService, Sink
from postscan.core.settings import load
from postscan.soap.processes.folder import ProcessFolder

DEVICES: Final = 1000
JOBS: Final = 2  # of each device
MESSAGES: Final = 3  # of each job: created, canceled, ended
CONCURRENT: Final = 64  # half of the messages that the server sends at the same time: the share of one address
WHOLE: Final = DEVICES * JOBS * MESSAGES * 2
SETTINGS: Final = "[events]\ndeadline_seconds = 2\n"
_AT: Final = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)


def run() -> None:
    """Measure and print."""
    print(f"events: {2 * DEVICES} subscriptions, {WHOLE} messages waiting at the start of the server")
    with sinks() as receiver, servers.folder() as folder:
        _fill(folder, receiver.port)
        _, memory = _delivered(folder, receiver, subscribed=False)
        print(f"  no subscriptions: peak memory {memory:.0f} MiB")
        seconds, memory = _delivered(folder, receiver)
        print(f"  all sinks well: {WHOLE / seconds:.0f} messages/s, peak memory {memory:.0f} MiB")
        bare = _posted(receiver)
        print(f"  the bare client: {WHOLE / bare:.0f} messages/s; ratio {bare / seconds:.2f}")
        seconds, memory = _delivered(folder, receiver, hanging=True)
        print(f"  half of the sinks hang: the others have all after {seconds:.1f} s, peak memory {memory:.0f} MiB")


class Sinks:
    """The sinks. They count events; with `hanging`, the second sink of each device never responds."""

    def __init__(self) -> None:
        self.count = 0
        self.port = 0
        self.hanging = False

    async def serve(self) -> None:
        """Listen on a port of its own."""
        server = await asyncio.start_server(self._respond, "127.0.0.1", 0, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    return
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                await reader.readexactly(int(fields[b"content-length"]))
                if self.hanging and b"/second/" in head:
                    await reader.read()  # until the server closes the connection
                    return
                self.count += 1
                writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def wait(self, number: int) -> float:
        """Return the seconds from now until this number of events has arrived."""
        begun = time.monotonic()
        while self.count < number:
            if time.monotonic() - begun > 600:
                raise AssertionError(f"only {self.count} of {number} messages have arrived")
            time.sleep(0.01)
        return time.monotonic() - begun


@contextmanager
def sinks() -> Iterator[Sinks]:
    """Run the sinks in a thread while the body runs."""
    loop, served = uvloop.new_event_loop(), Sinks()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(served.serve(), loop).result(10)
    yield served
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _delivered(folder: Path, receiver: Sinks, *, subscribed: bool = True, hanging: bool = False) -> tuple[float, float]:
    """Start a server on a copy of the data.

    Return the seconds until all deliverable events have arrived, and the peak memory of the server in MiB.
    """
    receiver.hanging = hanging
    with servers.folder() as copy:
        shutil.copytree(folder / "data", copy / "data")
        if not subscribed:
            with closing(sqlite3.connect(copy / "data" / "postscan.sqlite")) as database:
                database.execute("delete from subscription")
                database.commit()
        receiver.count = 0
        with servers.postscan(copy, SETTINGS) as server:
            seconds = receiver.wait(WHOLE // (2 if hanging else 1)) if subscribed else _idle()
            return seconds, server.peak_memory()


def _idle() -> float:
    """Wait while the server is idle."""
    time.sleep(2)
    return 0.0


def _fill(folder: Path, port: int) -> None:
    """Create the subscriptions, and then the jobs, so that all events are pending."""
    config = folder / "fill.toml"
    config.write_text(f'[storage]\ndata_dir = "{folder}/data"\n')
    settings = load(config)
    migrations.upgrade(settings.storage.url)
    with closing(Engine(settings, ProcessFolder(settings.processes_dir))) as engine:
        devices = [Principal(f"device:10.0.{n // 250}.{n % 250}", Proof.ADDRESS) for n in range(DEVICES)]
        for number, device in enumerate(devices):
            for kind in ("first", "second"):
                sink = Sink(f"http://127.0.0.1:{port}/{kind}/{number}", "127.0.0.1")
                engine.subscriptions.add(
                    EventService.PROCESSING, device, sink, None, (), lambda id: f"urn:{id}", False, 3600
                )
        for device in devices * JOBS:
            _canceled_job(engine, device)


def _canceled_job(engine: Engine, device: Principal) -> None:
    instructions = Instructions("Bench", (FilterInstructions("urn:bench:other", b"<a/>"),))
    process = ScanProcess(servers.PROCESS, "Bench", "", instructions)
    user = User("S-1-5-21-1-2-3-1001", "anna@fabrikam.example")
    job = Job.create(JobToken(str(uuid.uuid4())), device, user, process, instructions, _AT)
    job.deadline = engine.clock.ticks() + 3600
    engine.store.insert(job)
    with engine.store.change(job.token) as changed:
        changed.cancel(_AT)


def _posted(receiver: Sinks) -> float:
    """Return the seconds that the bare client takes for the same posts."""
    receiver.count = 0
    posting = threading.Thread(target=lambda: uvloop.run(_post(receiver.port)))
    posting.start()
    seconds = receiver.wait(WHOLE)
    posting.join()
    return seconds


async def _post(port: int) -> None:
    lane, body = asyncio.Semaphore(CONCURRENT), b"x" * 1800
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:

        async def one(number: int) -> None:
            async with lane:
                await client.post(f"http://127.0.0.1:{port}/first/{number % (2 * DEVICES)}", content=body)

        await asyncio.gather(*(one(number) for number in range(WHOLE)))
