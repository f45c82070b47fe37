"""One file of a folder that others write to: what is opened, copied and removed is the one that was looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postscan.plugins.sources.folder import files
from postscan.plugins.sources.folder.files import FileGone, FileUnfit, FileVersion, FileWaits


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """The descriptor of a folder with a file `scan`."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "scan").write_bytes(b"content")
    opened = os.open(tmp_path / "in", os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def version(folder: int, name: str = "scan") -> FileVersion:
    """Return the version of a file."""
    return FileVersion.of(files.look_at(folder, name))


def test_a_file_of_another_version_is_not_opened(folder: int, tmp_path: Path) -> None:
    """Also if only its rights have changed: it is looked at again."""
    seen = version(folder)
    (tmp_path / "in" / "scan").chmod(0o600)

    with pytest.raises(FileGone), files.opened(folder, "scan", seen):
        pytest.fail("it was opened")


@pytest.mark.parametrize("made", ["link", "pipe", "nothing"])
def test_what_has_got_the_name_meanwhile_is_not_opened(folder: int, tmp_path: Path, made: str) -> None:
    """A link, a pipe without a writer, nothing."""
    seen = version(folder)
    (tmp_path / "in" / "scan").rename(tmp_path / "scan")
    if made == "link":
        (tmp_path / "in" / "scan").symlink_to(tmp_path / "scan")
    elif made == "pipe":
        os.mkfifo(tmp_path / "in" / "scan")

    with pytest.raises(FileGone), files.opened(folder, "scan", seen):
        pytest.fail("it was opened")


def test_a_pipe_is_unfit_even_if_it_was_seen_as_one(folder: int, tmp_path: Path) -> None:
    """It is opened without waiting, and only a regular file is read."""
    os.mkfifo(tmp_path / "in" / "pipe")

    with pytest.raises(FileUnfit, match="a pipe"), files.opened(folder, "pipe", version(folder, "pipe")):
        pytest.fail("it was opened")


def test_a_file_with_two_names_waits(folder: int, tmp_path: Path) -> None:
    """One of them may be outside."""
    (tmp_path / "other").hardlink_to(tmp_path / "in" / "scan")

    with pytest.raises(FileWaits, match="second name"), files.opened(folder, "scan", version(folder)):
        pytest.fail("it was opened")


def test_a_file_is_open_for_writing_as_long_as_a_program_has_it_so(folder: int, tmp_path: Path) -> None:
    """Readers do not count; and the question leaves nothing behind."""
    path = tmp_path / "in" / "scan"
    with files.opened(folder, "scan", version(folder)) as opened:
        assert not files.is_open_for_writing(opened)
        with path.open("rb"):
            assert not files.is_open_for_writing(opened)
        with path.open("ab"):
            assert files.is_open_for_writing(opened)
        assert not files.is_open_for_writing(opened)
        path.open("ab").close()  # a lease that is held would make this wait


def changed(path: Path, kind: str) -> None:
    """Change a file as its writers do."""
    if kind == "longer":
        with path.open("ab") as file:
            file.write(b"more")
    elif kind == "shorter":
        os.truncate(path, 3)
    elif kind == "other":
        path.write_bytes(b"CONTENT")
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("kind", ["longer", "shorter", "other"])
def test_a_file_that_is_written_while_it_is_copied_is_not_taken(folder: int, tmp_path: Path, kind: str) -> None:
    """Its copy is never one of the two contents."""
    seen = version(folder)
    steps: list[Callable[[], None]] = [lambda: changed(tmp_path / "in" / "scan", kind)]
    with files.opened(folder, "scan", seen) as opened, pytest.raises(FileGone):
        files.copy(opened, seen, tmp_path / "copy", lambda: steps.pop()() if steps else None)


@pytest.mark.parametrize("kind", ["longer", "shorter", "other"])
def test_a_file_that_was_written_since_is_not_removed(folder: int, tmp_path: Path, kind: str) -> None:
    """What is new in it is stored nowhere."""
    seen = version(folder)
    changed(tmp_path / "in" / "scan", kind)
    with pytest.raises(FileGone):
        files.remove(folder, "scan", seen)

    assert os.listdir(folder) == ["scan"]


def test_a_file_whose_rights_have_changed_is_removed(folder: int, tmp_path: Path) -> None:
    """Samba stores attributes after the file was closed."""
    seen = version(folder)
    (tmp_path / "in" / "scan").chmod(0o640)
    files.remove(folder, "scan", seen)

    assert os.listdir(folder) == []


@pytest.mark.parametrize("other", ["file", "folder", "link"])
def test_another_file_of_the_name_is_put_back(folder: int, tmp_path: Path, other: str) -> None:
    """Its name was taken from it for a moment only."""
    seen = version(folder)
    path = tmp_path / "in" / "scan"
    path.rename(tmp_path / "scan")
    if other == "file":
        path.write_bytes(b"content")
    elif other == "folder":
        path.mkdir()
    else:
        path.symlink_to("/nowhere")
    before = os.lstat(path).st_ino
    with pytest.raises(FileGone):
        files.remove(folder, "scan", seen)

    assert os.lstat(path).st_ino == before
    assert os.listdir(folder) == ["scan"]
    assert (tmp_path / "scan").read_bytes() == b"content"


def test_a_file_that_is_put_back_replaces_none(folder: int, tmp_path: Path) -> None:
    """It gets another name if its own is taken by now."""
    (tmp_path / "in" / ".hidden").write_bytes(b"other")
    name = files.put_back(folder, ".hidden", folder, "scan")

    assert name.startswith("scan-")
    assert {path.read_bytes() for path in (tmp_path / "in").iterdir()} == {b"content", b"other"}


def test_a_file_that_is_gone_is_gone(folder: int, tmp_path: Path) -> None:
    """A client has removed it itself."""
    seen = version(folder)
    (tmp_path / "in" / "scan").unlink()
    with pytest.raises(FileGone):
        files.remove(folder, "scan", seen)
