"""Running the file share filter with a real SMB server, and looking at what is on its shares afterwards."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from samba import NAME, Samba, bound

from postscan.plugins.filters.fileshare import FileShare, Instructions
from postscan.plugins.testing import RunResult, run_filter

USER = "anna@fabrikam.example"
NAMES = [f"Scan_{USER}_20260302-094107_{id:03d}.{suffix}" for id, suffix in ((1, "png"), (2, "tif"))]
ONE, TWO = rf"\\{NAME}\one", rf"\\{NAME}\two"
SHARES: dict[str, dict[str, str]] = {
    "one": {},
    "two": {},
    "readonly": {"read only": "yes"},
    "locked": bound(),
    "private": {"valid users": "nosuchuser"},
    "small": {},
    "sealed": {"smb encrypt": "required"},
    "linked": {"msdfs root": "yes"},
}


def run(
    server: Samba,
    files: list[Path],
    *uncs: str,
    shares: dict[str, str] | None = None,
    line: dict[str, Any] | None = None,
    **how: Any,
) -> RunResult:
    """Run the filter with this server and return its result; `line` changes the server's line in the settings."""
    settings = {"servers": server.settings(**(line or {})), "shares": shares or {}}
    return run_filter(FileShare(), files, instructions=Instructions(uncs or (ONE,)), settings=settings, **how)


def stored(server: Samba) -> dict[str, bytes]:
    """Return the content of every file, by share/folder/name, once the server has seen which connections are gone."""
    end = time.monotonic() + 60
    while True:
        found = _contents(server)
        if found is not None and (time.monotonic() > end or not any(name.endswith(".part") for name in found)):
            return found
        time.sleep(0.02)


def _contents(server: Samba) -> dict[str, bytes] | None:
    """Return the content of every file; None if one was removed while it was read."""
    with suppress(FileNotFoundError):
        return {name: path.read_bytes() for name, path in _found(server)}
    return None


def empty(folder: Path) -> None:
    """Remove everything from a share; and the small disk that stood in for it, which is gone by now."""
    if folder.is_symlink():
        folder.unlink()
        folder.mkdir()
    folder.chmod(0o777)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


@contextmanager
def calls() -> Iterator[list[tuple[str, int]]]:
    """Lend a list of the hosts and ports that this process looks up or calls meanwhile."""
    if not hasattr(_watch, "added"):
        sys.addaudithook(_watch)  # for good: Python never takes one back
        _watch.added = True  # type: ignore[attr-defined]  # functions may carry a mark
    _CALLS.clear()
    _WATCHED.set()
    try:
        yield _CALLS
    finally:
        _WATCHED.clear()


_CALLS: list[tuple[str, int]] = []
_WATCHED = threading.Event()


def _watch(event: str, args: Any) -> None:
    if _WATCHED.is_set() and event == "socket.getaddrinfo":
        _CALLS.append(args[:2])
    if _WATCHED.is_set() and event == "socket.connect":
        _CALLS.append(args[1][:2])


def _found(server: Samba) -> list[tuple[str, Path]]:
    return sorted(
        (f"{share}/{path.relative_to(folder)}", path)
        for share, folder in server.shares.items()
        for path in folder.rglob("*")
        if path.is_file()
    )
