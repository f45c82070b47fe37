"""The ballast: room that is given up for what must be stored, and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from destinations import small_disk

from postscan.core.errors import StoreBusy, StoreFull
from postscan.core.spool.ballast import SLICE, Ballast

SIZE = 3 * SLICE


def ballast_in(folder: Path, size: int = SIZE, reserve: int = 0) -> Ballast:
    """Return a ballast that is allocated."""
    ballast = Ballast(folder, size, reserve)
    ballast.allocate()
    return ballast


def test_its_blocks_are_allocated(tmp_path: Path) -> None:
    """A sparse file would give back nothing."""
    ballast_in(tmp_path)

    assert (tmp_path / "ballast").stat().st_blocks * 512 >= SIZE


def test_a_change_gets_one_slice_after_another_until_it_is_stored(tmp_path: Path) -> None:
    """No more is given up than it needs."""
    ballast = ballast_in(tmp_path)
    left: list[int] = []

    def change() -> str:
        left.append((tmp_path / "ballast").stat().st_size)
        if len(left) < 3:
            raise StoreFull("full")
        return "stored"

    assert ballast.spend_on(change) == "stored"
    assert left == [SIZE, SIZE - SLICE, SIZE - 2 * SLICE]


def test_a_change_that_fails_for_another_reason_costs_no_room(tmp_path: Path) -> None:
    """A locked database has room."""
    ballast = ballast_in(tmp_path)

    def change() -> None:
        raise StoreBusy("locked")

    with pytest.raises(StoreBusy):
        ballast.spend_on(change)

    assert (tmp_path / "ballast").stat().st_size == SIZE


def test_without_a_ballast_a_full_disk_is_an_error_at_once(tmp_path: Path) -> None:
    """A size of 0 is none, and removes an older one."""
    ballast_in(tmp_path)
    ballast = ballast_in(tmp_path, size=0)

    def change() -> None:
        raise StoreFull("full")

    with pytest.raises(StoreFull):
        ballast.spend_on(change)

    assert list(tmp_path.iterdir()) == []


def test_it_is_taken_back_when_the_disk_has_room_beside_the_reserve(tmp_path: Path) -> None:
    """And not before: the reserve is for the database."""
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", 8 * SLICE) as disk:
        ballast = ballast_in(disk, reserve=2 * SLICE)
        given: list[int] = []

        def change() -> None:
            given.append(1)
            if len(given) == 1:
                raise StoreFull("full")

        ballast.spend_on(change)
        (disk / "other").write_bytes(bytes(4 * SLICE))
        ballast.allocate()
        before = (disk / "ballast").stat().st_size
        (disk / "other").unlink()
        ballast.allocate()
        after = (disk / "ballast").stat().st_size

    assert (before, after) == (SIZE - SLICE, SIZE)
