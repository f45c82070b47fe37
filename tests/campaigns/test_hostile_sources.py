"""Short runs of hostile sources and half-open connections, and what a report says of a long one.

The long form is `python -m campaigns sources`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import certificates
import pytest
from acceptance.scanning import Scanner
from acceptance.server import Server
from mail_inlet import page
from works import until

from campaigns.flood import measures
from campaigns.flood.bystander import Notes
from campaigns.flood.clients import Flood
from campaigns.flood.lines import Target
from campaigns.flood.phases import GET, Findings, Measured, Phase
from campaigns.flood.sender import Sender
from campaigns.flood.verdicts import beyond_database
from campaigns.hostile_sources import half_open, honest, verdicts
from campaigns.hostile_sources.campaign import HALF_OPEN, chosen
from campaigns.hostile_sources.findings import KINDS, HostileEnd, SourceFindings, SourcePhase
from campaigns.hostile_sources.honest import SendingNotes, TurnedAway
from campaigns.hostile_sources.inlets import BEHAVIOURS, INLETS, MAILS, UPLOADS, Behaviour, Rest, ServerInlets, running
from campaigns.hostile_sources.report import print_report

SEND = {MAILS: honest.send_mail, UPLOADS: honest.upload}
LONG = 240.0
"""Seconds for what takes half a minute on an idle machine: five starts of a source, with pauses between them."""

FULL = 45
"""Half-open connections that an inlet with room for fifty has at one moment, when others are turned away."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all inlets; its hostile ones are stopped."""
    home = tmp_path_factory.mktemp("sources")
    certificate = certificates.Authority().server().write(home, "inlets")
    settings = {"storage": {"busy_seconds": 60}, "plugins": {"probe_seconds": 60}}
    with running(home, settings, certificate) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def inlets(server: Server) -> ServerInlets:
    """The inlets of the server."""
    return ServerInlets(server)


@pytest.fixture
def scanner(server: Server) -> Scanner:
    """A device of WS-DSP beside them."""
    return Scanner(server, "127.0.2.1")


def sent(inlets: ServerInlets, inlet: str, name: str) -> str:
    """Send a page to an honest inlet; return `stored`, or the code by which the device is asked to come again."""
    try:
        SEND[inlet](inlets.port(inlet), name, page(name.encode(), honest.PAGE_BYTES))
    except TurnedAway as reply:
        return str(reply)[:3]
    return "stored"


def await_stored(inlets: ServerInlets, name: str) -> None:
    """Send a page to each honest inlet until it is stored."""
    for inlet in INLETS:
        until(lambda one=inlet: sent(inlets, one, f"{one}-{name}") == "stored", f"for {inlet} to store a page", LONG)


def await_all(inlets: ServerInlets, behaviours: Sequence[Behaviour], state: str) -> None:
    """Wait until the inlets of hostile sources are in a state."""
    for one in behaviours:
        until(lambda name=one.name: inlets.row(name).state == state, f"for {one.name}: {inlets.row(one.name)}", LONG)


# --- hostile sources ----------------------------------------------------------------------------------------------


def test_hostile_sources_are_ended_and_the_server_serves_others_meanwhile(
    server: Server, inlets: ServerInlets, scanner: Scanner
) -> None:
    """T-S4: all at once. The server ends those that break a rule until they are in quarantine; nothing is left."""
    token, before = scanner.create("copy"), inlets.at_rest()
    breaking = [one for one in BEHAVIOURS if one.reason]
    others = [one for one in BEHAVIOURS if not one.reason]
    for one in BEHAVIOURS:
        inlets.start(one.name)
    await_all(inlets, others, "ready")
    await_stored(inlets, "beside")
    state = scanner.status(token).state
    running_on = [one.name for one in others if inlets.processes(one.name)]
    for one in others:  # they would use a processor until the last of five pauses is over
        inlets.stop(one.name)
    await_all(inlets, others, "stopped")
    await_all(inlets, breaking, "quarantined")
    details = {one: inlets.row(one.name).detail for one in breaking}
    for one in breaking:
        inlets.stop(one.name)
    await_all(inlets, breaking, "stopped")

    assert state == "Creating"
    assert [detail for one, detail in details.items() if not detail.startswith(one.reason)] == []
    assert running_on == [one.name for one in others]
    for one in BEHAVIOURS:
        until(lambda name=one.name: not inlets.processes(name), f"for the processes of {one.name} to end", LONG)
    await_rest(inlets, before)


