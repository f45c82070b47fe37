"""The bytes of a run's folder: how they are counted, and when a run is stopped because of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from destinations import small_disk
from works import until

from postscan.core.filters.cancellation import CancelSource
from postscan.core.settings import Settings
from postscan.core.workers.work_folder import WorkFolders, remove, used_bytes

MIB = 1 << 20


def folders(tmp_path: Path, most: int, reserve: int = 0) -> WorkFolders:
    """Return the folders of an engine that allows *most* bytes each."""
    (tmp_path / "data" / "run").mkdir(parents=True)
    storage = {"data_dir": str(tmp_path / "data"), "reserve_bytes": reserve}
    return WorkFolders(Settings.model_validate({"storage": storage, "running": {"folder_bytes": most}}))


def test_files_count_with_what_they_take_on_the_disk(tmp_path: Path) -> None:
    """In folders below as well; a hole takes nothing, and an empty file takes one block."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(bytes(MIB))
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(100 * MIB)
    (tmp_path / "empty").touch()

    assert MIB + 3 * 4096 <= used_bytes(tmp_path) < 2 * MIB


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    """Links to one file take no more room than the file."""
    (tmp_path / "file").write_bytes(bytes(MIB))
    for number in range(3):
        os.link(tmp_path / "file", tmp_path / f"link-{number}")

    assert MIB <= used_bytes(tmp_path) < 2 * MIB


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    """What lies elsewhere is not the folder's."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(bytes(MIB))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder" / "again").symlink_to(tmp_path / "folder")

    assert used_bytes(tmp_path / "folder") < MIB


def test_a_folder_that_is_gone_takes_nothing(tmp_path: Path) -> None:
    """A filter may remove its folder."""
    assert used_bytes(tmp_path / "none") == 0


def test_a_run_is_cancelled_above_the_limit_and_not_at_it(tmp_path: Path) -> None:
    """I5: the limit itself is allowed, one block more is not."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "file").write_bytes(bytes(MIB))
    limited = folders(tmp_path, used_bytes(work))

    with CancelSource() as source, limited.watched(work, source) as watched:
        assert watched.judge(used_bytes(work)) == ""
        (work / "more").write_bytes(b"x")
        until(lambda: source.cancelled, "for the run to be cancelled")

    assert watched.excess == f"its folder took more than {limited.most} bytes"


def test_only_the_largest_run_is_stopped_when_the_disk_is_full(tmp_path: Path) -> None:
    """The others may go on with what it gives back."""
    small, large = tmp_path / "small", tmp_path / "large"
    limited = folders(tmp_path, 1 << 40, reserve=1 << 60)
    limited.record(small, 2 * MIB)
    limited.record(large, 3 * MIB)

    assert limited.is_largest_on_a_full_disk(large)
    assert not limited.is_largest_on_a_full_disk(small)


def test_a_run_that_takes_next_to_nothing_is_not_stopped_because_the_disk_is_full(tmp_path: Path) -> None:
    """Its end would give back no room: others have filled the disk."""
    limited = folders(tmp_path, 1 << 40, reserve=1 << 60)
    limited.record(tmp_path / "small", 4096)

    assert not limited.is_largest_on_a_full_disk(tmp_path / "small")


@pytest.mark.parametrize("reserve", [0, 4096])
def test_no_run_is_stopped_while_half_of_the_reserve_is_free(tmp_path: Path, reserve: int) -> None:
    """The size of a folder alone does not count then."""
    limited = folders(tmp_path, 1 << 40, reserve)
    limited.record(tmp_path / "large", 1 << 39)

    assert not limited.is_largest_on_a_full_disk(tmp_path / "large")


def test_runs_on_a_disk_of_their_own_keep_1_mib_of_it_free_for_each_other(tmp_path: Path) -> None:
    """However large the reserve is, which is one of another disk."""
    limited = folders(tmp_path, 1 << 40, reserve=1 << 60)
    with small_disk(tmp_path / "data" / "run", 4 * MIB) as disk:
        limited.record(disk / "large", 2 * MIB)
        (disk / "large").write_bytes(bytes(3 * MIB))
        limited.check_room()
        before = limited.is_largest_on_a_full_disk(disk / "large")
        (disk / "more").write_bytes(b"x")
        with pytest.raises(OSError, match="No space left"):
            limited.check_room()
        after = limited.is_largest_on_a_full_disk(disk / "large")

    assert (before, after) == (False, True)


def test_a_folder_deeper_than_python_recurses_is_removed(tmp_path: Path) -> None:
    """A filter that nests folders without end leaves nothing behind, and breaks neither its job nor the next start."""
    (tmp_path / "work").mkdir()
    at = os.open(tmp_path / "work", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("down", dir_fd=at)
        below = os.open("down", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)

    remove(tmp_path / "work")

    assert list(tmp_path.iterdir()) == []


def test_what_links_lead_to_is_not_removed(tmp_path: Path) -> None:
    """Neither a folder nor a file; closed folders and dangling links are no obstacle."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"kept")
    work = tmp_path / "work"
    (work / "closed" / "inner").mkdir(parents=True)
    (work / "closed" / "file").symlink_to(tmp_path / "kept" / "file")
    (work / "folder").symlink_to(tmp_path / "kept")
    (work / "dangling").symlink_to(tmp_path / "nothing")
    (work / ".removed-1").mkdir()
    (work / "closed").chmod(0)

    remove(work)

    assert not work.exists()
    assert (tmp_path / "kept" / "file").read_bytes() == b"kept"
