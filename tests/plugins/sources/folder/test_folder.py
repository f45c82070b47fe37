"""Files become jobs: from the folder of one destination, and of several, told by the kernel or by a look."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import image_files
import pytest
from watched_folders import QUIET, StartFolder, WatchedFolder, png, starting
from works import until

from postscan.core.filters import parameters
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.context import SourceContext
from postscan.core.filters.source.messages import (
    Destination,
    EndRequest,
    InletBusy,
    InletStarted,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
    RequestRefused,
    SourceFinished,
)
from postscan.core.model.states import JobState
from postscan.plugins.sources.folder import FolderSource, Settings, intake, mounts, names, postscan_sources
from postscan.plugins.sources.folder import inlet as inlets


def test_a_file_becomes_a_job_and_is_removed(watched: WatchedFolder) -> None:
    """With its bytes, its name, and the folder as what proves it."""
    watched.put("scan.png", png())

    (job,) = watched.wait_for_jobs(1)
    assert job.pages == [png()]
    assert (job.request.name, job.request.proof, job.request.subject) == ("scan.png", "local", str(watched.path))
    assert watched.server.health == [("ready", f"{watched.path}, is told of changes")]
    assert list(watched.server.started.workdir.iterdir()) == []


def test_what_is_there_at_the_start_becomes_a_job(start: StartFolder, tmp_path: Path) -> None:
    """No event tells of it."""
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "scan.png").write_bytes(png())

    assert len(start().wait_for_jobs(1)) == 1


def test_a_file_with_an_old_time_becomes_a_job(watched: WatchedFolder, tmp_path: Path) -> None:
    """It was moved there, from the same file system."""
    elsewhere = tmp_path / "scan.png"
    elsewhere.write_bytes(png())
    os.utime(elsewhere, (0, 0))
    elsewhere.rename(watched.path / "scan.png")

    assert len(watched.wait_for_jobs(1)) == 1


@pytest.mark.parametrize("settings", [{"poll": True, "poll_seconds": 0.1}, {"poll_seconds": 3600.0}])
def test_files_are_found_with_and_without_the_kernel(start: StartFolder, settings: dict[str, object]) -> None:
    """By a look alone, and by what the kernel tells alone."""
    watched = start(**settings)
    for number in range(3):
        watched.put(f"{number}.png", png(number))
        watched.wait_for_jobs(number + 1)

    assert [job.request.name for job in watched.server.jobs] == ["0.png", "1.png", "2.png"]


def test_the_subfolder_of_a_destination_is_for_it(start: StartFolder, tmp_path: Path) -> None:
    """By its label in any case, or by its id; also one that is made later."""
    (tmp_path / "watched" / "invoices").mkdir(parents=True)
    watched = start(destinations=("Invoices", "Letters"))
    watched.put("invoices/1.png", png(1))
    watched.wait_for_jobs(1)
    (watched.path / "d2").mkdir()
    watched.put("d2/2.png", png(2))
    watched.wait_for_jobs(2)

    assert [(job.request.destination, job.request.name) for job in watched.server.jobs] == [
        ("d1", "1.png"),
        ("d2", "2.png"),
    ]
    assert ("degraded", "there is no folder for 'Letters' (or d2)") in watched.server.health
    assert watched.server.health[-1][0] == "ready"


def test_a_folder_that_is_removed_and_made_again_is_watched(start: StartFolder, tmp_path: Path) -> None:
    """The kernel forgets the first one with its inode."""
    (tmp_path / "watched" / "Invoices").mkdir(parents=True)
    watched = start(destinations=("Invoices", "Letters"), poll_seconds=3600.0)
    (watched.path / "Invoices").rmdir()
    watched.server.wait_for(lambda: "'Invoices'" in watched.server.health[-1][1])
    (watched.path / "Invoices").mkdir()
    watched.server.wait_for(lambda: "'Invoices'" not in watched.server.health[-1][1])
    watched.put("Invoices/scan.png", png())

    assert len(watched.wait_for_jobs(1)) == 1


def test_a_file_outside_the_folders_of_destinations_is_refused(start: StartFolder, tmp_path: Path) -> None:
    """With several destinations it cannot be said for whom it is. A folder of another name is left alone."""
    for name in ("Invoices", "Letters", "Other"):
        (tmp_path / "watched" / name).mkdir(parents=True)
    (tmp_path / "watched" / "Other" / "mine.png").write_bytes(png())
    watched = start(destinations=("Invoices", "Letters"))
    watched.put("scan.png", png())

    assert "expected one of Invoices, Letters" in watched.wait_for_refused("scan.png")
    assert watched.wait_for_logged("folder without a destination") == {"file": "Other"}
    assert watched.left() == ["Other/mine.png"]
    assert watched.server.jobs == []


def test_a_full_folder_delays_no_other(start: StartFolder, tmp_path: Path) -> None:
    """Files of each folder are taken in turn."""
    for name in ("Full", "Other"):
        (tmp_path / "watched" / name).mkdir(parents=True)
    for number in range(12):
        (tmp_path / "watched" / "Full" / f"{number}.png").write_bytes(png(number, (9, 9)))
    (tmp_path / "watched" / "Other" / "scan.png").write_bytes(png())
    watched = start(destinations=("Full", "Other"))
    watched.wait_for_jobs(13)

    assert "d2" in [job.request.destination for job in watched.server.jobs][:5]


def test_nothing_is_done_while_nothing_changes(watched: WatchedFolder) -> None:
    """The source's own looks tell it of no change."""
    watched.put("scan.png", png())
    watched.wait_for_jobs(1)
    time.sleep(1.0)  # what its own changes told has been seen
    before = os.times()
    time.sleep(1.0)
    spent = sum(os.times()[:2]) - sum(before[:2])

    assert spent < 0.5


