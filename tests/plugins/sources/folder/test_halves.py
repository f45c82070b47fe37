"""A file that is not complete is no job, however it is written; and one that stays so is refused."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import image_files
import pdf_files
import pytest
from source_server import BroughtJob
from watched_folders import QUIET, StartFolder, WatchedFolder, png
from works import until

from postscan.core.filters.source.messages import EndRequest, OpenRequest, PageRequest, Request

NUMBER = 10
"""Cuts here; the campaign does 200."""

SOON = {"job_seconds": 2.0}
"""A file that has not changed for so long is refused."""

WRITER = """
import sys, time
data = bytes.fromhex(sys.stdin.read())
with open(sys.argv[1], "wb", buffering=0) as file:
    for at in range(0, len(data), 4096):
        file.write(data[at : at + 4096])
        time.sleep(0.05)
"""
"""A program that writes a file slowly."""


def test_a_file_that_is_cut_anywhere_is_no_job(start: StartFolder) -> None:
    """All of them are refused when they have stayed so, with the reason beside them; the whole one is a job."""
    watched = start(about=SOON)
    chosen = random.Random(7)
    cuts = [0, 1, 7, 8, len(png()) - 1, *(chosen.randrange(1, len(png())) for _ in range(NUMBER))]
    for cut in sorted(set(cuts)):
        watched.put(f"{cut}.png", png()[:cut])
    watched.put("whole.png", png())
    (job,) = watched.wait_for_jobs(1)

    assert job.request.name == "whole.png"
    assert "it is empty" in watched.wait_for_refused("0.png")
    assert "it is not whole" in watched.wait_for_refused(f"{len(png()) - 1}.png")
    assert "it is not a scan" in watched.wait_for_refused("1.png")
    assert "it has not changed for" in watched.wait_for_refused("8.png")
    assert [type(one) for one in watched.server.requests] == [OpenRequest, PageRequest, EndRequest]


def test_a_file_that_is_written_slowly_is_one_job_when_it_is_whole(watched: WatchedFolder) -> None:
    """With pauses that are longer than the quiet time, and the file closed in each of them."""
    data, path = png(), watched.path / "scan.png"
    for at in range(0, len(data), len(data) // 3):
        with path.open("ab") as file:
            file.write(data[at : at + len(data) // 3])
        if path.stat().st_size < len(data):
            time.sleep(2 * QUIET)
            assert watched.server.jobs == []
    (job,) = watched.wait_for_jobs(1)

    assert job.pages == [data]


def test_a_file_that_is_open_for_writing_is_no_job(watched: WatchedFolder) -> None:
    """Although it is whole: a scanner adds a page to its PDF, a client has made its file as long as it will be."""
    data = pdf_files.scanned()
    with (watched.path / "scan.pdf").open("wb", buffering=0) as file:
        file.write(data)
        time.sleep(6 * QUIET)
        assert watched.server.requests == []
    (job,) = watched.wait_for_jobs(1)

    assert job.pages == [data]


def test_a_whole_file_to_which_more_comes_within_the_quiet_time_is_one_job(start: StartFolder) -> None:
    """A scanner that closes its file after each page, and opens it again for the next one."""
    watched = start(quiet_seconds=2.0)
    for number in range(4):
        watched.put("scan.png", png(number))
        time.sleep(0.3)
    (job,) = watched.wait_for_jobs(1)

    assert job.pages == [png(3)]


def test_a_writer_that_is_killed_makes_no_job(start: StartFolder) -> None:
    """Its half is refused; what it writes the next time is a job."""
    watched = start(about=SOON)
    command = [sys.executable, "-c", WRITER, str(watched.path / "scan.png")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(png().hex())
        process.stdin.close()
        until(lambda: (watched.path / "scan.png").exists() and (watched.path / "scan.png").stat().st_size, "it writes")
        process.kill()
    watched.wait_for_refused("scan.png")
    watched.put("scan.png", png())

    assert watched.wait_for_jobs(1)[0].pages == [png()]


# --- written again ---------------------------------------------------------------------------------------------------


def written_at(watched: WatchedFolder, kind: type[Request], data: bytes) -> list[BroughtJob]:
    """Put a file, replace its content by *data* in place at the first request of a kind; return the jobs."""
    written: list[Request] = []

    def write(request: Request) -> None:
        if isinstance(request, kind) and not written:
            written.append(request)
            watched.put("scan.png", data)

    watched.server.on_request = write
    watched.put("scan.png", png(1))
    watched.server.wait_for(lambda: written)
    return watched.wait_for_jobs(2)


@pytest.mark.parametrize("kind", [OpenRequest, PageRequest, EndRequest])
def test_a_file_that_is_written_again_while_it_is_stored_is_another_job(
    watched: WatchedFolder, kind: type[Request]
) -> None:
    """What was copied is the first one, and what is removed is never more than what was copied."""
    assert [job.pages for job in written_at(watched, kind, png(2))] == [[png(1)], [png(2)]]


def test_a_file_that_is_opened_again_while_it_is_stored_stays_until_it_is_closed(watched: WatchedFolder) -> None:
    """What its writer adds is not lost with the name; if it adds nothing, it was one job."""
    opened = []

    def open_again(request: Request) -> None:
        if isinstance(request, EndRequest) and not opened:
            opened.append((watched.path / "scan.png").open("r+b"))

    watched.server.on_request = open_again
    watched.put("scan.png", png())
    watched.server.wait_for_jobs(1)
    reason = watched.wait_for_logged("file not removed")["reason"]
    assert watched.left() == ["scan.png"]
    opened[0].close()
    watched.wait_for_jobs(1)

    assert reason == "a program has it open for writing"
    assert len(watched.server.jobs) == 1


def test_another_file_that_gets_the_name_meanwhile_is_not_removed(watched: WatchedFolder, tmp_path: Path) -> None:
    """It is a job of its own."""
    (tmp_path / "next.png").write_bytes(png(2))

    def replace(request: Request) -> None:
        if isinstance(request, EndRequest) and (tmp_path / "next.png").exists():
            (tmp_path / "next.png").rename(watched.path / "scan.png")

    watched.server.on_request = replace
    watched.put("scan.png", png(1))

    assert [job.pages for job in watched.server.wait_for_jobs(2)] == [[png(1)], [png(2)]]


# --- a rename as the end mark ----------------------------------------------------------------------------------------


def test_a_file_under_a_temporary_name_waits_for_its_rename(watched: WatchedFolder) -> None:
    """However long, and although it is whole."""
    names = ["scan.png.part", "SCAN.TMP", "~scan.png", ".scan.png.Xy12z", "._scan.png"]
    for name in names:
        watched.put(name, png())
    time.sleep(3 * QUIET)
    assert watched.server.requests == []
    (watched.path / "scan.png.part").rename(watched.path / "scan.png")
    watched.server.wait_for_jobs(1)

    assert watched.server.jobs[0].request.name == "scan.png"
    until(lambda: watched.left() == sorted(names[1:]), "the other ones are there")


def odd_tiff() -> bytes:
    """Return a file of a known kind of which cannot be seen whether it is whole."""
    return b"II*\0\x08\0\0\0" + b"\x01\0" + b"\0\x01\x03\0\x01\0\0\0\x01\0\0\0" + b"\x08\0\0\0"  # a ring


def test_a_file_whose_end_cannot_be_seen_needs_the_rename(start: StartFolder) -> None:
    """Without it the file is refused, in time."""
    watched = start(about=SOON)
    watched.put("scan.tif", odd_tiff())

    assert "whether it is whole cannot be seen" in watched.wait_for_refused("scan.tif")
    assert watched.server.jobs == []


def test_a_rename_is_the_end_of_any_scan(start: StartFolder) -> None:
    """It is taken at once, and the server is told that it is whole."""
    watched = start(end_mark="rename", quiet_seconds=3600.0)
    watched.put("scan.part", odd_tiff())
    (watched.path / "scan.part").rename(watched.path / "scan.tif")
    (job,) = watched.wait_for_jobs(1)

    assert job.whole == [True]


def test_a_rename_does_not_make_a_half_whole(start: StartFolder) -> None:
    """The structure of the file says that it is cut."""
    watched = start(end_mark="rename", quiet_seconds=0.1, about=SOON)
    watched.put("scan.part", png()[:-5])
    (watched.path / "scan.part").rename(watched.path / "scan.png")

    assert "it is not whole" in watched.wait_for_refused("scan.png")
    assert watched.server.jobs == []


@pytest.mark.parametrize(
    "name", ["Thumbs.db", "desktop.ini", ".DS_Store", "._scan.png", ".nfs00000001", ".::TMPNAME:D:1"]
)
def test_the_files_of_file_managers_are_left_alone(start: StartFolder, name: str) -> None:
    """They are neither jobs nor refused."""
    watched = start(about={"job_seconds": 0.1}, quiet_seconds=0.1)
    watched.put(name, image_files.baseline())
    watched.put("scan.png", png())
    watched.server.wait_for_jobs(1)
    time.sleep(0.5)

    assert watched.left() == [name]
    assert not (watched.path / "refused").exists()
    assert os.path.lexists(watched.path / name)
