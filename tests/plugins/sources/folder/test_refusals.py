"""Files that are refused: moved with a text beside them, into a folder with the same rights."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postscan.plugins.sources.folder.files import FileGone, FileVersion, look_at
from postscan.plugins.sources.folder.refusals import RefusedFiles, count_refused, refuse

NOW = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """The descriptor of a folder with a file `scan.png`."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "scan.png").write_bytes(b"content")
    opened = os.open(tmp_path / "in", os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def test_a_refused_file_has_a_text_that_says_why(folder: int, tmp_path: Path) -> None:
    """With its name and the time, for who finds it on the share."""
    name = refuse(folder, "refused", "scan.png", FileVersion.of(look_at(folder, "scan.png")), "it is odd", NOW)

    assert name == "scan.png"
    assert (tmp_path / "in" / "refused" / "scan.png").read_bytes() == b"content"
    assert (tmp_path / "in" / "refused" / "scan.png.txt").read_text().splitlines() == [
        "scan.png did not become a job (2026-03-02 09:41:07 UTC): it is odd.",
        "postscan removes nothing from this folder.",
    ]


@pytest.mark.parametrize("mode", [0o700, 0o2770, 0o755])
def test_who_sees_the_folder_sees_what_was_refused(folder: int, tmp_path: Path, mode: int) -> None:
    """And no one else does, whatever the umask is."""
    os.fchmod(folder, mode)
    refuse(folder, "refused", "scan.png", FileVersion.of(look_at(folder, "scan.png")), "it is odd", NOW)
    refused = tmp_path / "in" / "refused"

    assert stat.S_IMODE(refused.stat().st_mode) == mode
    assert stat.S_IMODE((refused / "scan.png.txt").stat().st_mode) == mode & 0o666


def test_another_file_of_the_name_is_not_refused(folder: int, tmp_path: Path) -> None:
    """It has come meanwhile, and may be whole."""
    seen = FileVersion.of(look_at(folder, "scan.png"))
    (tmp_path / "in" / "scan.png").rename(tmp_path / "scan.png")
    (tmp_path / "in" / "scan.png").write_bytes(b"other")
    with pytest.raises(FileGone):
        refuse(folder, "refused", "scan.png", seen, "it is odd", NOW)

    assert (tmp_path / "in" / "scan.png").read_bytes() == b"other"
    assert list((tmp_path / "in" / "refused").iterdir()) == []


def test_a_file_is_not_refused_into_a_link(folder: int, tmp_path: Path) -> None:
    """Nor into a file."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in" / "refused").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="Not a directory"):
        refuse(folder, "refused", "scan.png", FileVersion.of(look_at(folder, "scan.png")), "it is odd", NOW)

    assert list((tmp_path / "elsewhere").iterdir()) == []


# --- how many there are ----------------------------------------------------------------------------------------------


def refused(folder: int, tmp_path: Path, *contents: bytes) -> None:
    """Refuse files of the same name, one after another."""
    for content in contents:
        (tmp_path / "in" / "scan.png").write_bytes(content)
        refuse(folder, "refused", "scan.png", FileVersion.of(look_at(folder, "scan.png")), "it is odd", NOW)


def test_refused_files_are_counted_without_their_texts(folder: int, tmp_path: Path) -> None:
    """Also a text file that was refused, which has a text as well; folders of others are not looked into."""
    refused(folder, tmp_path, b"one", b"three")
    (tmp_path / "in" / "note.txt").write_bytes(b"two")
    refuse(folder, "refused", "note.txt", FileVersion.of(look_at(folder, "note.txt")), "it is odd", NOW)
    (tmp_path / "in" / "refused" / "mine").mkdir()
    (tmp_path / "in" / "refused" / "mine" / "other.png").write_bytes(b"other")

    found = count_refused(folder, "refused")

    assert found == RefusedFiles(3, 11)
    assert str(found) == "3 files refused, 0.0 MiB"


def test_a_long_name_has_its_text_too(folder: int, tmp_path: Path) -> None:
    """The name of the text is cut, so that it is that of another file."""
    name = f"{'x' * 251}.png"
    (tmp_path / "in" / name).write_bytes(b"one")
    refuse(folder, "refused", name, FileVersion.of(look_at(folder, name)), "it is odd", NOW)

    assert len(list((tmp_path / "in" / "refused").iterdir())) == 2
    assert count_refused(folder, "refused").number == 1


def test_no_more_files_are_counted_than_some(folder: int, tmp_path: Path) -> None:
    """A count takes no longer for a folder with a million files."""
    (tmp_path / "in" / "refused").mkdir()
    for number in range(4):
        (tmp_path / "in" / "refused" / f"{number}.png").write_bytes(bytes(1 << 20))

    assert count_refused(folder, "refused", 4) == RefusedFiles(4, 4 << 20)
    assert str(count_refused(folder, "refused", 3)) == "at least 3 files refused, 3.0 MiB"


def test_where_nothing_was_refused_there_is_nothing_to_say(folder: int, tmp_path: Path) -> None:
    """Without the subfolder, and with one that is a link to another place."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "scan.png").write_bytes(b"content")
    without = count_refused(folder, "refused")
    (tmp_path / "in" / "refused").symlink_to(tmp_path / "elsewhere")

    assert without == count_refused(folder, "refused") == RefusedFiles()
    assert str(without) == ""


def test_the_files_of_several_folders_are_one_number() -> None:
    """Each destination has a subfolder of its own."""
    assert RefusedFiles.total([RefusedFiles(1, 10), RefusedFiles(2, 20, False)]) == RefusedFiles(3, 30, False)
    assert RefusedFiles.total([]) == RefusedFiles()
