"""A short flood, and what a report says of a long one: `python -m campaigns flood`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certificates
import pytest
from acceptance.scanning import instructions
from acceptance.server import Server, running
from works import until

from campaigns.flood import children, measures, presence, verdicts
from campaigns.flood.bystander import Notes
from campaigns.flood.campaign import REQUESTING, STALLING
from campaigns.flood.clients import Flood
from campaigns.flood.lines import Target
from campaigns.flood.phases import CANCEL, GET, Findings, Measured, Phase
from campaigns.flood.report import print_report
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
    """Run one client of each kind until each has met what `DONE` says, or for minutes; return the counts."""
    stop = asyncio.Event()
    sender = Sender(flood, ["127.0.1.1"], dict.fromkeys([*STALLING, *REQUESTING], 1))

    def is_done() -> bool:
        counts = sender.counts
        return all(counts[kind].outcomes[outcome] for kind, outcome in DONE.items()) and counts["slow uploads"].most > 0

    running = asyncio.create_task(sender.run(stop))
    for _ in range(2400):
        await asyncio.sleep(0.1)
        if is_done():
            break
    stop.set()
    await running
    counts: dict[str, Any] = sender.report()["counts"]
    return counts


# --- what the campaign says about a run ---------------------------------------------------------------------------


def phase(name: str, began: float, **there: float) -> Phase:
    """Return a phase of a hundred seconds with these kinds of clients, so many of them on average."""
    one = Phase(name, Counter())
    one.began, one.ended = Measured(began, 0.0, 0, 0), Measured(began + 100.0, 0.0, 0, 0)
    counts = {kind: {"wanted": 100, "mean": mean, "most": 100, "outcomes": {}} for kind, mean in there.items()}
    one.senders = [{"counts": counts, "acknowledged": [("A", "create")], "processor": 0.0}]
    return one


def findings(*, silent: float = 10.0, gets: int = 100) -> Findings:
    """Return those of a run in which all is well: clients of a kind were there, and the bystander sent requests."""
    quiet, flood = phase("quiet", 0.0), phase("flood 1", 200.0, silent=silent)
    notes = Notes()
    for timed in (notes.gets, notes.cancels, notes.commands, notes.ends, notes.scans):
        timed += [(float(number), 0.01) for number in range(100)]
        timed += [(200.0 + number, 0.01) for number in range(gets if timed is notes.gets else 100)]
    return Findings(quiet, [flood], notes, {"silent": 100.0}, log="")


def test_a_run_in_which_all_were_there_and_all_is_well_is_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    """A tenth of the clients that there is room for, and a tenth of what the bystander does when it is alone."""
    assert print_report(findings(silent=10.0, gets=10)) == 0
    assert "SHOWS NOTHING" not in capsys.readouterr().out


def test_a_run_in_which_a_kind_of_client_was_hardly_there_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It fails, with a line of its own."""
    assert print_report(findings(silent=9.9)) == 1
    shown = "SHOWS NOTHING flood 1: silent: 9.9 were there on average, and there is room for 100\n"
    assert shown in capsys.readouterr().out


def test_no_promise_to_a_bystander_is_kept_that_hardly_asked() -> None:
    """None of its requests failed, and all were fast: there were just nine of a hundred."""
    rare = findings(gets=9)

    broken = [verdict.promise for verdict in verdicts.all_of(rare) if not verdict.is_kept]

    assert broken == [f"flood 1: {GET}, p99", "every request of the bystander is served"]
    assert presence.absent(rare) == [f"flood 1: bystander: {GET}: 9 times"]
    assert presence.is_shown(rare, rare.floods[0], CANCEL)


def test_a_descriptor_that_stays_open_and_a_job_that_does_not_end_are_named() -> None:
    """By their kind, and by the token."""
    left = findings()
    left.floods[0].left, left.floods[0].unended = Counter({"socket": 2, "pipe": 1}), ["B"]

    broken = {verdict.promise: verdict.figure for verdict in verdicts.all_of(left) if not verdict.is_kept}

    assert broken == {"flood 1: descriptors that stay open": "1 pipe, 2 socket", "flood 1: all jobs end": "B"}


@pytest.mark.parametrize(("opened", "is_kept"), [(verdicts.MOST_CONNECTIONS - 3, True), (10, False)])
def test_connections_to_the_database_may_stay_open_up_to_their_number(opened: int, *, is_kept: bool) -> None:
    """In any flood, since each of them is used again."""
    found = findings()
    found.floods[0].descriptors, found.floods[0].left = Counter({"file .sqlite": 3}), Counter({"file .sqlite": opened})

    [verdict] = [one for one in verdicts.all_of(found) if "descriptors" in one.promise]

    assert (verdict.figure, verdict.is_kept) == (f"{opened} file .sqlite", is_kept)


def test_addresses_share_the_connections_that_there_are() -> None:
    """Two that want 10 have them; two that want 100 share the other 80. A sink needs no connection."""
    groups = [(2, {"silent": 60, "half heads": 40}), (2, {"pipelining": 10, "slow sinks": 4})]

    assert presence.rooms(groups, 100, 200) == {"silent": 48, "half heads": 32, "pipelining": 20, "slow sinks": 8}
    assert presence.rooms(groups, 1000, 50)["silent"] == 60
    assert presence.rooms(groups, 1000, 200)["silent"] == 120


def test_the_seconds_of_a_flood_begin_when_its_processes_run() -> None:
    """A process that ends before, or says something else, is an error; not a flood without clients."""
    order = {"url": "http://127.0.0.1:1/", "ca": "", "address": "127.0.2.1", "patience": 1, "token": "A"}
    with children.running("getter", order) as getter:
        getter.await_running()
    assert all(seconds is None for _, seconds in getter.report)

    with pytest.raises(RuntimeError, match="does not run"), children.running("nothing", {}) as nothing:
        nothing.await_running()
