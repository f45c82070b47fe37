"""A file of a source: only a regular one of its folder is opened, and it is moved only if nothing can write it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postscan.core.errors import OriginRefused
from postscan.core.sources.page_file import PageFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a source, beside a file that is not its own."""
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "work"
    (folder / "below").mkdir(parents=True)
    (folder / "page").write_bytes(b"page")
    (folder / "below" / "page").write_bytes(b"below")
    return folder


def content(folder: Path, path: str) -> bytes:
    """Return what is copied of a page."""
    with PageFile(folder, path) as page:
        return b"".join(page.chunks())


def test_a_file_of_the_folder_is_read(folder: Path) -> None:
    """Also one in a folder below."""
    assert content(folder, "page") == b"page"
    assert content(folder, "below/page") == b"below"


def link_of_the_file(folder: Path) -> str:
    (folder / "link").symlink_to(folder.parent / "secret")
    return "link"


def link_of_its_folder(folder: Path) -> str:
    (folder / "up").symlink_to(folder.parent)
    return "up/secret"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "pipe"


def socket_file(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    return "socket"


@pytest.mark.parametrize(
    "path",
    [
        link_of_the_file,
        link_of_its_folder,
        pipe,
        socket_file,
        lambda folder: "below",
        lambda folder: "missing",
        lambda folder: "",
        lambda folder: ".",
        lambda folder: "../secret",
        lambda folder: "below/../../secret",
        lambda folder: str(folder.parent / "secret"),
        lambda folder: "/dev/zero",
        lambda folder: "page/page",
        lambda folder: "x" * 300,
    ],
    ids=range(14),
)
def test_nothing_else_is(folder: Path, path: Callable[[Path], str]) -> None:
    """T-S4: no link is followed, no device, pipe or socket is opened, and nothing waits."""
    with pytest.raises(OriginRefused, match="the page"):
        content(folder, path(folder))


def test_a_file_that_cannot_be_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes end with an error of the disk."""

    def broken(*_arguments: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with PageFile(folder, "page") as page, pytest.raises(OriginRefused, match="cannot be read"):
        monkeypatch.setattr(os, "readv", broken)
        list(page.chunks())


def moved(folder: Path, meanwhile: Callable[[], object] = lambda: None) -> bool:
    """Return whether the file `below/page` could be moved; *meanwhile* happens when it is open."""
    target = folder.parent / "spooled"
    target.write_bytes(b"")
    with PageFile(folder, "below/page") as page:
        meanwhile()
        return page.move_to(target)


def test_a_file_can_be_moved(folder: Path) -> None:
    """Then it is not copied; it has the permissions of the spool."""
    (folder / "below" / "page").chmod(0o666)

    assert moved(folder)
    assert (folder.parent / "spooled").read_bytes() == b"below"
    assert stat.S_IMODE((folder.parent / "spooled").stat().st_mode) == 0o600
    assert list((folder / "below").iterdir()) == []


def test_a_file_with_another_name_is_not_moved(folder: Path) -> None:
    """By that name it could be written when it is a page of a job."""
    assert not moved(folder, lambda: os.link(folder / "below" / "page", folder / "other"))
    assert (folder / "below" / "page").exists()


def test_a_file_that_is_open_for_writing_is_not_moved(folder: Path) -> None:
    """T-S4: its source could go on writing; a mapping of the file counts as well."""
    for writes in (lambda: os.open(folder / "below" / "page", os.O_WRONLY), lambda: mapped(folder / "below" / "page")):
        with contextlib.ExitStack() as opened:
            held = writes()
            opened.callback(os.close if isinstance(held, int) else type(held).close, held)
            assert not moved(folder)
    assert (folder / "below" / "page").read_bytes() == b"below"
    assert moved(folder)


def mapped(path: Path) -> mmap.mmap:
    """Return a mapping of a file through which it can be written; the file itself is closed."""
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def test_a_file_that_is_exchanged_while_it_is_moved_is_refused(folder: Path) -> None:
    """T-S4: what was opened is what counts."""

    def exchange() -> None:
        (folder / "below" / "page").rename(folder / "page")
        (folder / "below" / "page").write_bytes(b"another")

    with pytest.raises(OriginRefused, match="changed while it was taken"):
        moved(folder, exchange)


def test_a_file_that_is_opened_for_writing_while_it_is_moved_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-S4: the kernel says so by a signal that is ignored, and keeps the other process waiting until it is known."""
    rename = os.rename

    def opened(source: str, target: Path, *, src_dir_fd: int) -> None:
        program = "import os, sys\ntry: os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)\nexcept OSError: pass"
        subprocess.run([sys.executable, "-c", program, folder / "below" / "page"], check=True)
        rename(source, target, src_dir_fd=src_dir_fd)

    monkeypatch.setattr(os, "rename", opened)
    with pytest.raises(OriginRefused, match="changed while it was taken"):
        moved(folder)


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EAGAIN])
def test_without_leases_a_file_is_not_moved(folder: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Some file systems have none."""

    def refuse(*_arguments: object) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "fcntl", refuse)

    assert not moved(folder)


def test_a_file_is_not_moved_to_another_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is copied there."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "rename", refuse)

    assert not moved(folder)
    assert (folder / "below" / "page").read_bytes() == b"below"


def test_a_file_that_is_gone_is_not_moved(folder: Path) -> None:
    """Its bytes can still be copied."""
    assert not moved(folder, (folder / "below" / "page").unlink)
