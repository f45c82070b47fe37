"""A PostgreSQL server of the tests' own, from Debian's package: made in a temporary folder, on a socket in it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from templates import template

NOT_HERE = "PostgreSQL is not installed; on Debian: apt-get install postgresql"


def programs() -> Path | None:
    """Return the folder of initdb and postgres, the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


@contextlib.contextmanager
def server(*, autovacuum: bool = False) -> Iterator[str]:
    """Run a server while the body runs; lend the URL of its database `postgres`."""
    with running(autovacuum=autovacuum) as postgres:
        yield postgres.url


@contextlib.contextmanager
def running(*, autovacuum: bool = False, synced: bool = False) -> Iterator[Postgres]:
    """Run a server while the body runs, which may stop it, kill it and start it again.

    *autovacuum* visits each database once a minute, and hundreds of tests have one each: they do without it. With
    *synced* commits are on the disk, as on every server but those of tests.
    """
    folder = programs()
    if folder is None:
        raise FileNotFoundError(NOT_HERE)
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    postgres = Postgres(folder, home, autovacuum=autovacuum, synced=synced)
    try:
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Postgres:
    """A PostgreSQL server on data of its own below *home*; `url` is that of its database `postgres`."""

    def __init__(self, programs: Path, home: Path, *, autovacuum: bool = False, synced: bool = False) -> None:
        self.url = f"postgresql+psycopg://postscan@/postgres?host={home}"
        self._home = home
        self._data = home / "data"
        self._programs = programs
        self._autovacuum = "on" if autovacuum else "off"
        self._fsync = "on" if synced else "off"
        self._user = _as_nobody(home)
        _run(*self._user, "cp", "-a", template("postgresql", self._initialise) / "data", self._data)

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._home}' -c fsync={self._fsync}"
        options += f" -c autovacuum={self._autovacuum}"
        self._run("pg_ctl", "-w", "-o", options, "-l", self._home / "log", "start")

    def stop(self) -> None:
        """End it and all connections at once, if it runs."""
        if self._processes():
            self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes, the first one last; after SIGKILL, wait for their end."""
        processes = self._processes()
        for one in reversed(processes):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        if number is signal.SIGKILL:
            psutil.wait_procs(processes, 10)

    @contextlib.contextmanager
    def taking_no_connections(self) -> Iterator[None]:
        """Let nothing but new connections wait while the body runs: the process that starts the others stands still."""
        first = self._processes()[0]
        first.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            first.send_signal(signal.SIGCONT)

    def _processes(self) -> list[psutil.Process]:
        """Return its processes, the one that started the others first; an empty list if it does not run."""
        try:
            first = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
            return [first, *first.children(recursive=True)]
        except (FileNotFoundError, psutil.NoSuchProcess):
            return []

    def _initialise(self, folder: Path) -> None:
        user, data = _as_nobody(folder), folder / "data"
        _run(*user, self._programs / "initdb", "-D", data, "-U", "postscan", "--auth=trust", "--no-sync", "-E", "UTF8")

    def _run(self, program: str, *arguments: object) -> None:
        _run(*self._user, self._programs / program, "-D", self._data, *arguments)


def _as_nobody(home: Path) -> list[str]:
    """PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def _run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
