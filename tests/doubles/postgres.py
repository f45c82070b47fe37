"""A PostgreSQL server of the tests' own, from Debian's package: made in a temporary folder, on a socket in it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOT_HERE = "PostgreSQL is not installed; on Debian: apt-get install postgresql"


def programs() -> Path | None:
    """Return the folder of initdb and postgres, the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a server while the body runs; lend the URL of its database `postgres`."""
    folder = programs()
    if folder is None:
        raise FileNotFoundError(NOT_HERE)
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    as_nobody = _as_nobody(home)
    data = home / "data"
    try:
        _run(*as_nobody, folder / "initdb", "-D", data, "-U", "postscan", "--auth=trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories='{home}' -c fsync=off"
        _run(*as_nobody, folder / "pg_ctl", "-D", data, "-w", "-o", options, "-l", home / "log", "start")
        try:
            yield f"postgresql+psycopg://postscan@/postgres?host={home}"
        finally:
            _run(*as_nobody, folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


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
