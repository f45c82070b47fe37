"""Compare the response times for a foreign job and for an unknown token (T-O4), by Welch's t.

The application is called without a socket, so that the network hides no difference. Both kinds alternate in random
order. A common rule of thumb: |t| above 4.5 is a measurable difference.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import servers
from bench.get_elements import request
from postscan import migrations
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.settings import Settings
from postscan.soap.http.app import create_app
from postscan.soap.processes.folder import ProcessFolder

NUMBER = 10_000
SLOWEST = 0.1  # the fraction that depends on the machine
OWNER = Principal("device:127.0.0.1", Proof.ADDRESS)
OTHER_CALLER = ("127.0.0.2", 40000)
Measure = Callable[[str], float]


def run() -> None:
    """Measure and print."""
    with servers.folder() as folder:
        engine = _engine(folder)
        try:
            token = _job(engine)
            kinds: dict[str, Callable[[], str]] = {"foreign": lambda: token, "unknown": lambda: str(uuid.uuid4())}
            seconds = asyncio.run(_measure(create_app(engine.service, engine.settings), kinds))
        finally:
            engine.close()
    _print(seconds)


def welch(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Welch's t of two samples."""
    error = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / error**0.5


async def _measure(app: Any, kinds: dict[str, Callable[[], str]]) -> dict[str, list[float]]:
    """Return the seconds of each response, by kind."""
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(NUMBER):
        for kind in random.sample(list(kinds), len(kinds)):
            body = request(kinds[kind]())
            begun = time.perf_counter()
            await _post(app, body)
            seconds[kind].append(time.perf_counter() - begun)
    return seconds


async def _post(app: Any, body: bytes) -> None:
    """Post a request as another caller; raise unless it is refused."""
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(
        {
            "type": "http",
            "method": "POST",
            "path": Settings().server.path,
            "headers": [(b"content-type", b"application/soap+xml; charset=utf-8")],
            "client": OTHER_CALLER,
            "query_string": b"",
        },
        receive,
        send,
    )
    if status != 400:
        raise AssertionError(f"expected a refusal, got HTTP {status}")


def _engine(folder: Path) -> Engine:
    table = {
        "storage": {"data_dir": str(folder / "data")},
        "processes": {"lenient": True},
        "limits": {"bad_tokens": 10 * NUMBER},
    }
    settings = Settings.model_validate(table)
    migrations.upgrade(settings.storage.url)
    return Engine(settings, ProcessFolder(settings.processes_dir, lenient=True))


def _job(engine: Engine) -> str:
    instructions = Instructions("Bench", (FilterInstructions("urn:bench:one", b"<do/>"),))
    return engine.service.create(OWNER, "S-1-5-21-1-2-3-1001", servers.PROCESS, instructions)


def _print(seconds: dict[str, list[float]]) -> None:
    foreign, unknown = seconds["foreign"], seconds["unknown"]
    limit = sorted([*foreign, *unknown])[int(2 * NUMBER * (1 - SLOWEST))]
    cropped = welch([s for s in foreign if s < limit], [s for s in unknown if s < limit])
    medians = ", ".join(f"{kind} {statistics.median(all) * 1e6:.0f} µs" for kind, all in seconds.items())
    print(
        f"a job that is not yours: {medians}; t = {welch(foreign, unknown):.1f}, "
        f"without the slowest {SLOWEST:.0%} {cropped:.1f} (n = {NUMBER})"
    )
