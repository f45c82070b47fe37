"""Who may write to the folder gets nothing out of this machine by it, removes nothing else, and holds up nothing."""

from __future__ import annotations

import os
import resource
import socket
import stat
import time
from pathlib import Path

import pytest
from destinations import NOBODY
from watched_folders import QUIET, StartFolder, WatchedFolder, png
from works import until

from postscan.plugins.sources.folder import tracking

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away, and make devices")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture outside the folder."""
    path = tmp_path / "secret.png"
    path.write_bytes(png(7))
    return path


def test_a_symbolic_link_is_not_followed(watched: WatchedFolder, secret: Path) -> None:
    """Neither to a file nor to a folder; the link itself is refused."""
    (watched.path / "scan.png").symlink_to(secret)
    (watched.path / "loop").symlink_to("loop")

    assert "it is a symbolic link" in watched.wait_for_refused("scan.png")
    assert "it is a symbolic link" in watched.wait_for_refused("loop")
    assert secret.read_bytes() == png(7)
    assert watched.server.requests == []


def test_the_folder_of_a_destination_is_no_link(start: StartFolder, tmp_path: Path, secret: Path) -> None:
    """It would lead to files elsewhere."""
    (tmp_path / "watched" / "Letters").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    secret.rename(tmp_path / "elsewhere" / "secret.png")
    (tmp_path / "watched" / "Invoices").symlink_to(tmp_path / "elsewhere")
    watched = start(destinations=("Invoices", "Letters"))
    watched.put("Letters/scan.png", png())
    watched.server.wait_for_jobs(1)

    assert watched.server.health[0] == ("degraded", "there is no folder for 'Invoices' (or d1)")
    assert [job.request.destination for job in watched.server.jobs] == ["d2"]
    assert (tmp_path / "elsewhere" / "secret.png").exists()


def test_the_folder_for_refused_files_is_no_link(start: StartFolder, tmp_path: Path) -> None:
    """Nothing is moved or written elsewhere through it; the file stays."""
    (tmp_path / "watched").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "watched" / "refused").symlink_to(tmp_path / "elsewhere")
    watched = start(about={"job_seconds": 0.5})
    (watched.path / "pipe").symlink_to("/nowhere")
    watched.put("scan.txt", b"no scan")
    fields = watched.wait_for_logged("file refused")
    time.sleep(1.0)

    assert "cannot be moved" in fields["reason"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len([line for line in watched.server.log if line.message == "file refused"]) <= 3


def test_a_hard_link_is_no_job(start: StartFolder, secret: Path) -> None:
    """It may be a file outside; it is one if the other name goes in time."""
    watched = start(about={"job_seconds": 2.0})
    (watched.path / "scan.png").hardlink_to(secret)
    (watched.path / "mine.png").hardlink_to(watched.put("mine.png.part", png()))
    time.sleep(2 * QUIET)
    assert watched.server.requests == []
    (watched.path / "mine.png.part").unlink()

    assert "it has a second name" in watched.wait_for_refused("scan.png")
    assert [job.pages for job in watched.wait_for_jobs(1)] == [[png()]]
    assert secret.read_bytes() == png(7)


def test_a_pipe_and_a_socket_hold_up_nothing(watched: WatchedFolder) -> None:
    """They are refused, and the next file is a job."""
    os.mkfifo(watched.path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(watched.path, os.O_RDONLY)
        one.bind(f"/proc/self/fd/{here}/socket.png")
        os.close(here)
    watched.put("scan.png", png())

    assert "it is a pipe" in watched.wait_for_refused("pipe.png")
    assert "it is a socket" in watched.wait_for_refused("socket.png")
    assert len(watched.server.wait_for_jobs(1)) == 1


@ONLY_ROOT
def test_a_device_is_not_opened(watched: WatchedFolder) -> None:
    """Opening some does things."""
    try:
        os.mknod(watched.path / "scan.png", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices can be made here")

    assert "it is a device" in watched.wait_for_refused("scan.png")


@ONLY_ROOT
def test_only_the_files_of_some_users_are_taken(start: StartFolder) -> None:
    """If the settings say so."""
    watched = start(owners=[str(NOBODY)])
    watched.put("mine.png", png(1))
    path = watched.put("theirs.png.part", png(2))
    os.chown(path, NOBODY, NOBODY)
    path.rename(watched.path / "theirs.png")

    assert "whose files are not taken" in watched.wait_for_refused("mine.png")
    assert [job.pages for job in watched.wait_for_jobs(1)] == [[png(2)]]


def test_a_file_that_is_too_large_is_not_copied(start: StartFolder) -> None:
    """Not a byte of it."""
    watched = start(most_bytes=len(png()))
    watched.put("scan.png", png() + b"\0")

    assert f"expected at most {len(png())}" in watched.wait_for_refused("scan.png")
    watched.put("scan.png", png())
    assert len(watched.wait_for_jobs(1)) == 1


def test_a_file_above_the_limit_of_the_process_is_refused(watched: WatchedFolder) -> None:
    """It is not tried again and again."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    watched.put("scan.part", png())
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(png()) - 1, before[1]))
    try:
        (watched.path / "scan.part").rename(watched.path / "scan.png")
        reason = watched.wait_for_refused("scan.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert "larger than a file of this process may be" in reason


def test_names_are_any_bytes(watched: WatchedFolder) -> None:
    """Not UTF-8, with a line end, as long as can be; what is refused keeps its bytes."""
    names = [b"Gr\xfc\xdfe.png", b"two\nlines.png", b"x" * 251 + b".png", b"-rf *.png", "日本.png".encode()]
    for seed, name in enumerate(names):
        (watched.path / os.fsdecode(name)).write_bytes(png(seed))
    jobs = watched.wait_for_jobs(len(names))
    for name in names:
        (watched.path / os.fsdecode(name)).symlink_to("/nowhere")
    refused = watched.path / "refused"
    until(lambda: refused.exists() and len(list(refused.iterdir())) == 2 * len(names), "they are refused")

    assert {job.request.name for job in jobs} == {name.decode("utf-8", "replace") for name in names}
    assert set(names) < {os.fsencode(path.name) for path in refused.iterdir()}


def test_a_folder_with_very_many_files_costs_the_memory_of_some(
    start: StartFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They all become jobs; what stays half makes room when it is refused."""
    monkeypatch.setattr(tracking, "MOST", 5)
    (tmp_path / "watched").mkdir()
    for number in range(15):
        (tmp_path / "watched" / f"half{number}.png").write_bytes(png(number, (9, 9))[:-1])
        (tmp_path / "watched" / f"whole{number}.png").write_bytes(png(number, (9, 9)))
    watched = start(about={"job_seconds": 1.0}, poll_seconds=0.1)

    assert len(watched.wait_for_jobs(15)) == 15
    assert len(list((watched.path / "refused").glob("half*.png"))) == 15
