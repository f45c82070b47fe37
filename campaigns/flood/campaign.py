"""Flood a server with unkind clients, twice, and check what a bystander notices and what is left afterwards.

    python -m campaigns flood [seconds=N] [addresses=N] [quiet=N] [connections=N] [tls=no]

At first there is the bystander alone: the quiet figures, over `quiet` seconds. Then every kind of unkind client is
there at once, from so many addresses, for so many seconds from when all of them run; then, after a pause, once more.
The server has the product's settings and a certificate. `connections` is the setting of this name. Without TLS the
clients of the kind "silent, TLS" are silent ones too.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import certificates
import psutil
from acceptance.scanning import instructions
from acceptance.server import Server, Tables, running

from campaigns.flood import children, presence, verdicts
from campaigns.flood.bystander import Bystander
from campaigns.flood.observation import Observation
from campaigns.flood.phases import Findings, Phase
from campaigns.flood.report import print_report
from postscan.core.settings import Settings
from postscan.soap.http.connections import most_connections, open_to_all

STALLING: Final[Mapping[str, int]] = {
    "silent": 100,
    "silent, TLS": 100,
    "half heads": 20,
    "dripping bodies": 20,
    "unread answers": 10,
}
REQUESTING: Final[Mapping[str, int]] = {
    "pipelining": 4,
    "XML at the limit": 2,
    "unknown tokens": 2,
    "slow uploads": 1,
    "waiting Ends": 30,
    "changing jobs": 2,
    "slow sinks": 4,
    "hanging sinks": 4,
}
"""The clients of each kind at each address, of which one half holds connections and the other one sends requests.

At 20 addresses there are 2,000 silent clients and 300 waiting Ends. An address that had both would lose its uploads,
and so its waiting Ends, to its own silent connections.
"""

OPTIONS: Final = ("seconds", "addresses", "quiet", "connections", "tls")


@dataclass(frozen=True)
class Plan:
    """One campaign: its seconds, its clients, and the tables of settings that go over the product's."""

    seconds: float = 300.0
    quiet_seconds: float = 60.0
    addresses: int = 20
    tables: Tables = field(default_factory=dict)
    is_tls: bool = True
    rounds: int = 2


def run(*arguments: str) -> int:
    """Run the campaign, print the report, and return the exit code."""
    plan = chosen(arguments)
    with tempfile.TemporaryDirectory(prefix="flood-") as home:
        findings = campaign(Path(home), plan)
    return print_report(findings)


def chosen(arguments: Sequence[str]) -> Plan:
    """Return the plan for these options; exit for an unknown one."""
    given = dict(one.partition("=")[::2] for one in arguments)
    if unknown := sorted(set(given) - set(OPTIONS)):
        sys.exit(f"there is no option {', '.join(unknown)}; there are: {', '.join(OPTIONS)}")
    tables = {"server": {"connections": int(given["connections"])}} if "connections" in given else {}
    return Plan(
        seconds=float(given.get("seconds", 300)),
        quiet_seconds=float(given.get("quiet", 60)),
        addresses=int(given.get("addresses", 20)),
        tables=tables,
        is_tls=given.get("tls") != "no",
    )


def campaign(home: Path, plan: Plan) -> Findings:
    """Run the whole campaign on a server with its data below *home*."""
    authority = certificates.Authority()
    tls = certificates.client(home, authority) if plan.is_tls else None
    with running(home, product_settings(home, plan.tables, authority if plan.is_tls else None)) as server:
        ca = str(home / "trusted.pem")
        bystander = Bystander(server, tls, ca)
        run = _Run(server, plan, bystander, ca)
        quiet = run.quiet()
        floods = [run.flood(f"flood {number}") for number in range(1, plan.rounds + 1)]
        findings = Findings(quiet, floods, bystander.notes, run.rooms(), server.log())
        server.kill()
        server.start()
        findings.lost = verdicts.lost(server, bystander.notes.jobs, findings.acknowledged())
    return findings


class _Run:
    """The phases of one campaign on one server."""

    def __init__(self, server: Server, plan: Plan, bystander: Bystander, ca: str) -> None:
        self._server = server
        self._plan = plan
        self._bystander = bystander
        self._observation = Observation(server)
        addresses = [f"127.0.1.{number}" for number in range(1, plan.addresses + 1)]
        half = len(addresses) // 2
        self._groups = ((addresses[:half], STALLING), (addresses[half:], REQUESTING))
        asked = instructions("copy")
        self._order = {
            "url": server.url,
            "ca": ca,
            "process": server.store(asked),
            "instructions": asked,
            "envelope_bytes": server.settings.limits.envelope_bytes,
        }

    def quiet(self) -> Phase:
        """Measure the bystander alone, once all parts of the server have been used."""
        phase = self._observation.begin("quiet")
        with self._bystander.running():
            time.sleep(self._plan.quiet_seconds / 4)
            self._observation.measure(phase, self._plan.quiet_seconds)
        self._observation.await_jobs(phase)
        return phase

    def flood(self, name: str) -> Phase:
        """Run all unkind clients beside the bystander, then wait until the server has nothing to do any more."""
        phase = self._observation.begin(name)
        with self._bystander.running(), contextlib.ExitStack() as stack:
            senders = [stack.enter_context(children.running("sender", order)) for order in self._orders()]
            for sender in senders:
                sender.await_running()
            self._observation.measure(phase, self._plan.seconds)
        phase.senders = [sender.report for sender in senders]
        self._observation.await_jobs(phase)
        self._observation.await_closed(phase)
        return phase

    def rooms(self) -> dict[str, float]:
        """Return how many clients of each kind the server has room for."""
        server = self._server
        descriptors, _ = psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE)
        most = open_to_all(most_connections(server.settings.server.connections, descriptors))
        groups = [(len(addresses), at_each) for addresses, at_each in self._groups]
        return presence.rooms(groups, most, server.settings.server.connections_per_address)

    def _orders(self) -> list[dict[str, Any]]:
        return [{**self._order, "addresses": one, "at_each": dict(at_each)} for one, at_each in self._groups]


def product_settings(home: Path, tables: Tables, authority: certificates.Authority | None = None) -> Tables:
    """Return the settings of the product where the tests' server has its own, and *tables*; TLS with an authority."""
    product = Settings()
    merged: dict[str, dict[str, Any]] = {
        "server": {"drain_seconds": product.server.drain_seconds},
        "limits": {
            name: getattr(product.limits, name) for name in ("envelope_bytes", "image_bytes", "open_jobs", "bad_tokens")
        },
        "running": {"term_seconds": product.running.term_seconds},
    }
    if authority is not None:
        merged["tls"] = certificates.server_table(home, authority, mode="server")
    for name, table in tables.items():
        merged.setdefault(name, {}).update(table)
    return merged