# --- what the server says ------------------------------------------------------------------------------------------


def test_nothing_is_removed_before_the_job_is_stored(watched: WatchedFolder) -> None:
    """Its file is there, whole, until the end is stored."""
    seen = []

    def look(request: Request) -> None:
        if isinstance(request, PageRequest | EndRequest):
            seen.append((watched.path / "scan.png").read_bytes())

    watched.server.on_request = look
    watched.put("scan.png", png())
    watched.wait_for_jobs(1)

    assert seen == [png(), png()]


@pytest.mark.parametrize("kind", [OpenRequest, PageRequest, EndRequest])
def test_a_file_for_which_there_is_no_room_stays_and_comes_again(watched: WatchedFolder, kind: type[Request]) -> None:
    """It is one job in the end."""
    busy: list[Request] = []

    def on_request(request: Request) -> Reply | None:
        if isinstance(request, kind) and not busy:
            busy.append(request)
            assert watched.left() == ["scan.png"]
            return InletBusy(id=request.id, seconds=0.2, full=True)
        return None

    watched.server.on_request = on_request
    watched.put("scan.png", png())
    (job,) = watched.wait_for_jobs(1)

    assert job.pages == [png()]
    assert ("degraded", "the disk is full") in watched.server.health
    until(lambda: watched.server.health[-1][0] == "ready", "it is ready again")


