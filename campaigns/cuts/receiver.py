"""The server under test, with an inlet of each source, and a look at what it has: jobs, files, open connections."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import messages
import psutil
import samba
from acceptance.scanning import ENDED, instructions
from acceptance.server import SHARE, Server, digest
from destinations import open_folder
from plugin_names import unused
from samba import Samba
from works import PATIENCE, SID, until

LABEL: Final = "Scans"
"""The destination of all files."""

QUIET_SECONDS: Final = 0.5
JOB_SECONDS: Final = 5.0
"""After which a file of the watched folder that is no job is refused."""

_PROCESS: Final = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
_PLUGINS: Final = {"ftp": "ftp", "mail": "smtp", "web": "web"}
"""Of the inlets that listen."""
_WATCHED: Final = "folder"
_SMB_SHARE: Final = "scans"

BLOCK: Final = 1024
"""Bytes that the file server takes at once, so that a client of it can be cut within a file."""


@dataclass(frozen=True)
class StoredJob:
    """A job of the database: its pages are SHA-256 and size."""

    token: str
    state: str
    pages: tuple[tuple[str, int], ...]


class Receiver:
    """A running server, and the file server whose share one inlet watches, if there is one; `ports` are of inlets."""

    def __init__(self, server: Server, smb: Samba | None) -> None:
        self.server = server
        self.ports: dict[str, int] = {}
        self._smb = smb
        self._processes: dict[str, int] = {}
        self._work_files: set[str] | None = None
        self._held: dict[str, int] = {}

    @property
    def smb(self) -> Samba:
        """The file server."""
        assert self._smb is not None
        return self._smb

    @property
    def watched(self) -> Path:
        """The watched folder, which is the one of the share."""
        return self.smb.shares[_SMB_SHARE]

    def smbclient(self, commands: str) -> list[str]:
        """Return the command that runs these commands of smbclient on the share."""
        return self.smb.client(_SMB_SHARE, commands)

    # --- the processes of its sources ----------------------------------------------------------------------------

    def await_inlets(self) -> None:
        """Wait until all sources run, and learn at which ports they listen."""
        until(self._are_running, "for the sources to listen")

    def ended_sources(self) -> list[str]:
        """Return a sentence for each source whose process is not the one that it was at first."""
        running = self._running()
        return [
            f"the source of {inlet} has ended, and runs as process {running.get(inlet)}"
            for inlet, process in self._processes.items()
            if running.get(inlet) != process
        ]

    def arrived(self, inlet: str) -> int:
        """Return the size of the largest file in the work folder of an inlet; -1 if it is empty."""
        sizes = [-1]
        for folder in self.server.settings.storage.run_dir.glob(f"source-{inlet}-*"):
            for file in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    sizes.append(file.stat().st_size)
        return max(sizes)

    def _are_running(self) -> bool:
        """Find the processes and the ports of the sources; return whether all are there."""
        self._processes = self._running()
        found = {inlet: _listening(self._processes[inlet]) for inlet in _PLUGINS if inlet in self._processes}
        self.ports = {inlet: port for inlet, port in found.items() if port}
        inlets = {*_PLUGINS, *([_WATCHED] if self._smb else [])}
        return self._processes.keys() >= inlets and self.ports.keys() == _PLUGINS.keys()

    def _running(self) -> dict[str, int]:
        """Return the processes of the sources, by their inlets: each is in a work folder of its own."""
        run_dir = self.server.settings.storage.run_dir.resolve()
        found = {}
        for process in psutil.Process(self.server.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                folder = Path(process.cwd())
                if folder.parent == run_dir and folder.name.startswith("source-"):
                    found[folder.name.split("-")[1]] = process.pid
        return found

    # --- jobs ----------------------------------------------------------------------------------------------------

    def jobs(self) -> list[StoredJob]:
        """Return all jobs."""
        query = "select job.token, state, sha256, size from job left join document on document.token = job.token"
        found = self._select(f"{query} order by job.token, id")
        return [
            StoredJob(token, state, tuple((sha256, size) for _, _, sha256, size in rows if sha256))
            for (token, state), rows in groupby(found, key=lambda row: row[:2])
        ]

    def await_ended(self) -> None:
        """Wait until all jobs have ended."""
        marks = ", ".join("?" * len(ENDED))
        query = f"select token from job where state not in ({marks})"
        until(lambda: not self._select(query, *ENDED), "for all jobs to end")

    def await_stored(self, sha256: str) -> None:
        """Wait until a job has all its pages, and this is one of them."""
        until(lambda: any(state != "Creating" for state in self._states(sha256)), "for a job to be stored")

    def await_completed(self, sha256: str) -> None:
        """Wait until a job with this page is Completed."""
        until(lambda: "Completed" in self._states(sha256), "for a job to be Completed")

    def delivered(self) -> Counter[str]:
        """Return the SHA-256 of the files on the share of the filter."""
        return Counter(digest(path) for path in self.server.share.rglob("*") if path.is_file())

    def _states(self, sha256: str) -> list[str]:
        """Return the states of the jobs with this page."""
        query = "select state from job join document on document.token = job.token where sha256 = ?"
        return [state for (state,) in self._select(query, sha256)]

    def _select(self, query: str, *values: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.server.settings.storage.data_dir / "postscan.sqlite")) as database:
            return database.execute(query, values).fetchall()

    # --- what is left --------------------------------------------------------------------------------------------

    def begin_rest(self) -> None:
        """Take what there is now for what there is when the server does nothing."""
        self.await_ended()
        self._note_rest()

    def left(self, patience: float = PATIENCE) -> list[str]:
        """Wait until there is nothing more than when the server does nothing; return what is left all the same."""
        try:
            until(lambda: not self._left(), patience=patience)
        except AssertionError:
            return self._left()
        self._note_rest()
        return []

    def _left(self) -> list[str]:
        """Return what is in the spool without a row, what is more in work folders, and what sources hold open."""
        found = self.server.works.core.compare_spool()
        spool = [f"in the spool: {key}" for key in (*found.unknown, *found.incomplete, *found.damaged)]
        files = [f"in a work folder: {file}" for file in sorted(self._files() - (self._work_files or set()))]
        held = self._held_open()
        more = {inlet: count - self._held[inlet] for inlet, count in held.items() if count > self._held[inlet]}
        return spool + files + [f"open in the source of {inlet}: {count}" for inlet, count in more.items()]

    def _note_rest(self) -> None:
        """Lower what there is at rest: the first look may have come too early."""
        files = self._files()
        self._work_files = files if self._work_files is None else self._work_files & files
        held = self._held_open()
        self._held = {inlet: min(count, self._held.get(inlet, count)) for inlet, count in held.items()}

    def _files(self) -> set[str]:
        """Return all files of the runs of filters, of the work folders of sources, and of what sources keep."""
        storage = self.server.settings.storage
        found = set()
        for place in (storage.run_dir, storage.sources_dir):
            for folder, _, names in os.walk(place):
                found |= {str(Path(folder, name).relative_to(storage.data_dir)) for name in names}
        return found

    def _held_open(self) -> dict[str, int]:
        """Return how many sockets, and files of its work folder, each source has open: a mail has no name there."""
        run_dir = str(self.server.settings.storage.run_dir.resolve())
        return {
            inlet: sum(target.startswith(("socket:", run_dir)) for target in _open_files(process))
            for inlet, process in self._processes.items()
        }


def _open_files(process: int) -> Iterator[str]:
    """Yield what the descriptors of a process lead to; nothing if it has ended."""
    with contextlib.suppress(FileNotFoundError):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(descriptor.readlink())


def _listening(process: int) -> int:
    """Return the port at which a process listens; 0 if it listens at none."""
    with contextlib.suppress(psutil.Error):
        for one in psutil.Process(process).net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN:
                return int(one.laddr.port)
    return 0


@contextlib.contextmanager
def receiving(home: Path, *, watches: bool) -> Iterator[Receiver]:
    """Run a server on data below *home*; with *watches* it has an inlet for a folder, which is a share of smbd."""
    with contextlib.ExitStack() as stack:
        smb = stack.enter_context(_file_server()) if watches else None
        server = Server(home, _settings(smb))
        xml = messages.PROCESS.replace(messages.INSTRUCTIONS, instructions(f"share {SHARE}"))
        server.processes.add(xml.encode(), display_name=LABEL, users=(), identifier=_PROCESS)
        stack.callback(server.stop)
        server.start()
        stack.callback(server.works.core.close)
        receiver = Receiver(server, smb)
        receiver.await_inlets()
        yield receiver


@contextlib.contextmanager
def _file_server() -> Iterator[Samba]:
    with open_folder() as home, samba.samba(home, {_SMB_SHARE: {}}, smb2_max_write=str(BLOCK)) as smb:
        yield smb


def _settings(smb: Samba | None) -> dict[str, dict[str, Any]]:
    devices = ["127.0.0.0/8"]
    inlets: dict[str, dict[str, Any]] = {
        f"sources.{inlet}": {"plugin": plugin, "port": 0, "devices": devices} for inlet, plugin in _PLUGINS.items()
    }
    inlets["sources.ftp"]["port"] = samba.free_port()  # 0 would be none
    if smb is not None:
        inlets[f"sources.{_WATCHED}"] = {
            "plugin": "folder",
            "folder": str(smb.shares[_SMB_SHARE]),
            "quiet_seconds": QUIET_SECONDS,
            "job_seconds": JOB_SECONDS,
        }
    return {
        "plugins": {"disabled": unused("fileshare", "folder", *_PLUGINS.values())},
        "destinations.scans": {"label": LABEL, "process": _PROCESS, "user": SID},
        **inlets,
    }
