"""The files of a folder between two looks: how many are known, and when each may be taken."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from postscan.plugins.sources.folder import tracking
from postscan.plugins.sources.folder.settings import Settings
from postscan.plugins.sources.folder.tracking import TrackedFolder

SETTINGS = Settings("/scans")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """The descriptor of the folder of the test."""
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def ready(place: TrackedFolder, now: float) -> list[str]:
    """Return the names of the files that may be taken, after a quiet time of 5 s."""
    return [name for name, _ in place.ready(now, 5.0)]


def test_a_file_is_ready_when_it_has_not_changed_for_the_quiet_time(folder: int, tmp_path: Path) -> None:
    """By our clock: that of a file server may be another one, and a file may bring its time with it."""
    place = TrackedFolder("", None)
    path = tmp_path / "scan.png"
    path.write_bytes(b"1")
    os.utime(path, (0, 0))
    place.look(folder, SETTINGS, 100.0)
    assert (ready(place, 104.9), place.next_due(5.0)) == ([], 105.0)
    path.write_bytes(b"2")
    os.utime(path, (1, 1))
    place.look(folder, SETTINGS, 104.0)

    assert (ready(place, 105.0), ready(place, 109.0)) == ([], ["scan.png"])


def test_the_oldest_file_comes_first(folder: int, tmp_path: Path) -> None:
    """As its time says, which is that of the scan."""
    for name, seconds in (("b", 2), ("a", 3), ("c", 1)):
        (tmp_path / name).write_bytes(b"1")
        os.utime(tmp_path / name, (seconds, seconds))
    place = TrackedFolder("", None)
    place.look(folder, SETTINGS, 0.0)

    assert ready(place, 5.0) == ["c", "b", "a"]


def test_a_file_that_is_gone_is_forgotten(folder: int, tmp_path: Path) -> None:
    """Its name may come again."""
    (tmp_path / "scan.png").write_bytes(b"1")
    place = TrackedFolder("", None)
    place.look(folder, SETTINGS, 0.0)
    (tmp_path / "scan.png").unlink()
    place.look(folder, SETTINGS, 1.0)

    assert (place.files, place.next_due(5.0)) == ({}, math.inf)


def test_the_files_that_are_known_are_limited(folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other ones come when there is room."""
    monkeypatch.setattr(tracking, "MOST", 5)
    for number in range(12):
        (tmp_path / str(number)).write_bytes(b"1")
    place = TrackedFolder("", None)
    seen = set()
    while os.listdir(folder):
        place.look(folder, SETTINGS, 0.0)
        assert len(place.files) <= 5
        seen |= place.files.keys()
        for name in place.files:
            (tmp_path / name).unlink()

    assert seen == {str(number) for number in range(12)}