# --- half-open connections ----------------------------------------------------------------------------------------


async def beside(
    inlets: ServerInlets,
    addresses: int,
    at_each: Mapping[str, Mapping[str, int]],
    is_there: Callable[[Sender], bool],
    work: Callable[[], Any],
) -> tuple[Any, dict[str, Any]]:
    """Hold connections to the honest inlets, and do *work* once they are there; return its result, and the counts."""
    stop, named = asyncio.Event(), [f"127.0.1.{number}" for number in range(1, addresses + 1)]
    senders = [
        Sender(Flood(Target.at(f"tcp://{honest.HOST}:{inlets.port(name)}", ""), "", "", 0), named, one, half_open.ALL)
        for name, one in at_each.items()
    ]
    tasks = [asyncio.create_task(sender.run(stop)) for sender in senders]
    try:
        async with asyncio.timeout(LONG):
            for sender in senders:
                while not is_there(sender):
                    await asyncio.sleep(0.02)
        done = await asyncio.to_thread(work)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    return done, {kind: count for sender in senders for kind, count in sender.report()["counts"].items()}


def test_each_kind_of_half_open_client_is_there_and_takes_nothing_but_its_place(
    inlets: ServerInlets, scanner: Scanner
) -> None:
    """T-S24, T-S32: silent, or in the middle of a command, of a login and of a TLS handshake; two at each address."""
    token, before = scanner.create("copy"), inlets.at_rest()  # libuv keeps a descriptor from the first connection on
    at_each = {name: dict.fromkeys(kinds, 2) for name, kinds in KINDS.items()}

    def work() -> str:
        await_stored(inlets, "between")
        return scanner.status(token).state

    state, counts = asyncio.run(beside(inlets, 3, at_each, all_were_there, work))

    assert state == "Creating"
    assert counts.keys() == {one.kind for one in half_open.ALL}
    await_rest(inlets, before)


def test_a_thousand_half_open_connections_to_each_inlet_leave_room_for_others(
    inlets: ServerInlets, scanner: Scanner
) -> None:
    """T-S24, T-S32: a mail, an upload and a Get; nothing is left of the connections when they have gone."""
    token, before = scanner.create("copy"), inlets.at_rest()  # libuv keeps a descriptor from the first connection on

    def work() -> str:
        await_stored(inlets, "in-spite")
        return scanner.status(token).state

    state, counts = asyncio.run(beside(inlets, 20, KINDS, is_full, work))

    assert state == "Creating"
    assert sum(count["wanted"] for count in counts.values()) == 2000
    await_rest(inlets, before)
    await_stored(inlets, "afterwards")


def all_were_there(sender: Sender) -> bool:
    """Return whether all clients of each kind were there at the same time."""
    return all(count.most == count.wanted for count in sender.counts.values())


def is_full(sender: Sender) -> bool:
    """Return whether the inlet has hardly room for one more, and has turned others away."""
    refused = sum(count.outcomes["refused"] for count in sender.counts.values())
    return sum(count.there for count in sender.counts.values()) >= FULL and refused > 0


def await_rest(inlets: ServerInlets, before: Mapping[str, Rest]) -> None:
    """Wait until the server and the honest inlets have no more open than before, in the same processes."""
    for name, rest in before.items():
        until(lambda one=rest: not more_open(one), f"for {name} to close what it has open", LONG)
    assert {name: inlets.processes(name) for name in INLETS} == {name: [before[name].process] for name in INLETS}


def more_open(rest: Rest) -> Counter[str]:
    """Return the descriptors that a process has in addition, but for connections to the database, which are kept."""
    more = measures.descriptors_at_rest(rest.process) - rest.descriptors
    return beyond_database(rest.descriptors, more)


