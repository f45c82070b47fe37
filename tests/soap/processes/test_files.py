"""The files of stored scan processes: a change replaces exactly what was read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import messages
import pytest

from postscan.core.errors import InvalidArgument, PostscanError, StoredProcessChanged, Unavailable
from postscan.soap.processes import files, properties
from postscan.soap.processes.files import NONE, ProcessFiles
from postscan.soap.processes.folder import ProcessFolder

GUID = messages.PROCESS_ID
XML = messages.PROCESS.encode()
TOML = b'# whose it is\ndisplay_name = "Notes"\nusers = [ "S-1-1-0" ] # all\n'
OTHER = ProcessFiles(XML.replace(b"Delivery note", b"Invoice"), TOML)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one process."""
    files.write(tmp_path / "processes", GUID, ProcessFiles(XML, TOML))
    return tmp_path / "processes"


@pytest.fixture
def folder(place: Path) -> ProcessFolder:
    """The same folder, as a server has it."""
    return ProcessFolder(place)


def names(place: Path) -> list[str]:
    """Return the names of the files in the folder but that of the lock."""
    return sorted(path.name for path in place.iterdir() if path.name != ".lock")


def test_a_process_is_replaced_by_the_files_that_are_given(folder: ProcessFolder, place: Path) -> None:
    """Byte for byte; a server that knew the old one finds the new one."""
    assert folder.find(GUID).instructions.document_root == "Delivery note"
    replaced = folder.replace(GUID.lower(), folder.stored(GUID), OTHER)

    assert folder.stored(GUID) == OTHER
    assert folder.find(GUID) == replaced
    assert replaced.instructions.document_root == "Invoice"
    assert names(place) == [f"{GUID}.toml", f"{GUID}.xml"]


def test_a_new_process_is_stored_once(folder: ProcessFolder, place: Path) -> None:
    """Nothing that is stored is replaced by a process that is meant to be new."""
    with pytest.raises(StoredProcessChanged, match="is stored already; nothing is changed"):
        folder.replace(GUID, NONE, OTHER)
    folder.remove(GUID, folder.stored(GUID))
    folder.replace(GUID, NONE, OTHER)

    assert folder.stored(GUID) == OTHER


@pytest.mark.parametrize("suffix", ["xml", "toml"])
@pytest.mark.parametrize("verb", ["replace", "remove"])
def test_a_process_that_has_changed_since_it_was_read_stays(
    folder: ProcessFolder, place: Path, suffix: str, verb: str
) -> None:
    """Either of its files, by an editor or another command."""
    before = folder.stored(GUID)
    path = place / f"{GUID}.{suffix}"
    path.write_bytes(path.read_bytes() + b"\n")
    edited = folder.stored(GUID)

    with pytest.raises(StoredProcessChanged, match="has changed since it was read; nothing is changed"):
        folder.replace(GUID, before, OTHER) if verb == "replace" else folder.remove(GUID, before)
    assert folder.stored(GUID) == edited
    assert edited.revision != before.revision


def test_a_removed_process_is_none(folder: ProcessFolder, place: Path) -> None:
    """Both files are gone, and the next reader finds nothing."""
    folder.remove(GUID, folder.stored(GUID))

    assert names(place) == []
    assert folder.find(GUID) is None
    assert folder.stored(GUID) == NONE


def test_a_broken_process_can_be_removed(folder: ProcessFolder, place: Path) -> None:
    """Whatever is wrong with it, and if one of its files is missing."""
    (place / f"{GUID}.xml").write_text("<oops")
    (place / f"{GUID}.toml").unlink()
    folder.remove(GUID, folder.stored(GUID))

    assert names(place) == []


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        (ProcessFiles(b"<a", TOML), "XML that can be read"),
        (ProcessFiles(XML.replace(b">70<", b">101<"), TOML), "content that the schema allows"),
        (ProcessFiles(XML, b"users = []"), "display_name"),
        (ProcessFiles(XML, None), rf"{GUID}\.toml is missing"),
        (ProcessFiles(None, TOML), rf"{GUID}\.xml is missing"),
    ],
    ids=["no XML", "wrong ticket", "no name", "no TOML", "no XML file"],
)
def test_an_invalid_process_replaces_nothing(folder: ProcessFolder, after: ProcessFiles, sentence: str) -> None:
    """It is checked as one that is added."""
    before = folder.stored(GUID)

    with pytest.raises(InvalidArgument, match=sentence):
        folder.replace(GUID, before, after)
    assert folder.stored(GUID) == before


def test_a_revision_is_that_of_the_bytes() -> None:
    """The same bytes have the same one; no two contents have one, a missing file included."""
    contents = [None, b"", b"-", b"a", b"ab", b"b", b"1:a"]
    all_of_them = [ProcessFiles(xml, toml) for xml in contents for toml in contents]

    assert len({one.revision for one in all_of_them}) == len(all_of_them)
    assert [ProcessFiles(one.xml, one.properties).revision for one in all_of_them] == [
        one.revision for one in all_of_them
    ]


def test_files_keep_their_permissions(folder: ProcessFolder, place: Path) -> None:
    """A server that could read a process can read it after a change by another umask."""
    (place / f"{GUID}.xml").chmod(0o640)
    folder.replace(GUID, folder.stored(GUID), OTHER)

    assert (place / f"{GUID}.xml").stat().st_mode & 0o777 == 0o640


