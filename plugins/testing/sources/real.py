"""A real server's side of an inlet: the intake of the server, on a database and a spool in a temporary folder.

No filter runs, no deadline ends a job, and nothing listens. The source runs in a thread of this process.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from postscan import migrations
from postscan.core.engine import Engine
from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.messages import PullRequest
from postscan.core.filters.source.source import Source
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.accounts.account import AccountUser, canonical_name
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.core.service.origins import Origins
from postscan.core.settings import Settings
from postscan.core.sources.inlet import InletProcess, ProcessEnd
from postscan.core.sources.intake import IntakeParts, SourceIntake
from postscan.core.sources.places import JobPlaces
from postscan.core.sources.start import start_message
from postscan.core.workers.orders import source as source_process
from postscan.core.workers.slot import Limits, Slot
from postscan.core.workers.termination import Termination
from postscan.plugins.testing.runner import EXAMPLE_USER

INLET: Final = "under-test"
"""The name of the inlet."""

ADMINISTRATOR: Final = Principal("local:test", Proof.LOCAL, admin=True)

_INSTRUCTIONS: Final = Instructions("Scan", (FilterInstructions("urn:postscan:testing", b"<nothing/>"),))
_GRACE: Final = 60.0  # seconds: a source that needs longer to stop than it has declared is found by its contract test


class RealInlet:
    """One source on a real store, from `start` to `close`. `health` is what it has said of itself.

    *tickets* are those of the destinations that have one, by label.
    """

    def __init__(
        self,
        source: Source,
        home: Path,
        table: Mapping[str, Any],
        accounts: Mapping[str, str],
        tickets: Mapping[str, ScanTicket],
    ) -> None:
        settings = Settings.model_validate({"storage": {"data_dir": str(home / "data")}, **table})
        migrations.upgrade(settings.storage.url)
        processes = _AnyProcess({process_of(label): ticket for label, ticket in tickets.items()})
        self.core = Engine(settings, processes)
        users = _Accounts(accounts)
        core = self.core
        origins = Origins(settings, core.store, processes, core.filters, users, core.refusals, core.clock, core.users)
        origins.begin()
        places = JobPlaces(settings.limits.source_jobs)
        parts = IntakeParts(settings, core.service, origins, users, core.quota, places, core.clock)
        folder, workdir = home / "folder", home / "workdir"
        folder.mkdir()
        workdir.mkdir()
        self.health: list[tuple[str, str]] = []
        self._intake = SourceIntake(parts, INLET, folder, workdir)
        start = start_message(INLET, settings, origins, folder, workdir)
        limits = Limits(0.0, max(_GRACE, source.grace), _GRACE)
        self._process = InletProcess(start, self._intake, limits, _GRACE, self._on_health)
        self._slot = _ThreadSlot(source)
        self._loaded = threading.Event()
        self._end: ProcessEnd | None = None
        self._thread = threading.Thread(target=self._run, name="inlet", daemon=True)

    def start(self) -> None:
        """Run the source, and return when it has begun, or failed."""
        self._thread.start()
        self._loaded.wait()

    def close(self) -> ProcessEnd | None:
        """Stop the source and return how it ended; None if it has not."""
        self._process.stop("the test is over")
        self._thread.join(2 * _GRACE)
        self.core.close()
        return self._end

    @property
    def end(self) -> ProcessEnd | None:
        """How the source has ended; None while it runs."""
        return self._end

    def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        found = self.core.service.active_and_ended(ADMINISTRATOR, limit=1000)
        return sorted(found, key=lambda job: job.created)

    def pages(self, job: Job) -> list[bytes]:
        """Return the pages of a job that are in the spool."""
        with self.core.spool.fetching() as fetch:
            return [fetch(document).read_bytes() for document in job.documents]

    def notes(self, job: Job) -> tuple[str, ...]:
        """Return what the source has noted about a job."""
        return self.core.service.notes(job.token, ADMINISTRATOR)

    def cancel(self, job: str) -> None:
        """Cancel a job as an administrator, and tell the source."""
        self.core.service.cancel(job, ADMINISTRATOR)
        token = self.core.service.job(job, ADMINISTRATOR)
        for notice in self._intake.jobs.ended({token.token: token.state}):
            self._process.notify(notice)

    def pull(self, destination: str) -> None:
        """Ask the source for a scan."""
        self._process.notify(PullRequest(destination=destination))

    def _run(self) -> None:
        try:
            self._end = self._process.run(cast("Slot", self._slot))
        except BaseException as error:  # noqa: BLE001  (read by the test)
            self._end = ProcessEnd(reason=f"{type(error).__name__}: {error}")
        self._loaded.set()

    def _on_health(self, state: str, text: str) -> None:
        self.health.append((state, text))
        self._loaded.set()


class _ThreadSlot:
    """A slot whose worker is a thread: what cannot be stopped here is left to the end of the program."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def converse(
        self,
        _order: object,
        cancel: CancelSource,
        limits: Limits,
        talk: Callable[[socket.socket, Termination], None],
    ) -> int | None:
        """Run the source at the other end of a socket, as `Slot.converse` does."""
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=self._work, args=(theirs,), name="source-under-test", daemon=True)
        with ours, Termination(cancel, _HangUp(ours), None, limits.grace, limits.term) as termination:
            thread.start()
            talk(ours, termination)
            cancel.cancel("the server has closed its socket")
            thread.join(termination.grace + limits.term)
        return None if thread.is_alive() else 0

    def _work(self, channel: socket.socket) -> None:
        with contextlib.closing(InletConnection(channel)) as connection:
            started = connection.receive_start()
            if started is not None:
                source_process.run(self._source, started, connection)


class _HangUp:
    """What a termination does to a thread: it closes the socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def terminate(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    kill = kill_below = force_kill = terminate


class _AnyProcess:
    """A scan process under every identifier; its filter is one that no plugin has, and is not run.

    *tickets* are those of processes, by identifier.
    """

    def __init__(self, tickets: Mapping[str, ScanTicket]) -> None:
        self._tickets = tickets

    def find(self, identifier: str) -> ScanProcess | None:
        """Return it."""
        return ScanProcess(identifier, "Test process", "", _INSTRUCTIONS)

    def read(self, identifier: str, display_name: str, xml: str) -> ScanProcess | None:
        """Return it."""
        return self.find(identifier)

    def ticket(self, identifier: str) -> ScanTicket:
        """Return its ticket."""
        return self._tickets.get(identifier, ScanTicket())

    def admit(self, process: ScanProcess, sent: Instructions) -> None:
        """Admit everything."""


class _Accounts:
    """Accounts with passwords; each stands for the example user."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = {canonical_name(name) or name: password for name, password in passwords.items()}

    def verify(self, account: str, password: str, inlet: str, address: str = "") -> AccountUser | None:
        """Return the account if this is its password."""
        found = self.user_of(account, inlet)
        return found if found and self._passwords[found.account] == password else None

    def user_of(self, account: str, inlet: str) -> AccountUser | None:
        """Return the account."""
        name = canonical_name(account) or ""
        return AccountUser(name, EXAMPLE_USER.sid) if name in self._passwords else None


def table_of(labels: Iterable[str], settings: Mapping[str, Any], server_keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a server with one inlet and a destination for each label."""
    return {
        "destinations": {
            f"d{number}": {"label": label, "process": process_of(label), "user": EXAMPLE_USER.sid}
            for number, label in enumerate(labels, start=1)
        },
        "sources": {INLET: {"plugin": INLET, **server_keys, **settings}},
    }


def process_of(label: str) -> str:
    """Return the GUID of the scan process of the destination with this label."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, label)).upper()