def test_a_disk_that_is_nearly_full_is_left_alone(start: StartFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy is begun that would take the room of the server."""
    monkeypatch.setattr(intake, "SPARE", 1 << 60)
    watched = start(poll_seconds=0.1)
    watched.put("scan.png", png())
    watched.server.wait_for(lambda: ("degraded", "the disk is full") in watched.server.health)
    monkeypatch.setattr(intake, "SPARE", 0)

    assert watched.server.requests == []


@pytest.mark.parametrize("kind", [OpenRequest, PageRequest])
def test_what_the_server_refuses_is_moved_with_the_reason(watched: WatchedFolder, kind: type[Request]) -> None:
    """And is not tried again."""
    watched.server.on_request = lambda request: (
        RequestRefused(id=request.id, reason="the process is gone") if isinstance(request, kind) else None
    )
    watched.put("scan.png", png())

    assert "the process is gone" in watched.wait_for_refused("scan.png")
    assert (watched.path / "refused" / "scan.png").read_bytes() == png()
    assert watched.server.in_state("Pending") == []


def test_a_file_whose_job_is_cancelled_meanwhile_is_kept(watched: WatchedFolder) -> None:
    """It may be that its page was never stored."""

    def cancel(request: Request) -> None:
        if isinstance(request, PageRequest):
            watched.server.cancel(watched.server.jobs[0], "the administrator does not want it")

    watched.server.on_request = cancel
    watched.put("scan.png", png())

    assert "the administrator does not want it" in watched.wait_for_refused("scan.png")
    assert watched.server.jobs[0].told == ["stopped"]


def test_several_refused_files_of_one_name_are_all_kept(watched: WatchedFolder) -> None:
    """Each with its text."""
    watched.server.on_request = lambda request: (
        RequestRefused(id=request.id, reason="no") if isinstance(request, OpenRequest) else None
    )
    refused = watched.path / "refused"
    for number in range(1, 4):
        watched.put("scan.png", png(number))
        until(partial(has_files, refused, 2 * number), "it is refused")

    assert {path.read_bytes() for path in refused.glob("*.png")} == {png(1), png(2), png(3)}
    assert all((refused / f"{path.name}.txt").exists() for path in refused.glob("*.png"))


def test_what_was_refused_is_shown_until_someone_removes_it(
    start: StartFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing removes it, so that it is counted: many such files make an inlet that the doctor warns of."""
    monkeypatch.setattr(inlets, "COUNT_SECONDS", 0.0)
    monkeypatch.setattr(inlets, "MANY_REFUSED", 2)
    for name in ("Invoices", "Letters"):
        (tmp_path / "watched" / name).mkdir(parents=True)
    watched = start(destinations=("Invoices", "Letters"), most_bytes=5, poll=True, poll_seconds=0.1)
    health, ready = watched.server.health, f"{watched.path}, looks every 0.1 s"
    watched.put("Invoices/1.png", bytes(1 << 20))
    watched.server.wait_for(lambda: health[-1] == ("ready", f"{ready}, 1 file refused, 1.0 MiB"))
    watched.put("Letters/2.png", bytes(1 << 20))
    watched.server.wait_for(lambda: health[-1] == ("degraded", "2 files refused, 2.0 MiB; they are in refused"))
    (watched.path / "Letters" / "refused" / "2.png").unlink()
    (watched.path / "Letters" / "refused" / "2.png.txt").unlink()
    (watched.path / "Invoices" / "refused" / "1.png").rename(tmp_path / "1.png")
    (watched.path / "Invoices" / "refused" / "1.png.txt").unlink()
    watched.server.wait_for(lambda: health[-1] == ("ready", ready))


def has_files(folder: Path, number: int) -> bool:
    """Return whether a folder is there, with so many files."""
    return folder.exists() and len(list(folder.iterdir())) == number


# --- once ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.CANCELED])
def test_a_reply_that_was_lost_makes_no_second_job(tmp_path: Path, state: JobState) -> None:
    """The server went when the job was stored. Later the file is that job; it is kept if that was cancelled."""
    with starting(tmp_path) as start:
        first = start()

        def die(request: Request) -> None:
            if isinstance(request, EndRequest):
                first.server.jobs[0].state = state
                first.server.die()

        first.server.on_request = die
        first.put("scan.png", png())
        first.server.wait_for(lambda: first.server.dead)
    aside = tmp_path / "aside.png"
    (first.path / "scan.png").rename(aside)
    with starting(tmp_path) as start:
        second = start()
        second.server.jobs.extend(first.server.jobs)
        aside.rename(second.path / "scan.png")
        if state is JobState.CANCELED:
            assert "its job job-1 was cancelled" in second.wait_for_refused("scan.png")
        else:
            second.wait_for_jobs(1)

    assert second.server.jobs == first.server.jobs
    assert [type(one) for one in second.server.requests if isinstance(one, PageRequest)] == []


def test_a_file_that_was_being_removed_is_found_again(start: StartFolder, tmp_path: Path) -> None:
    """The process was killed when it had its hidden name."""
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / names.aside("scan.png")).write_bytes(png())
    (job,) = start().wait_for_jobs(1)

    assert job.request.name == "scan.png"


def test_the_same_content_under_the_same_number_and_time_is_another_file_if_it_differs(watched: WatchedFolder) -> None:
    """A file system uses the numbers of removed files again, and a scanner without a clock its times."""
    for number in (1, 2):
        data = image_files.saved(image_files.noise(size=(9, 9), seed=number), "BMP")
        os.utime(watched.put("scan.bmp", data), ns=(0, 0))
        watched.wait_for_jobs(number)

    one, two = (job.request.key.split(":") for job in watched.server.jobs)
    assert one[2:4] == two[2:4]
    assert one[4] != two[4]


