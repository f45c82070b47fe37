"""Take disk or database away from a server that works, give it back, and check what became of everything.

    python -m campaigns outages [NAME ...]     all, or those whose names begin so: full, read-only, postgresql ...

Devices scan, have mails sent and cancel the whole time (`traffic`). An outage begins when jobs of all kinds
have ended, and goes on while they repeat what is refused. Then it ends, the devices end their jobs, and the server is
killed and started again. Each promise gets a verdict with its figure (`verdicts`).

A disk that fails with EIO is the campaign `faults`: there one call after the other fails, which no mount can do.

Mounts need root and a mount namespace, PostgreSQL its package. An outage that this machine does not permit is reported
as not run, and the exit code is 2: it never counts as passed.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from acceptance.server import Server, Tables, running
from smtp import MailServer

from campaigns import promises
from campaigns.outages import disks, verdicts
from campaigns.outages.database_outages import Cut, Frozen, Killed, Locked, Stopped
from campaigns.outages.disk_outages import FillingFilter, FullDisk, ReadOnly
from campaigns.outages.disks import FILE_SYSTEMS, NotPossible
from campaigns.outages.outage import Outage
from campaigns.outages.traffic import KINDS, Record, Traffic
from campaigns.outages.verdicts import MOST_SECONDS, Verdict, Window

_PATIENCE: Final = 120.0  # seconds
_SHOWN: Final = 5  # broken promises of one verdict


ALL: Final[tuple[Outage, ...]] = (
    *(FullDisk(kind, (".",), apart=False) for kind in FILE_SYSTEMS),
    *(FullDisk(kind, full, apart=True) for kind in FILE_SYSTEMS for full in ((".",), ("run",), (".", "run"))),
    *(FillingFilter(kind, apart) for kind in FILE_SYSTEMS for apart in (False, True)),
    *(ReadOnly(kind) for kind in FILE_SYSTEMS),
    Locked("IMMEDIATE", seconds=30),
    Locked("EXCLUSIVE", seconds=30),
    Stopped(seconds=30),
    Stopped(seconds=180),
    Frozen(seconds=30),
    Killed(seconds=3),
    Cut(),
)
"""By name: the first words say what fails."""


def run(*arguments: str) -> int:
    """Run the outages whose names begin with one of *arguments*, or all; print the verdicts; return the exit code."""
    chosen = [one for one in ALL if not arguments or one.name.startswith(arguments)]
    if not chosen:
        print(f"there is no outage {' or '.join(arguments)}; there are: {', '.join(one.name for one in ALL)}")
        return 2
    without_mounts = ""
    if any(one.mounts for one in chosen):
        try:
            disks.in_own_namespace()
        except NotPossible as error:
            without_mounts = str(error)
    broken = not_run = 0
    for outage in chosen:
        reason = without_mounts if outage.mounts else ""
        try:
            broken += 0 if reason else report(outage, observe(outage))
        except NotPossible as error:
            reason = str(error)
        if reason:
            print(f"{outage.name}: NOT RUN: {reason}", flush=True)
            not_run += 1
    print(f"{len(chosen)} outages, {not_run} not run; {broken} promises broken; load {os.getloadavg()[0]:.1f}")
    return 1 if broken else 2 if not_run else 0


def report(outage: Outage, found: Sequence[Verdict]) -> int:
    """Print the verdicts of an outage; return how many promises were broken."""
    print(outage.name)
    for one in found:
        print(f"  {'BROKEN' if one.broken else 'kept  '} {one.promise}: {one.figure}", flush=True)
        for sentence in one.broken[:_SHOWN]:
            print(f"         {sentence}")
        if len(one.broken) > _SHOWN:
            print(f"         and {len(one.broken) - _SHOWN} more")
    return sum(bool(one.broken) for one in found)


def observe(outage: Outage, most: float = MOST_SECONDS) -> list[Verdict]:
    """Let a server and its devices go through an outage; return the verdicts. Raises `NotPossible`.

    Responses may take *most* seconds, and the recovery as many times longer than usual as that is more.
    """
    with (
        tempfile.TemporaryDirectory(prefix="outages-") as name,
        MailServer() as mail,
        outage.place(Path(name)) as tables,
        running(Path(name), _settings(tables, mail, len(outage.prepared))) as server,
    ):
        traffic = Traffic(server)
        with traffic.running():
            traffic.prepare(outage.prepared)
            _await_more(traffic, 1)
            begun = time.monotonic()
            with outage.injected(server):
                traffic.finish_prepared()
                outage.wait()
            window = Window(begun, time.monotonic())
            _await_more(traffic, 2)  # the first one may have been created before the outage had ended
        return _judge(outage, server, traffic.record, window, mail, most)


def _await_more(traffic: Traffic, number: int) -> None:
    """Wait until so many more jobs of each kind have ended; the verdicts say what is missing then."""
    before = {kind: traffic.finished(kind) for kind in KINDS}
    end = time.monotonic() + _PATIENCE
    while any(traffic.finished(kind) < before[kind] + number for kind in KINDS) and time.monotonic() < end:
        time.sleep(0.05)


def _settings(tables: Tables, mail: MailServer, prepared: int) -> Tables:
    """Return the settings of the server: those of the outage, and a mail server."""
    return {
        "running": {"slots": len(KINDS) + prepared, "term_seconds": 0.3, "seconds": 900},
        "filters.email": {"host": "127.0.0.1", "port": mail.port, "sender": "scanner@fabrikam.example"},
        **tables,
    }


def _judge(
    outage: Outage, server: Server, record: Record, window: Window, mail: MailServer, most: float
) -> list[Verdict]:
    found = [
        verdicts.responses(record, window, most),
        verdicts.faults(record),
        verdicts.cancels(record, window, at_once=outage.stores_cancels, most=most),
        verdicts.deliveries(record, mail.messages),
        verdicts.recovery(record, window, verdicts.MOST_RECOVERY * most / MOST_SECONDS),
    ]
    server.kill()
    server.start()
    left = promises.tidy(server, record.jobs)
    return [*found, verdicts.acknowledged(record), Verdict("disk and database agree", left, f"{len(record.jobs)} jobs")]
