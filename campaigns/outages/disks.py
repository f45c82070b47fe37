"""Small file systems of one's own: mounted, filled, made read-only.

The mounts are made in a mount namespace of the campaign (unshare(1)), which ends with it, so a killed campaign leaves
none. `in_own_namespace` starts the campaign again in one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
FILE_SYSTEMS: Final = ("tmpfs", "ext4")
_MARK: Final = "POSTSCAN_CAMPAIGN_NAMESPACE"  # set where the namespace is the campaign's own
_FILLER: Final = "taken-by-another-program"
_PAUSE: Final = 0.05  # seconds after which what became free is taken as well
_PIECES: Final = (MIB, 4096, 1)


class NotPossible(Exception):
    """This machine, or this user, has not what an outage needs."""


def in_own_namespace() -> None:
    """Run this program again in a mount namespace of its own, unless it is in one; raise `NotPossible`."""
    if os.geteuid() != 0:
        raise NotPossible("mounting file systems needs root")
    if os.environ.get(_MARK):
        return
    if shutil.which("unshare") is None:
        raise NotPossible("unshare is not installed; on Debian: apt-get install util-linux")
    command = ["unshare", "--mount", "--propagation", "private"]
    found = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise NotPossible(f"a mount namespace is not permitted here: {found.stderr.strip()}")
    sys.stdout.flush()
    os.execvpe(command[0], [*command, *sys.orig_argv], os.environ | {_MARK: "1"})


@contextlib.contextmanager
def mounted(kind: str, folder: Path, size: int, image: Path) -> Iterator[None]:
    """Mount an empty file system of *size* bytes on *folder* while the body runs; raise `NotPossible`.

    *image* is the file that ext4 lies in.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if kind == "tmpfs":
        what, options = "postscan", f"size={size},mode=0700"
    else:
        with image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096", str(image))
        what, options = str(image), "loop"
    _run("mount", "-t", kind, "-o", options, what, str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Let another program take every byte of the folder's file system while the body runs, also what becomes free."""
    over = threading.Event()
    path = folder / _FILLER
    with path.open("wb", buffering=0) as file:
        _fill(file.fileno())
        thread = threading.Thread(target=_go_on_filling, args=(file.fileno(), over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
    path.unlink()


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let every path below *folder* be read-only while the body runs.

    A file system that has files open for writing cannot be remounted read-only; a second mount of it above the first
    one can. What is open already can be written, the database too; every new file is refused, and so each image.
    """
    _run("mount", "--bind", str(folder), str(folder))
    try:
        _run("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def _fill(file: int) -> None:
    for size in _PIECES:
        with contextlib.suppress(OSError):
            while True:
                os.write(file, bytes(size))


def _go_on_filling(file: int, over: threading.Event) -> None:
    while not over.wait(_PAUSE):
        _fill(file)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NotPossible(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise NotPossible(f"{' '.join(command)}: {done.stderr.strip()}")