def test_the_key_on_a_share_has_no_number(start: StartFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each machine that mounts it gives its files numbers of its own."""
    monkeypatch.setattr(mounts, "file_system", lambda _path: "cifs")
    watched = start(poll_seconds=0.1)
    path = watched.put("scan.png", png())
    time_ns = path.stat().st_mtime_ns
    (job,) = watched.wait_for_jobs(1)

    assert job.request.key == f"/scan.png:{time_ns}:{len(png())}:{hashlib.sha256(png()).hexdigest()}"
    assert watched.server.health == [("ready", f"{watched.path}, looks every 0.1 s")]


# --- stop, health, diagnosis -----------------------------------------------------------------------------------------


def test_a_folder_that_is_missing_is_waited_for(start: StartFolder, tmp_path: Path) -> None:
    """A share that is not mounted yet is no failure."""
    watched = start(path=tmp_path, folder=str(tmp_path / "later"), poll_seconds=0.1)
    assert watched.server.health[0] == ("away", f"{tmp_path / 'later'}: No such file or directory")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "scan.png").write_bytes(png())
    watched.server.wait_for_jobs(1)

    assert watched.server.health[-1][0] == "ready"


def test_a_stop_in_the_middle_of_a_file_leaves_it(tmp_path: Path) -> None:
    """At the latest when the server has answered; nothing is left in the work folder."""
    with starting(tmp_path) as start:
        watched = start()
        watched.server.on_request = lambda request: (
            watched.server.stop() if isinstance(request, OpenRequest) else None  # type: ignore[func-returns-value]
        )
        for number in range(3):
            watched.put(f"{number}.png", png(number))
        watched.server.wait_for_jobs(1)

    assert isinstance(watched.server.end, SourceFinished)
    assert len(watched.left()) == 3 - len(watched.server.in_state("Pending"))
    assert list(watched.server.started.workdir.iterdir()) == []


def test_the_diagnosis_names_what_is_missing(tmp_path: Path) -> None:
    """And takes nothing."""
    (tmp_path / "Invoices").mkdir()
    (tmp_path / "Invoices" / "scan.png").write_bytes(png())

    assert diagnosed(tmp_path) == ["there is no folder for 'Letters' (or d2)"]
    (tmp_path / "Letters").mkdir()
    assert diagnosed(tmp_path) == []
    assert diagnosed(tmp_path / "nowhere") == [f"{tmp_path / 'nowhere'}: No such file or directory"]
    assert (tmp_path / "Invoices" / "scan.png").exists()


def diagnosed(folder: Path) -> list[str]:
    """Return what is wrong with an inlet of two destinations."""
    channel, server = socket.socketpair()
    server.close()
    started = InletStarted(
        plugin="folder",
        inlet="inlet",
        settings={},
        destinations=(Destination(id="d1", label="Invoices"), Destination(id="d2", label="Letters")),
        folder=folder,
        workdir=folder,
    )
    with contextlib.closing(InletConnection(channel)) as connection:
        connection.listen()
        context = SourceContext(connection, started, Settings(str(folder)), connection.stopping.token())
        return list(FolderSource().diagnose(context))


def test_a_folder_from_which_nothing_can_be_removed_is_left_alone(
    start: StartFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files would become jobs again and again."""
    monkeypatch.setattr(os, "access", lambda *_arguments, **_options: False)
    watched = start()
    watched.put("scan.png", png())

    assert "cannot be removed" in watched.wait_for_logged("folder not usable")["reason"]
    assert watched.server.health[0][0] == "degraded"
    time.sleep(5 * QUIET)
    assert watched.server.requests == []
    assert watched.left() == ["scan.png"]


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"folder": "scans"},
        {"end_mark": "lock"},
        {"quiet_seconds": 0},
        {"poll_seconds": -1},
        {"most_bytes": 0},
        {"quiet_seconds": True},
        {"temporary": "*.tmp"},
        {"ignored": [""]},
        {"owners": ["no such user"]},
        {"refused": "a/b"},
        {"refused": ".."},
        {"refused": ""},
    ],
)
def test_a_setting_that_cannot_be_used_is_named(wrong: dict[str, Any]) -> None:
    """Before the inlet starts."""
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
        Settings(**{"folder": "/scans", **wrong})


def test_every_setting_says_what_it_is() -> None:
    """For `postscan plugin info`, and the page of the sources."""
    assert all(one.help for one in parameters.settings(Settings))


def test_the_entry_point_brings_one_source() -> None:
    """With the proof that it uses."""
    (source,) = postscan_sources()

    assert isinstance(source, FolderSource)
    assert source.proofs == ("local",)
