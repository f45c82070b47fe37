"""A real server process for tests: `postscan serve` on data of its own, and a look at what it has on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import commands
import databases
import messages
import psutil
from plugin_names import unused
from works import Works, alive, until

from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.settings import load
from postscan.core.spool.image_store.spool_store import ID
from postscan.soap.processes.folder import ProcessFolder

DEVICE = Principal("device:127.0.0.1", Proof.ADDRESS)
ENVELOPE_BYTES = 64 * 1024
IMAGE_BYTES = 4 << 20
MANY = {"open_jobs": 10_000, "bad_tokens": 10_000, "refused_lines": 10_000}
SHARE = r"\\nas\scans"

Tables = Mapping[str, Mapping[str, Any]]


class Server:
    """One server on one folder; it can be started again after it was stopped or killed.

    `share` is the folder behind the share `SHARE`, `out` the one of the plugin acme. `settings` are tables that go
    over those of the tests: small limits, short times, of our own plugins only fileshare, and
    those that have a table in `settings`.
    """

    def __init__(self, home: Path, settings: Tables) -> None:
        self.home = home
        self.share = home / "share"
        self.out = home / "out"
        self.share.mkdir()
        self.out.mkdir()
        self._config = home / "postscan.toml"
        self._given = settings
        self._config.write_text(_toml(self._defaults(), settings))
        self.settings = load(self._config)
        self.processes = ProcessFolder(self.settings.processes_dir)
        self.url = ""
        self._arguments = ["--config", str(self._config), "serve"]
        self._log = home / "server.log"
        self._process: commands.Command | None = None

    def _defaults(self) -> Tables:
        return {
            "server": {"port": 0, "drain_seconds": 1},
            "console": {"enabled": False},
            "storage": {"data_dir": "data"},
            "limits": {
                "envelope_bytes": ENVELOPE_BYTES,
                "image_bytes": IMAGE_BYTES,
                "open_jobs": 10_000,
                "bad_tokens": 10_000,
                "refused_lines": 10_000,
            },
            "running": {"term_seconds": 0.3},
            "plugins": {"disabled": unused("fileshare", *self._configured())},
            "filters.acme": {"folder": str(self.out)},
            "filters.fileshare.shares": {SHARE: str(self.share)},
        }

    def _configured(self) -> list[str]:
        """Return the names of the plugins that the settings have a table of."""
        return [name.split(".")[1] for name in self._given if name.startswith("filters.")]

    def disable(self, *plugins: str) -> None:
        """Let the next server do without these plugins, too."""
        disabled = [*self.settings.plugins.disabled, *plugins]
        self._config.write_text(_toml(self._defaults(), self._given, {"plugins": {"disabled": disabled}}))

    def rewrite(self, tables: Tables, top: str = "") -> None:
        """Let the settings file have these tables, too, and *top* before all; a running server sees it at a reload."""
        self._config.write_text(top + _toml(self._defaults(), self._given, tables))

    def reload(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `postscan reload` with the settings file."""
        return commands.run(["--config", str(self._config), "reload", *options], timeout=120)

    def start(self) -> None:
        """Start it, at first with an empty database, and wait until it answers."""
        storage = self.settings.storage
        if storage.url.startswith("sqlite") and not storage.data_dir.exists():
            databases.migrated(storage.url)
        with self._log.open("a") as log:
            self._process = commands.start(self._arguments, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout
        with self._process.stdout as said:
            self.url = said.readline().strip()
        assert self.url, self.log()

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        """Stop it, and close the data if a test has opened them beside it."""
        self.stop()
        if "works" in vars(self):
            self.works.core.close()

    def kill(self) -> None:
        """Let it die as by a power cut of its process."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(number)
        return process.wait(60)

    @property
    def pid(self) -> int:
        """The process that answers the devices."""
        assert self._process
        return self._process.pid

    def family(self) -> list[int]:
        """Return the server, its workers, and the tools of their filters."""
        server = psutil.Process(self.pid)
        return [server.pid, *(child.pid for child in server.children(recursive=True))]

    def source(self, inlet: str) -> int:
        """Wait until the source of an inlet runs, and return its process: the one in the work folder of the inlet."""
        found: list[int] = []
        run_dir, begin = self.settings.storage.run_dir, f"source-{inlet}-"

        def look() -> list[int]:
            if not list(run_dir.glob(f"{begin}*")):
                return []  # the processes of a server are many to look at
            for process in psutil.Process(self.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    folder = Path(process.cwd())
                    if folder.parent == run_dir and folder.name.startswith(begin):
                        found.append(process.pid)
            return found

        until(look, f"for the source {inlet} to run")
        return found[-1]

    def log(self) -> str:
        """Return what it has written to stderr."""
        return self._log.read_text()

    def tracebacks(self) -> list[str]:
        """Return the first line of each error of its own in the log; those of filters are values within a line.

        The fork server of Python writes one if its server was killed between two parts of a message: it is none.
        """
        found = re.findall(r"^Traceback.*\n(?: .*\n)*.*", self.log(), re.MULTILINE)
        return [one.partition("\n")[0] for one in found if not ("forkserver.py" in one and "\nEOFError" in one)]

    def forget_peak_memory(self) -> None:
        """Let `peak_memory` begin anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak_memory(self) -> int:
        """Return the largest size that its memory had since it began, in bytes."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1]) * 1024

    @cached_property
    def works(self) -> Works:
        """The same data, opened beside the server, as the device at 127.0.0.1."""
        if self.settings.storage.url.startswith("sqlite"):
            databases.migrated(self.settings.storage.url)
        return Works(Engine(self.settings, self.processes), DEVICE)

    def spool(self) -> list[str]:
        """Return all that lies in the spool but its identifier, folders too."""
        folder = self.settings.storage.spool_dir
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path != folder / ID)

    def images(self, token: str) -> list[str]:
        """Return the SHA-256 of every image that the spool has of a job; the server may remove some meanwhile."""
        found = []
        for file in (self.settings.storage.spool_dir / token).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                found.append(digest(file))
        return sorted(found)

    def everything(self) -> object:
        """Return what an observer can compare: the spool, and all jobs with their documents and events."""
        tables = (
            "select token, state, version from job order by token",
            "select token, id, sha256 from document order by token, id",
            "select count(*) from event",
        )
        with contextlib.closing(sqlite3.connect(self.settings.storage.data_dir / "postscan.sqlite")) as database:
            return self.spool(), [database.execute(table).fetchall() for table in tables]

    def store(self, instructions: str, *, users: tuple[str, ...] = (), allow: str = "") -> str:
        """Store a scan process with these instructions (XML) and return its GUID; *allow* is XML behind them."""
        xml = messages.PROCESS.replace(messages.INSTRUCTIONS, instructions)
        xml = xml.replace("</psp:PostScanProcess>", f"{allow}</psp:PostScanProcess>")
        identifier = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{users} {xml}")).upper()
        if identifier not in self.processes.names():
            self.processes.add(xml.encode(), display_name="Test process", users=users, identifier=identifier)
        return identifier


@contextlib.contextmanager
def running(home: Path, settings: Tables | None = None) -> Iterator[Server]:
    """Run a server while the body runs, and leave none of its processes behind."""
    server = Server(home, settings or {})
    try:
        server.start()
        yield server
    finally:
        server.close()


def digest(file: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with file.open("rb") as image:
        return hashlib.file_digest(image, "sha256").hexdigest()


def none_alive(processes: list[int]) -> bool:
    """Return whether all these processes have ended."""
    return not any(map(alive, processes))


def _toml(*layers: Tables) -> str:
    """Write tables as TOML; a later layer's key wins."""
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for name, table in layer.items():
            merged.setdefault(name, {}).update(table)
    lines = []
    for name, table in merged.items():
        lines += [f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())]
    return os.linesep.join(lines)
