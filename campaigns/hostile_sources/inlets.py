"""The server of the campaign and its inlets: FTP and mail, and one for each thing that a hostile source does.

An inlet of a hostile source is stopped until an administrator starts it. The source is `errand` of
`tests/outside/inlets`.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import messages
import psutil
from acceptance.scanning import instructions
from acceptance.server import Server, Tables
from plugin_names import unused
from works import SID

from campaigns import more_plugins
from campaigns.flood import measures
from postscan.core.model.principal import Principal, Proof
from postscan.core.service.inlets import InletRow

ADMIN: Final = Principal("local:root", Proof.LOCAL, admin=True)
PROCESS: Final = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
LABEL: Final = "Invoices"
HONEST: Final = "127.0.3.1"
"""The address of the only device of the honest inlets."""

UPLOADS: Final = "uploads"
MAILS: Final = "mails"
INLETS: Final = {UPLOADS: "ftp", MAILS: "smtp"}
"""The honest inlets, and their plugins."""

READY_SECONDS: Final = 240.0
"""Seconds in which the honest inlets become ready, on a busy machine."""

_PORTS: Final = range(12_000, 20_000)
"""Below those of the tests, and of those that the kernel gives to connections."""

_ENDED_JOBS: Final = 100_000
"""Ended jobs that can be queried: all of them, so that the campaign can look at each."""


@dataclass(frozen=True)
class Behaviour:
    """What a hostile source does; `reason` begins that for which the server ends it, "" if an administrator has to."""

    name: str
    reason: str = ""


BEHAVIOURS: Final = (
    Behaviour("spin"),
    Behaviour("fork"),
    Behaviour("flood", "it sent more than 4000 messages in 10 s"),
    Behaviour("shout"),
    Behaviour("ask_without_end", "it has more than 64 requests without a reply"),
    Behaviour("send_no_end", "it sent a message of more than 1048576 bytes"),
    Behaviour("claim", "it claims the proof 'certificate', which it has not declared"),
    Behaviour("leave_something", "its process ended with exit code 3"),
    Behaviour("deaf"),
)
"""By their names in `tests/outside/inlets`."""


@dataclass(frozen=True)
class Rest:
    """What a process has while nothing happens: bytes of memory, and open descriptors by kind."""

    process: int
    resident: int
    descriptors: Counter[str]

    @classmethod
    def of(cls, process: int) -> Self:
        """Measure a process; this takes two seconds."""
        descriptors = measures.descriptors_at_rest(process)
        return cls(process, measures.resident(process), descriptors)


class ServerInlets:
    """The inlets of a running server, as an administrator sees them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._rows = server.works.core.inlets

    def row(self, name: str) -> InletRow:
        """Return how an inlet is."""
        return self._rows.list(ADMIN)[name]

    def start(self, name: str) -> None:
        """Order an inlet to be started."""
        self._rows.start(name, ADMIN)

    def stop(self, name: str) -> None:
        """Order an inlet to be stopped."""
        self._rows.stop(name, ADMIN)

    def port(self, name: str) -> int:
        """Return the port of an honest inlet."""
        return int(self._server.settings.sources[name].table["port"])

    def processes(self, name: str) -> list[int]:
        """Return all processes whose folder is the work folder of an inlet, also one that is removed."""
        begin = str(self._server.settings.storage.run_dir.resolve() / f"source-{name}-")
        return [
            process.pid for process in psutil.process_iter(["cwd"]) if (process.info["cwd"] or "").startswith(begin)
        ]

    def at_rest(self) -> dict[str, Rest]:
        """Measure the server and its honest inlets."""
        running = {name: self.processes(name) for name in INLETS}
        return {"server": Rest.of(self._server.pid)} | {
            name: Rest.of(processes[0]) for name, processes in running.items() if processes
        }


@contextlib.contextmanager
def running(
    home: Path, settings: Tables, certificate: Path, behaviours: Sequence[Behaviour] = BEHAVIOURS
) -> Iterator[Server]:
    """Run a server with all inlets while the body runs, of which the honest ones are ready.

    *certificate* is the file of theirs, with its key. Raises `TimeoutError` if they do not become ready.
    """
    with more_plugins("inlets"):
        server = Server(home, _with_inlets(home, settings, certificate, behaviours))
        xml = messages.PROCESS.replace(messages.INSTRUCTIONS, instructions("copy"))
        server.processes.add(xml.encode(), display_name=LABEL, users=(), identifier=PROCESS)
        try:
            inlets = ServerInlets(server)
            for one in behaviours:
                inlets.stop(one.name)
            server.start()
            if not within(READY_SECONDS, lambda: all(inlets.row(name).state == "ready" for name in INLETS)):
                raise TimeoutError(f"the inlets are {[inlets.row(name) for name in INLETS]}")
            yield server
        finally:
            server.stop()
            server.works.core.close()


def within(seconds: float, true: Callable[[], object]) -> bool:
    """Wait until *true* returns something true; return False if it does not in so many seconds."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _with_inlets(home: Path, settings: Tables, certificate: Path, behaviours: Sequence[Behaviour]) -> Tables:
    """Return settings with the tables of the inlets, and the folders of the hostile ones."""
    honest = {"devices": [HONEST], "certificate": str(certificate)}
    tables: dict[str, Mapping[str, Any]] = {
        "destinations.invoices": {"label": LABEL, "process": PROCESS, "user": SID},
        f"sources.{UPLOADS}": {"plugin": INLETS[UPLOADS], "port": _free_port(), **honest},
        f"sources.{MAILS}": {"plugin": INLETS[MAILS], "port": _free_port(), "tls": "starttls", **honest},
    }
    for one in behaviours:
        folder = home / "hostile" / one.name
        folder.mkdir(parents=True)
        tables[f"sources.{one.name}"] = {"plugin": "errand", "folder": str(folder), "behaviour": one.name}
    more = {
        "plugins": {"disabled": unused("fileshare", *INLETS.values())},
        "retention": {"jobs": _ENDED_JOBS},
    }
    merged = dict(settings) | tables
    for name, table in more.items():
        merged[name] = {**settings.get(name, {}), **table}
    return merged


def _free_port() -> int:
    """Return a port on which nothing listens; several campaigns may run on one machine."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")
