"""Let hostile sources run, and hold half-open connections to honest ones; check what a bystander notices of it.

    python -m campaigns sources [seconds=N] [quiet=N] [addresses=N] [NAME ...]

At first the bystander of a flood, and a device that sends mails and uploads, are alone: the quiet figures, over `quiet`
seconds. Then one source after another does harm, for so many seconds each. Then, for twice as long, fifty clients at
each of so many addresses begin with the inlet for FTP and go no further, and as many with that for mail. With names,
only these phases take place: spin, fork ..., half-open.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import certificates
from acceptance.server import Server

from campaigns.flood import children
from campaigns.flood import verdicts as flood_verdicts
from campaigns.flood.bystander import Bystander
from campaigns.flood.campaign import product_settings
from campaigns.flood.observation import GONE_SECONDS, Observation
from campaigns.flood.phases import Findings
from campaigns.hostile_sources import honest
from campaigns.hostile_sources.findings import KINDS, HostileEnd, SourceFindings, SourcePhase
from campaigns.hostile_sources.honest import HonestDevice
from campaigns.hostile_sources.inlets import (
    BEHAVIOURS,
    INLETS,
    MAILS,
    UPLOADS,
    Behaviour,
    Rest,
    ServerInlets,
    running,
    within,
)
from campaigns.hostile_sources.report import print_report
from campaigns.hostile_sources.verdicts import STOPPED
from postscan.plugins.sources.ftp.settings import Settings as FtpSettings
from postscan.plugins.sources.smtp.settings import Settings as SmtpSettings

HALF_OPEN: Final = "half-open"
OPTIONS: Final = ("seconds", "quiet", "addresses")

ROOMS: Final = {UPLOADS: FtpSettings().connections, MAILS: SmtpSettings().connections}
"""How many connections each honest inlet has room for, by the settings of the product."""


@dataclass(frozen=True)
class Plan:
    """One campaign: its seconds, its sources, and from how many addresses there are half-open connections."""

    seconds: float = 60.0
    quiet_seconds: float = 60.0
    behaviours: Sequence[Behaviour] = BEHAVIOURS
    half_open: bool = True
    addresses: int = 20


def run(*arguments: str) -> int:
    """Run the campaign, print the report, and return the exit code."""
    plan = chosen(arguments)
    with tempfile.TemporaryDirectory(prefix="sources-") as home:
        findings = campaign(Path(home), plan)
    return print_report(findings)


def chosen(arguments: Sequence[str]) -> Plan:
    """Return the plan for these options and names; exit for an unknown one."""
    given = dict(one.partition("=")[::2] for one in arguments if "=" in one)
    names = [one for one in arguments if "=" not in one]
    known = [*(one.name for one in BEHAVIOURS), HALF_OPEN]
    if unknown := sorted((set(given) - set(OPTIONS)) | (set(names) - set(known))):
        sys.exit(f"there is no {', '.join(unknown)}; there are: {', '.join((*OPTIONS, *known))}")
    return Plan(
        seconds=float(given.get("seconds", 60)),
        quiet_seconds=float(given.get("quiet", 60)),
        behaviours=[one for one in BEHAVIOURS if not names or one.name in names],
        half_open=not names or HALF_OPEN in names,
        addresses=int(given.get("addresses", 20)),
    )


def campaign(home: Path, plan: Plan) -> SourceFindings:
    """Run the whole campaign on a server with its data below *home*."""
    authority = certificates.Authority()
    tls, settings = certificates.client(home, authority), product_settings(home, {}, authority)
    with running(home, settings, home / "server.pem", plan.behaviours) as server:
        bystander = Bystander(server, tls, str(home / "trusted.pem"))
        device = HonestDevice(server)
        run = _Run(server, bystander, device)
        run.measured("warm-up", plan.quiet_seconds / 4)
        quiet = run.measured("quiet", plan.quiet_seconds)
        phases = [run.harmed(one, plan.seconds) for one in plan.behaviours]
        if plan.half_open:
            phases.append(run.held(plan.addresses, 2 * plan.seconds))
        flood = Findings(quiet.phase, [one.phase for one in phases], bystander.notes, {}, server.log())
        findings = SourceFindings(flood, phases, device.notes, server.tracebacks())
        server.kill()
        server.start()
        findings.lost = flood_verdicts.lost(server, bystander.notes.jobs, [])
        findings.lost += honest.lost(server, device.notes.digests)
    return findings


class _Run:
    """The phases of one campaign on one server."""

    def __init__(self, server: Server, bystander: Bystander, device: HonestDevice) -> None:
        self._server = server
        self._bystander = bystander
        self._device = device
        self._observation = Observation(server)
        self._inlets = ServerInlets(server)

    def measured(self, name: str, seconds: float, beside: AbstractContextManager[object] | None = None) -> SourcePhase:
        """Measure all who are honest for so many seconds, beside others; then wait until nothing of it is left."""
        phase = self._observation.begin(name)
        before = self._inlets.at_rest()
        with self._bystander.running(), self._device.running(), beside or contextlib.nullcontext():
            self._observation.measure(phase, seconds)
        self._observation.await_jobs(phase)
        self._observation.await_closed(phase)
        return SourcePhase(phase, before, self._after(before))

    def harmed(self, behaviour: Behaviour, seconds: float) -> SourcePhase:
        """Let a hostile source run."""
        ends: list[HostileEnd] = []
        found = self.measured(behaviour.name, seconds, self._harm(behaviour, ends))
        return replace(found, hostile=ends[0])

    def held(self, addresses: int, seconds: float) -> SourcePhase:
        """Hold half-open connections from so many addresses."""
        senders: list[children.Child] = []
        found = self.measured(HALF_OPEN, seconds, self._hold(addresses, senders))
        found.phase.senders = [sender.report for sender in senders]
        return replace(found, rooms=ROOMS)

    @contextlib.contextmanager
    def _harm(self, behaviour: Behaviour, ends: list[HostileEnd]) -> Iterator[None]:
        name = behaviour.name
        self._inlets.start(name)
        within(GONE_SECONDS, lambda: self._inlets.processes(name))
        yield
        before = self._inlets.row(name)
        self._inlets.stop(name)
        within(GONE_SECONDS, lambda: self._inlets.row(name).state == STOPPED and not self._inlets.processes(name))
        stopped = self._inlets.row(name).state
        ends.append(HostileEnd(behaviour, before.state, before.detail, stopped, tuple(self._inlets.processes(name))))

    @contextlib.contextmanager
    def _hold(self, addresses: int, senders: list[children.Child]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name in INLETS:
                senders.append(stack.enter_context(half_open_clients(self._inlets.port(name), name, addresses)))
            for sender in senders:
                sender.await_running()
            yield

    def _after(self, before: Mapping[str, Rest]) -> dict[str, Rest]:
        """Measure server and inlets again, until they have as little as before, or for `GONE_SECONDS`."""
        end = time.monotonic() + GONE_SECONDS
        while True:
            after = self._inlets.at_rest()
            opened = [after[name].descriptors - before[name].descriptors for name in INLETS if name in after]
            if not any(opened) or time.monotonic() > end:
                return after


@contextlib.contextmanager
def half_open_clients(port: int, inlet: str, addresses: int) -> Iterator[children.Child]:
    """Run a process of clients that begin with an inlet and go no further, fifty at each of so many addresses."""
    order: dict[str, Any] = {
        "url": f"tcp://{honest.HOST}:{port}",
        "ca": "",
        "process": "",
        "instructions": "",
        "envelope_bytes": 0,
        "addresses": [f"127.0.1.{number}" for number in range(1, addresses + 1)],
        "at_each": KINDS[inlet],
    }
    with children.running("half_open", order, "campaigns.hostile_sources") as sender:
        yield sender