def test_a_file_whose_content_stays_is_not_written(folder: ProcessFolder, place: Path) -> None:
    """It is the same file as before."""
    before = (place / f"{GUID}.toml").stat()
    folder.replace(GUID, folder.stored(GUID), OTHER)
    after = (place / f"{GUID}.toml").stat()

    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_process_that_cannot_be_renamed_leaves_the_old_one(
    folder: ProcessFolder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails in the last moment: no half of the new one is there, and no draft."""
    before = folder.stored(GUID)

    def fail(self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        folder.replace(GUID, before, OTHER)

    assert folder.stored(GUID) == before
    assert names(place) == [f"{GUID}.toml", f"{GUID}.xml"]


def test_of_commands_that_have_read_the_same_one_stores(folder: ProcessFolder, place: Path) -> None:
    """Each compares and writes alone."""
    before = folder.stored(GUID)
    at_once = threading.Barrier(6)
    ends: list[PostscanError | int] = []

    def change(number: int) -> None:
        wanted = ProcessFiles(XML.replace(b"Delivery note", b"Note %d" % number), TOML)
        at_once.wait()
        try:
            ProcessFolder(place).replace(GUID, before, wanted)
            ends.append(number)
        except PostscanError as error:
            ends.append(error)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [end for end in ends if isinstance(end, int)]

    assert len(stored) == 1
    assert folder.find(GUID).instructions.document_root == f"Note {stored[0]}"
    assert len([end for end in ends if isinstance(end, StoredProcessChanged)]) == 5


# --- name and users --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        (lambda: properties.change(TOML, display_name="Old notes"), b'"Notes"', b'"Old notes"'),
        (lambda: properties.change(TOML, users=["S-1-1-1"]), b"S-1-1-0", b"S-1-1-1"),
        (lambda: properties.change(TOML, display_name=" Notes ", users=["S-1-1-0"]), b"", b""),
        (lambda: properties.change(TOML), b"", b""),
    ],
    ids=["name", "users", "the same", "nothing"],
)
def test_a_name_and_users_are_changed_alone(change: Callable[[], bytes], old: bytes, new: bytes) -> None:
    """Comments of an administrator stay; what is there already changes no byte."""
    changed = change()
    shown, users = properties.read("a.toml", changed)

    assert b"# whose it is\n" in changed
    assert b"# all\n" in changed
    assert (shown, users) == properties.read("a.toml", TOML.replace(old, new) if old else TOML)
    assert old or changed == TOML


def test_users_that_were_not_there_are_added() -> None:
    """A process that was for all users gets some."""
    changed = properties.change(b'display_name = "Notes"\n', users=["b@contoso.example", "a@contoso.example"])

    assert properties.read("a.toml", changed) == ("Notes", frozenset({"a@contoso.example", "b@contoso.example"}))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\ud800"])
def test_a_name_or_a_user_that_is_no_line_is_refused(name: str) -> None:
    """As in a new process."""
    with pytest.raises(InvalidArgument, match="PSP_DisplayName"):
        properties.change(TOML, display_name=name)
    with pytest.raises(InvalidArgument, match="users"):
        properties.change(TOML, users=[name])


# --- crashes ---------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: it does nothing more, not even tidy up."""


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> bool:
    """Do something until this step, a rename or a removal of a file; return whether it was done before."""
    steps = iter(range(1000))

    def until(operation: Callable[..., Any]) -> Callable[..., Any]:
        def one(*arguments: Any, **options: Any) -> Any:
            if next(steps) >= step:
                raise Killed
            return operation(*arguments, **options)

        return one

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", until(Path.replace))
        patched.setattr(Path, "unlink", until(Path.unlink))
        try:
            act()
        except Killed:
            return False
    return True


BOTH = ProcessFiles(OTHER.xml, TOML.replace(b"S-1-1-0", b"S-1-1-1"))


def test_a_change_of_both_files_that_a_crash_interrupts_is_whole_or_not_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reader ever has the users of one with the filters of the other; the next change finds nothing odd."""
    before, found, step = files.read(place, GUID), [], 0
    while not killed_at(step, monkeypatch, lambda: files.replace(place, GUID, before, BOTH)):
        found.append(files.read(place, GUID))
        files.replace(place, GUID, found[-1], before)
        assert not list(place.glob("*.replaced"))
        step += 1

    assert set(found) == {before, BOTH}
    assert found == sorted(found, key=lambda one: one == BOTH)
    assert files.read(place, GUID) == BOTH


@pytest.mark.parametrize("edited", ["xml", "toml"])
def test_a_file_that_was_edited_after_a_crash_stays_as_it_was_edited(
    place: Path, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    """What a person has written by hand is not replaced by an older change."""
    before = files.read(place, GUID)
    assert not killed_at(1, monkeypatch, lambda: files.replace(place, GUID, before, BOTH))
    (place / f"{GUID}.{edited}").write_bytes(b"by hand")
    found = files.read(place, GUID)

    assert (found.xml if edited == "xml" else found.properties) == b"by hand"
    assert names(place) == [f"{GUID}.toml", f"{GUID}.xml"]


def test_a_lock_that_is_held_too_long_is_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page and a command end then; nothing is changed."""
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.1)
    before = files.read(place, GUID)
    with files._locked(place), pytest.raises(Unavailable, match="another process is changing"):
        files.replace(place, GUID, before, BOTH)

    assert files.read(place, GUID) == before
