"""The files that clients see: for a while, each sender its own, in bounded numbers."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from postscan.plugins.sources.web.dav.files import (
    CONTENT_BYTES,
    KEPT_BYTES,
    KEPT_SECONDS,
    MOST,
    MOST_HELD,
    MOST_HELD_OF_SENDER,
    MOST_OF_SENDER,
    FileTable,
    Kind,
    ListedFile,
    is_beside,
    matches,
)
from postscan.plugins.sources.web.paths import WebPath
from postscan.plugins.sources.web.upload.incoming import ReceivedFile


class Ticks:
    """Monotonic seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    """A clock that stands still."""
    return Ticks()


@pytest.fixture
def files(ticks: Ticks) -> FileTable:
    """An empty table."""
    return FileTable(lambda: 1000.0, ticks)


def path(*names: str) -> WebPath:
    """Return a path in the folder of one destination."""
    return WebPath(("Scans", *names))


def entry(name: str, kind: Kind = Kind.SENT, received: ReceivedFile | None = None) -> ListedFile:
    """Return an entry of this name."""
    return ListedFile(path(name), kind, 1000.0, size=5, received=received)


def held(folder: Path, name: str) -> ListedFile:
    """Return an entry that holds a real file."""
    file = folder / name
    file.write_bytes(b"bytes")
    return entry(name, Kind.HELD, ReceivedFile(file, name, 5, "0" * 64))


def names(files: FileTable, sender: str = "ann", folder: WebPath | None = None) -> list[str]:
    """Return the names that a sender sees in a folder."""
    return [one.path.name for one in files.below(sender, folder or path())]


def test_a_sender_sees_its_own_files_alone(files: FileTable) -> None:
    """Names of files say something as well."""
    files.put("ann", entry("a.pdf"))

    assert names(files) == ["a.pdf"]
    assert names(files, "bob") == []
    assert files.find("bob", path("a.pdf")) is None


def test_a_file_is_found_in_any_spelling(files: FileTable) -> None:
    """macOS asks for ä as two characters."""
    files.put("ann", entry("ä.pdf"))

    assert files.find("ann", path(unicodedata.normalize("NFD", "ä.pdf"))) is not None


def test_a_listing_has_what_lies_directly_in_the_folder(files: FileTable) -> None:
    """And not what lies below that."""
    files.put("ann", ListedFile(path("May"), Kind.FOLDER, 1000.0))
    files.put("ann", ListedFile(path("May", "a.pdf"), Kind.SENT, 1000.0))

    assert names(files) == ["May"]
    assert names(files, folder=path("May")) == ["a.pdf"]


def test_an_entry_is_shown_for_ten_minutes_after_its_last_change(files: FileTable, ticks: Ticks) -> None:
    """A lock that is renewed counts as one."""
    files.put("ann", entry("a.pdf"))
    files.put("ann", entry("b.pdf"))
    ticks.now = KEPT_SECONDS - 1
    files.touch("ann", path("a.pdf"))

    ticks.now = KEPT_SECONDS
    assert names(files) == ["a.pdf"]
    ticks.now = 2 * KEPT_SECONDS
    assert names(files) == []


def test_a_held_file_goes_with_its_entry(files: FileTable, ticks: Ticks, tmp_path: Path) -> None:
    """Whether that is replaced, removed, too old, or the source ends."""
    for name in ("replaced", "removed", "old", "closed"):
        files.put("ann", held(tmp_path, name))
    files.put("ann", entry("replaced"))
    files.remove("ann", path("removed"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["closed", "old"]

    files.touch("ann", path("closed"))
    ticks.now = 1.0
    files.touch("ann", path("closed"))
    ticks.now = KEPT_SECONDS
    assert names(files) == ["closed"]
    assert [one.name for one in tmp_path.iterdir()] == ["closed"]

    files.close()
    assert list(tmp_path.iterdir()) == []


def test_a_moved_file_keeps_its_content(files: FileTable, tmp_path: Path) -> None:
    """Under the new name alone."""
    one = held(tmp_path, "a.tmp")
    files.put("ann", one)
    files.move("ann", one, path("b.tmp"))

    assert names(files) == ["b.tmp"]
    assert (tmp_path / "a.tmp").exists()


def test_removing_a_folder_removes_what_is_in_it(files: FileTable) -> None:
    """As in any file system with `rm -r`."""
    files.put("ann", ListedFile(path("May"), Kind.FOLDER, 1000.0))
    files.put("ann", ListedFile(path("May", "a.pdf"), Kind.EMPTY, 1000.0))
    files.put("ann", entry("Mayor.pdf"))
    files.remove("ann", path("May"))

    assert names(files) == ["Mayor.pdf"]
    assert names(files, folder=path("May")) == []


def test_the_oldest_entries_make_room(files: FileTable, tmp_path: Path) -> None:
    """Of a sender with too many, and of all; a file that they hold goes with them."""
    files.put("ann", held(tmp_path, "first"))
    for number in range(MOST_OF_SENDER):
        files.put("ann", entry(f"{number}.pdf"))
    assert len(names(files)) == MOST_OF_SENDER
    assert list(tmp_path.iterdir()) == []

    for number in range(MOST):
        files.put(f"sender-{number // MOST_OF_SENDER}", entry(f"{number}.pdf"))
    assert names(files) == []


def test_files_that_wait_for_their_rename_are_bounded(files: FileTable) -> None:
    """For each sender and in all, since each holds disk space."""
    for number in range(MOST_HELD_OF_SENDER):
        assert files.may_hold("ann")
        files.put("ann", entry(f"{number}.tmp", Kind.HELD))
    assert not files.may_hold("ann")
    assert files.may_hold("bob")

    for number in range(MOST_HELD):
        files.put(f"sender-{number // MOST_HELD_OF_SENDER}", entry(f"{number}.tmp", Kind.HELD))
    assert not files.may_hold("bob")


def test_the_content_that_is_kept_is_bounded(files: FileTable) -> None:
    """The oldest goes; the entries stay."""
    number = KEPT_BYTES // CONTENT_BYTES + 2
    for one in range(number):
        content = b"x" * CONTENT_BYTES
        files.put("ann", ListedFile(path(f"._{one}"), Kind.BESIDE, 1000.0, len(content), content=content))

    kept = [one.content is not None for one in files.below("ann", path())]
    assert kept == [False] * 2 + [True] * (number - 2)


def test_the_bytes_that_are_held_are_those_used(files: FileTable) -> None:
    """What was sent takes no room here."""
    files.put("ann", entry("a.tmp", Kind.HELD))
    files.put("ann", entry("b.pdf", Kind.SENT))

    assert files.used("ann") == 5
    assert files.used("bob") == 0


@pytest.mark.parametrize("name", ["._a.pdf", ".DS_Store", "Thumbs.db", "desktop.ini", ".metadata_never_index_x"])
def test_files_of_file_managers_are_known(name: str) -> None:
    """They are no scans."""
    assert is_beside(name)


@pytest.mark.parametrize("name", ["a.pdf", ".pdf", "_a.pdf", "thumbs.db.pdf"])
def test_other_files_are_not(name: str) -> None:
    """Also if they look a little like one."""
    assert not is_beside(name)


def test_a_pattern_is_compared_without_case() -> None:
    """And as a whole."""
    assert matches("SCAN.TMP", ("*.tmp",))
    assert not matches("a.tmp.pdf", ("*.tmp",))
