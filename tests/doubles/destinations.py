"""Real folders that refuse: one that may not be written, and a disk that is full."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """Lend a folder that every user may enter and write, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="postscan-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Let the body run as a user whom file permissions bind, even if the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Lend a file system of *size* bytes; the test is skipped, and says so, where none can be mounted.

    *folder* must be empty. Who is not root mounts it in a name space of their own, which /proc shows to us.
    """
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "postscan-test", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    point = folder.with_name(f"{folder.name}.disk")
    point.mkdir()
    mount[-1] = str(point)
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{shlex.join(mount)} && echo mounted && read _"]
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as keeper:
        if keeper.stdout.readline() != b"mounted\n":
            pytest.skip("a full disk needs a small file system, and this user may not mount one")
        folder.rmdir()
        folder.symlink_to(f"/proc/{keeper.pid}/root{point}")
        try:
            yield folder
        finally:
            keeper.stdin.close()