# --- what the campaign says about a run ---------------------------------------------------------------------------


def phase(name: str, began: float) -> Phase:
    """Return a phase of a hundred seconds."""
    one = Phase(name, Counter())
    one.began, one.ended = Measured(began, 0.0, 0, 0), Measured(began + 100.0, 0.0, 0, 0)
    return one


def rests(process: int = 1, resident: int = 100 << 20, **opened: int) -> dict[str, Rest]:
    """Return what the server and the honest inlets have."""
    return {name: Rest(process, resident, Counter(opened)) for name in ("server", *INLETS)}


ENDED = HostileEnd(BEHAVIOURS[2], "quarantined", BEHAVIOURS[2].reason, "stopped", ())
HELD = {UPLOADS: 50}


def findings(*, gets: float = 0.01) -> SourceFindings:
    """Return those of a run in which all is well: a hostile source, then half-open connections."""
    quiet, harmed, held = phase("quiet", 0.0), phase("flood", 200.0), phase(HALF_OPEN, 400.0)
    held.senders = [{"counts": counts(), "acknowledged": [], "processor": 0.0}]
    notes, sending = Notes(), SendingNotes()
    for began in (0.0, 200.0, 400.0):
        for timed in (notes.gets, notes.cancels, notes.commands, notes.ends, notes.scans, *sending.stored.values()):
            timed += [(began + number, gets if timed is notes.gets and began else 0.01) for number in range(100)]
    sending.digests.append("a page")
    phases = [
        SourcePhase(harmed, rests(), rests(), hostile=ENDED),
        SourcePhase(held, rests(), rests(), rooms=HELD),
    ]
    return SourceFindings(Findings(quiet, [harmed, held], notes, {}, log=""), phases, sending, [])


def counts(**of: dict[str, float]) -> dict[str, Any]:
    """Return the counts of clients for FTP, by a word of their kind; silent ones fill the inlet."""
    found = {kind: {"wanted": 100, "mean": 0.0, "most": 5, "outcomes": {}} for kind in KINDS[UPLOADS]}
    found["ftp: silent"] |= {"mean": 50.0, "most": 50}
    for word, changed in of.items():
        found[f"ftp: {word}"] |= changed
    return found


def broken(found: SourceFindings) -> list[str]:
    """Return the promises that are broken."""
    return [verdict.promise for verdict in verdicts.all_of(found) if not verdict.is_kept]


def test_a_run_in_which_all_is_well_is_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    """Every promise has a verdict, and the times of both devices are printed."""
    assert print_report(findings()) == 0

    shown = capsys.readouterr().out
    assert "BROKEN" not in shown
    assert "upload by FTP, to its 226" in shown


def test_a_bystander_that_waits_longer_beside_a_hostile_source_is_seen() -> None:
    """More than 50 ms, and more than three times as long as alone."""
    assert broken(findings(gets=0.05)) == []
    assert broken(findings(gets=0.051)) == [f"flood: {GET}, p99", f"{HALF_OPEN}: {GET}, p99"]


@pytest.mark.parametrize(
    "end",
    [
        replace(ENDED, state="ready", detail="on its way"),
        replace(ENDED, detail="its process ended"),
        replace(ENDED, stopped="ready"),
    ],
)
def test_a_source_that_is_not_ended_for_what_it_does_is_seen(end: HostileEnd) -> None:
    """It runs, it was ended for something else, or it cannot be stopped."""
    found = findings()
    found.phases[0] = replace(found.phases[0], hostile=end)

    assert broken(found) == ["flood: the server ends the source, five times"]


def test_a_source_that_no_rule_ends_has_to_run_until_an_administrator_stops_it() -> None:
    """One that is in quarantine did no harm in this phase, so the run shows nothing of it."""
    spinning = replace(ENDED, behaviour=BEHAVIOURS[0], state="ready", detail="on its way")

    assert [verdict.is_kept for verdict in verdicts.of_end(spinning)] == [True, True]
    assert not next(verdicts.of_end(replace(spinning, state="quarantined"))).is_kept


