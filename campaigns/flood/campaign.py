"""Flood a server with unkind clients, twice, and check what a bystander notices and what is left afterwards.

    python -m campaigns flood [seconds=N] [addresses=N] [quiet=N] [connections=N] [tls=no]

At first there is the bystander alone: the quiet figures, over `quiet` seconds. Then every kind of unkind client is
there at once, from so many addresses and for so many seconds; then, after a pause, once more. The server has the
product's settings and a certificate. `connections` is the setting of this name. Without TLS the clients of the kind
"silent, TLS" are silent ones too.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import certificates
from acceptance.scanning import instructions
from acceptance.server import Server, Tables, running

from campaigns.flood import children, measures, verdicts
from campaigns.flood.bystander import ADDRESS, PATIENCE, Bystander
from campaigns.flood.phases import Findings, Measured, Phase
from campaigns.flood.report import print_report
from postscan.core.settings import Settings

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

GONE_SECONDS: Final = 60.0
"""Seconds in which the server has to close what the clients have left."""

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
    with running(home, _settings(home, plan, authority)) as server:
        bystander = Bystander(server, tls)
        run = _Run(server, plan, str(home / "trusted.pem"))
        order = run.order(address=ADDRESS, token=bystander.create(), patience=PATIENCE)
        with children.running("getter", order) as getter, bystander.running():
            quiet = run.quiet()
            floods = [run.flood(f"flood {number}") for number in range(1, plan.rounds + 1)]
        findings = Findings(quiet, floods, getter.report, bystander.notes, server.log())
        server.kill()
        server.start()
        findings.lost = verdicts.lost(server, bystander.notes.jobs, findings.acknowledged())
    return findings


class _Run:
    """The phases of one campaign on one server."""

    def __init__(self, server: Server, plan: Plan, ca: str) -> None:
        self._server = server
        self._plan = plan
        self._ca = ca
        asked = instructions("copy")
        self._asked = {"process": server.store(asked), "instructions": asked}

    def order(self, **more: Any) -> dict[str, Any]:
        """Return the order for a process of the campaign."""
        return {"url": self._server.url, "ca": self._ca, **more}

    def quiet(self) -> Phase:
        """Measure the bystander alone, once all parts of the server have been used."""
        time.sleep(self._plan.quiet_seconds / 4)
        with self._measured("quiet") as phase:
            time.sleep(self._plan.quiet_seconds)
        return phase

    def flood(self, name: str) -> Phase:
        """Run all unkind clients, then wait until the server has closed what they have left."""
        addresses = [f"127.0.1.{number}" for number in range(1, self._plan.addresses + 1)]
        half = len(addresses) // 2
        orders = [self._order(addresses[:half], STALLING), self._order(addresses[half:], REQUESTING)]
        with self._measured(name) as phase:
            with contextlib.ExitStack() as stack:
                senders = [stack.enter_context(children.running("sender", order)) for order in orders]
                time.sleep(self._plan.seconds)
            phase.senders = [sender.report for sender in senders]
        self._await_closed(phase)
        return phase

    def _order(self, addresses: list[str], at_each: Mapping[str, int]) -> dict[str, Any]:
        size = self._server.settings.limits.envelope_bytes
        return self.order(addresses=addresses, at_each=dict(at_each), envelope_bytes=size, **self._asked)

    def _await_closed(self, phase: Phase) -> None:
        """Wait until there are no more descriptors than when the phase began, and note those that there are."""
        end = time.monotonic() + GONE_SECONDS
        while True:
            phase.left = measures.descriptors_at_rest(self._server.pid) - phase.descriptors
            if not phase.left or time.monotonic() > end:
                return

    @contextlib.contextmanager
    def _measured(self, name: str) -> Iterator[Phase]:
        """Measure what the server uses while the body runs."""
        server = self._server
        server.forget_peak_memory()
        phase = Phase(name, measures.descriptors_at_rest(server.pid), began=Measured.now(server.pid, len(server.log())))
        yield phase
        phase.ended = Measured.now(server.pid, len(server.log()))
        phase.peak = server.peak_memory()


def _settings(home: Path, plan: Plan, authority: certificates.Authority) -> Tables:
    """Return the settings of the product where the tests' server has its own, and those of the plan."""
    product = Settings()
    tables: dict[str, dict[str, Any]] = {
        "server": {"drain_seconds": product.server.drain_seconds},
        "limits": {
            name: getattr(product.limits, name) for name in ("envelope_bytes", "image_bytes", "open_jobs", "bad_tokens")
        },
        "running": {"term_seconds": product.running.term_seconds},
    }
    if plan.is_tls:
        tables["tls"] = certificates.server_table(home, authority, mode="server")
    for name, table in plan.tables.items():
        tables.setdefault(name, {}).update(table)
    return tables
