"""What a running source receives: its settings and destinations, two folders, and the calls to the server."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import itertools
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from postscan.core.filters import tools
from postscan.core.filters.cancellation import CancellationToken
from postscan.core.filters.source import messages
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.errors import Refused
from postscan.core.filters.source.job import SourceJob
from postscan.core.filters.source.messages import (
    AccountChecked,
    Destination,
    Health,
    HealthReport,
    InletStarted,
    PasswordRequest,
    ProofKind,
    StateReply,
    StateRequest,
)
from postscan.core.model import json_lines

_NUMBERS: Final = itertools.count(1)  # of pages of this process
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class JobStatus(NamedTuple):
    """The state of a job and the reasons beside it, as the protocol spells them."""

    state: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class SourceContext:
    """What a source gets, and the calls that it may make, from as many threads as it likes.

    `settings` is an instance of its `Settings`, or the plain table if it declares none. `token` is set when the source
    has to stop; from then on `job` raises `Busy`. Every call waits as long as the server takes, and raises `Busy` when
    the server has gone.
    """

    connection: InletConnection
    started: InletStarted
    settings: Any
    token: CancellationToken

    @property
    def name(self) -> str:
        """The name of the inlet, as in `[sources.<name>]`."""
        return self.started.inlet

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """What a person may pick. Ids and labels may be shown; the user behind one stays with the server.

        Their tickets may be others the next time; all else stays.
        """
        return self.connection.destinations or self.started.destinations

    @property
    def folder(self) -> Path:
        """A private folder that is kept across runs."""
        return self.started.folder

    @property
    def workdir(self) -> Path:
        """A private folder that is removed when the process has ended; the working directory."""
        return self.started.workdir

    @property
    def allow_clear(self) -> bool:
        """Whether passwords may come over a connection without TLS."""
        return self.started.allow_clear

    def destination(self, text: str) -> Destination:
        """Return the destination with this id, or else with this label; raise `Refused`.

        A label is compared exactly, and then without regard to case and to the form of its accents.
        """
        for fits in (
            lambda one: one.id == text,
            lambda one: one.label == text,
            lambda one: _folded(one.label) == _folded(text),
        ):
            found = [one for one in self.destinations if fits(one)]
            if len(found) == 1:
                return found[0]
        raise Refused(f"there is no destination {text[: json_lines.WORD]!r}")

    def is_device(self, address: str) -> bool:
        """Return whether `devices` in the settings of the inlet has this IP address; False if nothing is there."""
        try:
            host = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        host = getattr(host, "ipv4_mapped", None) or host
        return any(host in network for network in self._networks)

    def job(
        self,
        key: str,
        destination: Destination | str,
        proof: ProofKind,
        subject: str,
        name: str = "",
        *,
        account: str = "",
        remember_seconds: float = messages.REMEMBERED,
    ) -> SourceJob:
        """Create a job of one origin, as a context manager.

        *key* names the origin in this inlet, for *remember_seconds*: 30 days, unless the protocol has no better name
        than one that returns; a long one, or one with bytes of no text, is replaced by its hash.
        *destination* is one of `destinations`, its id or its label. *proof* says how *subject* is proven: an account,
        an address, the UUID of a device; *account* is the account that proved itself. *name* is what people see.

        Entering raises `Taken`, `Busy` or `Refused`.
        """

        def about() -> dict[str, Any]:
            chosen = destination if isinstance(destination, Destination) else self.destination(destination)
            return {
                "key": _storable(key),
                "destination": chosen.id,
                "proof": proof,
                "subject": subject[: json_lines.NAME],
                "name": name[: json_lines.NAME],
                "account": account,
                "remember_seconds": float(remember_seconds),
            }

        return SourceJob(self.connection, self.started, self._new_file, about)

    def password(self, account: str, password: str, *, address: str = "") -> bool:
        """Return whether this account may use this inlet and has this password; *address* is the client's.

        Raises `Busy` if that cannot be said now, or after too many wrong ones.
        """
        if max(len(account), len(password)) > json_lines.NAME:
            return False
        fields: dict[str, Any] = {"account": account, "password": password, "address": address[: json_lines.NAME]}
        reply = self.connection.ask(PasswordRequest, **fields)
        return isinstance(reply, AccountChecked) and reply.right

    def state(self, job: str) -> JobStatus:
        """Return the state of a job that this inlet brought; raise `Refused` if there is none with this id."""
        reply = self.connection.ask(StateRequest, job=job[: json_lines.WORD])
        if not isinstance(reply, StateReply):
            raise Refused("the server does not say")
        return JobStatus(reply.state, reply.reasons)

    def health(self, state: Health, text: str = "") -> None:
        """Report whether origins can be taken now: `ready`, `degraded` or `away`, and why."""
        self.connection.report(HealthReport(state=state, text=text[: json_lines.SENTENCE]))

    def log(self, text: str, level: str = "info", **fields: object) -> None:
        """Write an event into the server's log, with values as *fields*; `level` as in `logging`."""
        self.connection.log(level, text, {name: str(value) for name, value in fields.items()})

    def run_tool(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        environment: Mapping[str, str] | None = None,
        token: CancellationToken | None = None,
    ) -> tools.ToolEnded:
        """Run another program in the `workdir` and return how it ended; *token* ends it, else the one of the source.

        Raises `OSError` if it cannot be started.
        """
        return tools.run(token or self.token, command, self.workdir, environment or {})

    @cached_property
    def _networks(self) -> tuple[_Network, ...]:
        networks = []
        for text in self.started.devices:
            with contextlib.suppress(ValueError):  # the UUID of a device
                networks.append(ipaddress.ip_network(text, strict=False))
        return tuple(networks)

    def _new_file(self) -> Path:
        return self.workdir / f"page-{next(_NUMBERS)}"


def _storable(key: str) -> str:
    """Return a key that the database takes and that no other key becomes."""
    if json_lines.storable(key) == key and len(key.encode()) <= json_lines.KEY:
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
