"""A process of unkind clients: `python -m campaigns.flood.sender`.

Its standard input has one line, an order as JSON. It prints `RUNNING` when all clients have begun, runs until that
input is closed, and prints its counts as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import uvloop

from campaigns.flood import requesting, stalling
from campaigns.flood.children import RUNNING
from campaigns.flood.clients import Caller, Client, Count, Flood, shown
from campaigns.flood.lines import Target

ALL: Final[tuple[type[Client], ...]] = (
    stalling.Silent,
    stalling.SilentBehindTls,
    stalling.HalfHead,
    stalling.DrippingBody,
    stalling.UnreadAnswers,
    requesting.Pipelining,
    requesting.LargeXml,
    requesting.UnknownToken,
    requesting.SlowUpload,
    requesting.WaitingEnd,
    requesting.ChangingJobs,
    requesting.SlowSink,
    requesting.HangingSink,
)

CANCELS: Final = 30

LOWEST_PRIORITY: Final = 19
"""Unkind clients have machines of their own; here they leave the processors to the server when it needs them."""


class Sender:
    """The clients of some addresses: so many of each kind at each of them."""

    def __init__(
        self, flood: Flood, addresses: list[str], at_each: Mapping[str, int], kinds: Sequence[type[Client]] = ALL
    ) -> None:
        self.counts = {one.kind: Count() for one in kinds if at_each.get(one.kind)}
        self._flood = flood
        self._clients: list[Client] = []
        for address in addresses:
            caller = Caller(flood, address)
            for kind in kinds:
                for _ in range(at_each.get(kind.kind, 0)):
                    self._clients.append(kind(caller, self.counts[kind.kind]))
                    self.counts[kind.kind].wanted += 1
        random.shuffle(self._clients)  # where there is no room for all, no kind comes before the others

    async def run(self, stop: asyncio.Event, begun: Callable[[], None] = lambda: None) -> None:
        """Run all clients, and count them once a second, until *stop* is set; then close all connections.

        Calls *begun* when each of them has begun its first turn.
        """
        tasks = [asyncio.create_task(client.run()) for client in self._clients]
        await asyncio.sleep(0)
        begun()
        while not stop.is_set():
            for count in self.counts.values():
                count.sample()
            try:
                async with asyncio.timeout(1.0):
                    await stop.wait()
            except TimeoutError:
                continue
        await _end(tasks)

    def report(self) -> dict[str, Any]:
        """Return what was counted and acknowledged, and the processor time of this process in seconds."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "counts": {kind: shown(count) for kind, count in self.counts.items()},
            "acknowledged": self._flood.acknowledged,
            "processor": used.ru_utime + used.ru_stime,
        }


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended, since an error of a connection can replace a cancel; raise another error."""
    running = set(tasks)
    for _ in range(CANCELS):
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=1.0)
        if not running:
            break
    else:
        raise RuntimeError(f"clients do not end, such as {running.pop().get_stack()}")
    for task in tasks:
        if not task.cancelled() and (error := task.exception()):
            raise error


async def _main(kinds: Sequence[type[Client]]) -> None:
    order = json.loads(sys.stdin.readline())
    flood = Flood(
        Target.at(order["url"], order["ca"]), order["process"], order["instructions"], order["envelope_bytes"]
    )
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(sys.stdin)
        stop.set()

    loop.add_reader(sys.stdin, closed)
    sender = Sender(flood, order["addresses"], order["at_each"], kinds)
    await sender.run(stop, lambda: print(RUNNING, flush=True))
    print(json.dumps(sender.report()))


def main(kinds: Sequence[type[Client]]) -> None:
    """Be a process of clients of these kinds."""
    os.nice(LOWEST_PRIORITY)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # that connections are closed is counted
    uvloop.run(_main(kinds))


if __name__ == "__main__":
    main(ALL)