def test_a_process_of_a_source_that_is_left_is_named() -> None:
    """By its number."""
    found = findings()
    found.phases[0] = replace(found.phases[0], hostile=replace(ENDED, processes=(4711,)))

    left = {verdict.promise: verdict.figure for verdict in verdicts.all_of(found) if not verdict.is_kept}

    assert left == {"flood: no process of the source is left": "process 4711"}


@pytest.mark.parametrize(
    ("after", "promises"),
    [
        (rests(resident=117 << 20), [f"memory of {name} afterwards" for name in ("server", UPLOADS, MAILS)]),
        (rests(socket=2), [f"no descriptor of {name} stays open" for name in (UPLOADS, MAILS)]),
        (rests(process=2), [f"{name} goes on" for name in ("server", UPLOADS, MAILS)]),
        ({}, [f"{name} goes on" for name in ("server", UPLOADS, MAILS)]),
    ],
)
def test_what_is_left_of_half_open_connections_is_seen(after: dict[str, Rest], promises: list[str]) -> None:
    """Memory beyond the noise, descriptors of an inlet, and an inlet that has ended."""
    found = findings()
    found.phases[1] = replace(found.phases[1], after=after)

    assert broken(found) == [f"{HALF_OPEN}: {promise}" for promise in promises]


@pytest.mark.parametrize(
    ("at", "promises"), [(250.0, [f"flood: every one of the {UPLOADS} is stored"]), (450.0, [])], ids=["harmed", "held"]
)
def test_an_upload_may_be_asked_to_come_again_beside_half_open_connections_only(at: float, promises: list[str]) -> None:
    """A hostile source has no part in the inlet of another one."""
    found = findings()
    found.sending.replies.append((at, UPLOADS, "421 Too many connections; come again later."))

    assert broken(found) == promises


def test_a_device_that_gets_nothing_through_half_open_connections_is_seen() -> None:
    """However politely it is asked to come again."""
    found = findings()
    found.sending.stored[UPLOADS] = [one for one in found.sending.stored[UPLOADS] if one[0] < 400.0]

    assert broken(found) == [f"{HALF_OPEN}: some of the {UPLOADS} are stored"]


def test_a_device_that_got_no_reply_and_a_page_that_is_lost_are_seen() -> None:
    """Whatever the phase."""
    found = findings()
    found.sending.broken.append("uploads-1 was neither stored nor asked to come again: EOFError()")
    found.lost.append("a page that was acknowledged was delivered 0 times")

    assert broken(found) == [
        "every mail and upload is stored, or its device is asked to come again",
        "nothing of 1 acknowledged operations is lost, after a kill and a start",
    ]


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        ({"silent": {"mean": 24.9}}, f"{UPLOADS}: 24.9 were there on average, and there is room for 50"),
        ({"half a login": {"most": 0}}, "ftp: half a login: never there"),
    ],
)
def test_a_run_in_which_clients_were_hardly_there_shows_nothing(
    of: dict[str, dict[str, float]], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It fails, with a line of its own: an inlet has to be half full, and each kind has to have been there."""
    found = findings()
    found.phases[1].phase.senders[0]["counts"] = counts(**of)

    assert print_report(found) == 1
    assert f"SHOWS NOTHING {HALF_OPEN}: {reason}\n" in capsys.readouterr().out


def test_a_page_is_lost_that_was_acknowledged_and_is_not_delivered_once(server: Server) -> None:
    """Whatever else is delivered."""
    assert honest.lost(server, ["0" * 64]) == [
        f"a page that was acknowledged (SHA-256 {'0' * 64}) was delivered 0 times"
    ]


def test_names_choose_phases_and_an_unknown_one_is_an_error() -> None:
    """A typing error is no campaign that went well."""
    plan = chosen(["spin", "seconds=5"])

    assert ([one.name for one in plan.behaviours], plan.half_open, plan.seconds) == (["spin"], False, 5.0)
    assert chosen([HALF_OPEN]).behaviours == []
    with pytest.raises(SystemExit, match="there is no spinn; there are: seconds"):
        chosen(["spinn"])
