"""Whether the clients of a flood were there, and its bystander: a run without them shows nothing.

A client of a kind that holds connections is there only as often as the server has room for it. Connections that all
clients want, and that the server does not have, are shared by the addresses: each has as many, or as many as it wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from campaigns.flood.phases import Findings, Phase

LEAST: Final = 0.1
"""Least share of the clients for which there is room, and of what the bystander does when it is alone."""

WITHOUT_CONNECTION: Final = ("slow sinks", "hanging sinks")

Group = tuple[int, Mapping[str, int]]
"""A number of addresses, and the clients of each kind at each of them."""


def rooms(groups: Sequence[Group], most: int, most_per_address: int) -> dict[str, float]:
    """Return how many clients of each kind can be there, if so many connections can, in all and of one address."""
    demands = [_connections(at_each) for number, at_each in groups for _ in range(number)]
    level = min(_level(demands, most), most_per_address)
    return {
        kind: number * clients * (1.0 if kind in WITHOUT_CONNECTION else min(1.0, level / _connections(at_each)))
        for number, at_each in groups
        for kind, clients in at_each.items()
    }


def absent(findings: Findings) -> list[str]:
    """Return a sentence for every kind of client that was hardly there, and for all that the bystander hardly did."""
    return [*(one for phase in findings.floods for one in _clients(findings, phase)), *idle(findings)]


def idle(findings: Findings) -> list[str]:
    """Return a sentence for all that the bystander hardly did in a flood."""
    return [
        f"{phase.name}: bystander: {what}: {len(phase.of(timed))} times"
        for phase in findings.floods
        for what, timed in findings.of_bystander().items()
        if not is_shown(findings, phase, what)
    ]


def is_shown(findings: Findings, phase: Phase, what: str) -> bool:
    """Return whether the bystander did this often enough; *what* is a key of `Findings.of_bystander`."""
    timed, quiet = findings.of_bystander()[what], findings.quiet
    expected = len(quiet.of(timed)) / quiet.seconds * phase.seconds
    return len(phase.of(timed)) >= max(1.0, expected * LEAST)


def _clients(findings: Findings, phase: Phase) -> list[str]:
    clients = phase.clients()
    return [
        f"{phase.name}: {kind}: {clients[kind]['mean']:.1f} were there on average, and there is room for {room:.0f}"
        for kind, room in findings.rooms.items()
        if clients[kind]["mean"] < LEAST * room
    ]


def _connections(at_each: Mapping[str, int]) -> int:
    """Return how many connections the clients of an address want."""
    return sum(clients for kind, clients in at_each.items() if kind not in WITHOUT_CONNECTION)


def _level(demands: Sequence[int], most: int) -> float:
    """Return how many connections an address has that does not have all that it wants."""
    left = float(most)
    for number, demand in enumerate(sorted(demands)):
        share = left / (len(demands) - number)
        if share < demand:
            return share
        left -= demand
    return float(max(demands))
