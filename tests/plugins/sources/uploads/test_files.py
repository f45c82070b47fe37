"""What is remembered of files: those that wait for their rename, and those that are jobs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from postscan.plugins import Destination, GrowingHash
from postscan.plugins.sources.uploads.files import MOST_HELD, MOST_HELD_IN_ALL, MOST_KNOWN, SECONDS, Files, KnownFile
from postscan.plugins.sources.uploads.folders import FolderPath
from postscan.plugins.sources.uploads.identity import Identity
from postscan.plugins.sources.uploads.space import UploadSpace
from postscan.plugins.sources.uploads.upload import UploadedFile
from postscan.plugins.testing import FakeClock

FOLDER = Destination(id="d-1", label="Scans")
ANN = Identity("password", "ann", "ann")
BOB = Identity("password", "bob", "bob")


class Remembered:
    """The files of a service, with a clock that a test sets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.space = UploadSpace(folder, 10_000)
        self.clock = FakeClock()
        self.expired: list[KnownFile] = []
        self.files = Files(self.expired.append, self.clock.ticks)

    def received(self, name: str) -> UploadedFile:
        """Return a file that has come."""
        path = self._folder / name
        path.write_bytes(b"content")
        self.space.take("ann", 7)
        resources = contextlib.ExitStack()
        resources.callback(self.space.give_back, "ann", 7)
        resources.callback(path.unlink)
        return UploadedFile(path, 7, 1.0, GrowingHash(path), resources)


@pytest.fixture
def remembered(tmp_path: Path) -> Remembered:
    """No files yet."""
    return Remembered(tmp_path)


def place(name: str) -> FolderPath:
    """Return the place of a file."""
    return FolderPath(FOLDER, name)


def test_a_file_that_waits_is_taken_once(remembered):
    """Two sessions cannot make two jobs of it."""
    content = remembered.received("a")
    remembered.files.hold(ANN, place("a.tmp"), content)
    known = remembered.files.find(ANN, place("a.tmp"))

    assert remembered.files.take(known) == content
    assert remembered.files.take(known) is None
    assert remembered.files.find(ANN, place("a.tmp")) is None


def test_the_files_of_another_subject_are_not_seen(remembered):
    """Neither one that waits nor one that is a job."""
    remembered.files.hold(ANN, place("a.tmp"), remembered.received("a"))
    remembered.files.passed_on(ANN, place("b.jpg"), 5, 1.0, is_job=True)

    assert remembered.files.find(BOB, place("a.tmp")) is None
    assert remembered.files.find(BOB, place("b.jpg")) is None
    assert list(remembered.files.held_in(BOB, "d-1")) == []
    assert [one.place.path for one in remembered.files.held_in(ANN, "d-1")] == ["a.tmp"]


def test_a_file_is_forgotten_after_ten_minutes(remembered):
    """The content of one that was not renamed is removed, and that is reported."""
    remembered.files.hold(ANN, place("a.tmp"), remembered.received("a"))
    remembered.files.passed_on(ANN, place("b.jpg"), 5, 1.0, is_job=True)

    remembered.clock.advance(SECONDS - 1)
    remembered.files.expire()
    assert remembered.files.find(ANN, place("a.tmp")) is not None

    remembered.clock.advance(1)
    remembered.files.expire()
    assert remembered.files.find(ANN, place("a.tmp")) is None
    assert remembered.files.find(ANN, place("b.jpg")) is None
    assert [one.place.path for one in remembered.expired] == ["a.tmp"]
    assert remembered.space.taken == 0
    assert not (remembered.received("other").path.parent / "a").exists()


def test_a_file_that_comes_again_replaces_the_one_that_waits(remembered):
    """A device that was interrupted sends the same name again."""
    first, second = remembered.received("first"), remembered.received("second")
    remembered.files.hold(ANN, place("a.tmp"), first)
    remembered.files.hold(ANN, place("a.tmp"), second)

    assert not first.path.exists()
    assert remembered.files.find(ANN, place("a.tmp")).held == second
    assert remembered.expired == []


def test_the_files_that_wait_are_limited_for_each_subject_and_in_all(remembered):
    """One device cannot take the room of the others, and all of them not that of the disk."""
    for number in range(MOST_HELD):
        assert remembered.files.has_room(ANN)
        remembered.files.hold(ANN, place(f"{number}.tmp"), remembered.received(f"ann-{number}"))
    assert not remembered.files.has_room(ANN)
    assert remembered.files.has_room(BOB)

    for number in range(MOST_HELD, MOST_HELD_IN_ALL):
        other = Identity("device", f"10.0.0.{number}")
        remembered.files.hold(other, place("x.tmp"), remembered.received(f"other-{number}"))
    assert not remembered.files.has_room(BOB)


def test_what_is_remembered_of_jobs_is_limited(remembered):
    """The oldest is forgotten; files that wait are not."""
    remembered.files.hold(ANN, place("a.tmp"), remembered.received("a"))
    for number in range(MOST_KNOWN + 10):
        remembered.files.passed_on(BOB, place(f"{number}.jpg"), number, 1.0, is_job=True)

    assert remembered.files.find(BOB, place("9.jpg")) is None
    assert remembered.files.find(BOB, place("10.jpg")).size == 10
    assert remembered.files.find(ANN, place("a.tmp")) is not None
