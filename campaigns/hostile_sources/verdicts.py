"""The promises of a server with hostile sources and half-open connections, and whether it kept them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from campaigns.flood import presence
from campaigns.flood.verdicts import MEMORY_NOISE, Verdict, mib, of_bystander, of_descriptors, of_sentences
from campaigns.hostile_sources.findings import KINDS, HostileEnd, SourceFindings, SourcePhase
from campaigns.hostile_sources.inlets import INLETS

QUARANTINED: Final = "quarantined"
STOPPED: Final = "stopped"
RUNNING: Final = "ready"

LEAST: Final = 0.5
"""Least share of the connections for which an inlet has room that are there on average."""


def all_of(findings: SourceFindings) -> list[Verdict]:
    """Return the verdicts on all promises."""
    notes, sending = findings.flood.notes, findings.sending
    number = len(sending.digests) + sum(len(job.acknowledged) for job in notes.jobs)
    return [
        *(verdict for one in findings.phases for verdict in of_phase(findings, one)),
        of_sentences("every request of the bystander is served", notes.broken or presence.idle(findings.flood)),
        of_sentences("every mail and upload is stored, or its device is asked to come again", sending.broken),
        of_sentences(
            f"nothing of {number} acknowledged operations is lost, after a kill and a start",
            findings.lost or ([] if number else ["nothing was acknowledged"]),
        ),
        of_sentences("the log has no traceback", findings.tracebacks),
    ]


def of_phase(findings: SourceFindings, one: SourcePhase) -> Iterator[Verdict]:
    """Judge one phase."""
    yield from of_bystander(findings.flood, one.phase)
    yield from _of_sending(findings, one)
    yield of_descriptors(one.phase)
    yield from of_rest(one)
    yield of_sentences(f"{one.phase.name}: all jobs end", one.phase.unended)
    if one.hostile is not None:
        yield from of_end(one.hostile)


def absent(findings: SourceFindings) -> list[str]:
    """Return a sentence for all clients that were hardly there, and for all that the bystander hardly did."""
    return [*(one for phase in findings.phases for one in absent_clients(phase)), *presence.idle(findings.flood)]


def absent_clients(one: SourcePhase) -> list[str]:
    """Return a sentence for each inlet that was not nearly full, and for each kind of client that was never there."""
    clients, sentences = one.phase.clients(), []
    for inlet, room in one.rooms.items():
        there = sum(clients[kind]["mean"] for kind in KINDS[inlet])
        if there < LEAST * room:
            sentence = f"{one.phase.name}: {inlet}: {there:.1f} were there on average, and there is room for {room}"
            sentences.append(sentence)
        sentences += [f"{one.phase.name}: {kind}: never there" for kind in KINDS[inlet] if not clients[kind]["most"]]
    return sentences


def of_end(end: HostileEnd) -> Iterator[Verdict]:
    """Judge whether a hostile source was ended, and whether anything of it is left."""
    name, reason = end.behaviour.name, end.behaviour.reason
    figure = f"{end.state}: {end.detail}, then {end.stopped}"
    if reason:
        is_ended = end.state == QUARANTINED and end.detail.startswith(reason)
        yield Verdict(f"{name}: the server ends the source, five times", figure, is_ended and end.stopped == STOPPED)
    else:
        is_ended = end.state == RUNNING and end.stopped == STOPPED
        yield Verdict(f"{name}: an administrator ends the source", figure, is_ended)
    left = [f"process {process}" for process in end.processes]
    yield of_sentences(f"{name}: no process of the source is left", left)


def of_rest(one: SourcePhase) -> Iterator[Verdict]:
    """Judge what the server and the honest inlets have after a phase, but for the descriptors of the server."""
    for name, before in one.before.items():
        after = one.after.get(name)
        if after is None or after.process != before.process:
            yield Verdict(f"{one.phase.name}: {name} goes on", "its process has ended", is_kept=False)
            continue
        more = after.resident - before.resident
        figure = f"{mib(more)} more than before, noise {mib(MEMORY_NOISE)}"
        yield Verdict(f"{one.phase.name}: memory of {name} afterwards", figure, more <= MEMORY_NOISE)
        if name in INLETS:
            opened = after.descriptors - before.descriptors
            left = [f"{number} {kind}" for kind, number in sorted(opened.items())]
            yield of_sentences(f"{one.phase.name}: no descriptor of {name} stays open", left)


def _of_sending(findings: SourceFindings, one: SourcePhase) -> Iterator[Verdict]:
    """Judge what the honest device got through: beside a hostile source everything, else something."""
    for name in INLETS:
        stored = len(one.phase.of(findings.sending.stored[name]))
        replies = findings.sending.replies_in(one.phase, name)
        refused = ", ".join(f"{number} times {code}" for code, number in sorted(replies.items()))
        figure = f"{stored} stored" + (f", {refused}" if refused else "")
        if one.hostile is not None:
            promise = f"{one.phase.name}: every one of the {name} is stored"
            yield Verdict(promise, figure, stored > 0 and not replies)
        else:
            promise = f"{one.phase.name}: some of the {name} are stored"
            yield Verdict(promise, figure, stored > 0)
