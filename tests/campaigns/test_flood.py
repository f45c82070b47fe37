"""A short flood; the long one is `python -m campaigns flood`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certificates
import pytest
from acceptance.scanning import instructions
from acceptance.server import Server, running
from works import until

from campaigns.flood import measures, verdicts
from campaigns.flood.campaign import REQUESTING, STALLING
from campaigns.flood.clients import Flood
from campaigns.flood.lines import Target
from campaigns.flood.sender import ALL, Sender

SHORT = {
    "server": {"head_seconds": 1, "idle_seconds": 2, "write_seconds": 1},
    "limits": {"bad_tokens": 3},
}
DONE = {
    "silent": "closed",
    "silent, TLS": "408",
    "half heads": "408",
    "dripping bodies": "408",
    "unread answers": "closed",
    "pipelining": "200",
    "XML at the limit": "InvalidArgs",
    "unknown tokens": "429",
    "waiting Ends": "ServerErrorTemporaryError",
    "changing jobs": "200",
    "slow sinks": "events",
    "hanging sinks": "events",
}
"""What the server does to the clients of each kind; slow uploads it lets go on."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with TLS and short times."""
    tls = certificates.server_table(tmp_path, certificates.Authority(), mode="server", handshake_seconds=1)
    with running(tmp_path, {**SHORT, "tls": tls}) as server:
        yield server
    assert server.tracebacks() == []


def test_every_kind_of_client_is_there_and_the_server_does_something_to_each(server: Server) -> None:
    """T-H1 to T-H4, T-X4, T-O4, T-A6; when they are gone, so are their descriptors, and what they were told is true."""
    asked = instructions("copy")
    target = Target.at(server.url, str(server.home / "client-ca.pem"))
    flood = Flood(target, server.store(asked), asked, server.settings.limits.envelope_bytes)
    before = measures.descriptors(server.pid)

    counts = asyncio.run(flooded(flood))

    assert {kind: count["outcomes"].get(DONE.get(kind, ""), 0) > 0 for kind, count in counts.items()} == {
        one.kind: one.kind in DONE for one in ALL
    }
    assert all(count["most"] >= 1 for count in counts.values())
    until(lambda: measures.descriptors(server.pid)["socket"] <= before["socket"], "for the connections to be closed")
    assert flood.acknowledged
    server.kill()
    server.start()
    assert verdicts.lost(server, [], flood.acknowledged) == []


async def flooded(flood: Flood) -> dict[str, Any]:
    """Run one client of each kind until each has met what `DONE` says, or for a minute; return the counts."""
    stop = asyncio.Event()
    sender = Sender(flood, ["127.0.1.1"], dict.fromkeys([*STALLING, *REQUESTING], 1))

    def is_done() -> bool:
        counts = sender.counts
        return all(counts[kind].outcomes[outcome] for kind, outcome in DONE.items()) and counts["slow uploads"].most > 0

    running = asyncio.create_task(sender.run(stop))
    for _ in range(600):
        await asyncio.sleep(0.1)
        if is_done():
            break
    stop.set()
    await running
    counts: dict[str, Any] = sender.report()["counts"]
    return counts
