"""Stored scan processes in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import messages
import pytest

from postscan.core.errors import InvalidArgument, StoredProcessInvalid
from postscan.core.model.process import Instructions
from postscan.soap.processes.folder import ProcessFolder, read_process
from postscan.soap.xml import namespaces

XML = messages.PROCESS.encode()
GUID = messages.PROCESS_ID
OTHER = "0F1D2C3B-4A59-4687-9786-A5B4C3D2E1F0"
NAMES = "<spx:AllowDeviceFileNameChange>{}</spx:AllowDeviceFileNameChange>"
PATHS = "<spx:AllowDeviceFilePathChange>{}</spx:AllowDeviceFilePathChange>"


@pytest.fixture
def folder(tmp_path: Path) -> ProcessFolder:
    """A folder that is not there yet."""
    return ProcessFolder(tmp_path / "processes")


def changed(old: str, new: str) -> bytes:
    """Return the usual process with some words changed."""
    assert old in messages.PROCESS
    return messages.PROCESS.replace(old, new, 1).encode()


def put(tmp_path: Path, xml: bytes = XML, toml: str = 'display_name = "Notes"\n', name: str = GUID) -> Path:
    """Write the two files of a process as an administrator would, by hand."""
    path = tmp_path / "processes"
    path.mkdir(exist_ok=True)
    (path / f"{name}.xml").write_bytes(xml)
    if toml:
        (path / f"{name}.toml").write_text(toml)
    return path / f"{name}.xml"


def test_a_process_is_read():
    """Its repository, its instructions, and no permissions unless they are given (PSP-012)."""
    repository, wanted, names, paths = read_process(XML)

    assert (repository, names, paths) == ("scan7.contoso.example", False, False)
    assert [one.dialect for one in wanted.filters] == [namespaces.FILESHARE, namespaces.EMAIL, namespaces.SHAREPOINT]


@pytest.mark.parametrize("place", ["</psp:PostScanProcess>", "</psp:PostScanInstructions>"])
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (NAMES.format("true"), (True, False)),
        (PATHS.format(" 1 "), (False, True)),
        (NAMES.format("false") + PATHS.format("true"), (False, True)),
        (NAMES.format("0"), (False, False)),
    ],
)
def test_permissions_may_stand_in_either_place(place, flags, expected):
    """Where they belong was never published (P-1, DSP-022)."""
    assert read_process(changed(place, flags + place))[2:] == expected


def test_permissions_that_disagree_are_refused():
    """One place says yes, the other no: nobody can tell what was meant."""
    xml = changed("</psp:PostScanInstructions>", NAMES.format("true") + "</psp:PostScanInstructions>").replace(
        b"</psp:PostScanProcess>", NAMES.format("false").encode() + b"</psp:PostScanProcess>"
    )

    with pytest.raises(InvalidArgument, match="AllowDeviceFileNameChange"):
        read_process(xml)


def test_a_process_may_be_in_utf_16_or_declare_it_falsely():
    """Directories keep the text together with its old declaration (PSP-041)."""
    declared = '<?xml version="1.0" encoding="utf-16"?>' + messages.PROCESS

    assert read_process(declared.encode("utf-16")) == read_process(declared.encode()) == read_process(XML)


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"not XML",
        b"<!DOCTYPE a>" + XML,
        b"<?xml-stylesheet href='a'?>" + XML,
        XML[:-1],
        changed("PostScanProcess ", "Other "),
        b"<a/>",
        XML.replace(messages.PSP.encode(), b"urn:other"),
    ],
    ids=range(8),
)
def test_what_is_no_process_is_refused(xml):
    """Broken XML, a document type, another root (PSP-044)."""
    with pytest.raises(InvalidArgument):
        read_process(xml)


@pytest.mark.parametrize("name", ["ScanRepository", "PostScanInstructions"])
def test_a_process_without_its_parts_is_refused(name):
    """The ticket alone may be missing when a process is run (PSP-049)."""
    start, end = (
        messages.PROCESS.index(f"<psp:{name}>"),
        messages.PROCESS.index(f"</psp:{name}>") + len(f"</psp:{name}>"),
    )

    with pytest.raises(InvalidArgument) as caught:
        read_process((messages.PROCESS[:start] + messages.PROCESS[end:]).encode())
    assert caught.value.argument == namespaces.psp(name)


def test_a_process_is_at_most_524288_characters_long():
    """The directory holds no more (scan-process.md section 8)."""
    room = 524_288 - len(messages.PROCESS)

    assert read_process(XML + b" " * room)
    assert read_process((messages.PROCESS + " " * room).encode("utf-16"))
    with pytest.raises(InvalidArgument, match="524288"):
        read_process(XML + b" " * (room + 1))


def test_an_empty_folder_has_no_processes(folder):
    """Nor has one that is not there."""
    assert folder.names() == []
    assert folder.find(GUID) is None


def test_an_added_process_is_found(folder, tmp_path):
    """With its name, its users and its permissions; another reader of the folder finds the same."""
    added = folder.add(
        changed("</psp:PostScanProcess>", PATHS.format("true") + "</psp:PostScanProcess>"),
        display_name='Notes "to" accounting \\ ü',
        users=["S-1-5-21-1", "clerk@contoso.example"],
        identifier=GUID.lower(),
    )

    assert added.identifier == GUID
    assert added.display_name == 'Notes "to" accounting \\ ü'
    assert added.users == {"S-1-5-21-1", "clerk@contoso.example"}
    assert (added.allow_name_change, added.allow_path_change) == (False, True)
    assert folder.find(GUID) == ProcessFolder(tmp_path / "processes").find(GUID) == added


def test_a_process_without_identifier_gets_one(folder):
    """A new GUID each time."""
    first, second = (folder.add(XML, display_name="Notes") for _ in range(2))

    assert sorted([first.identifier, second.identifier]) == folder.names()
    assert first.identifier != second.identifier


def test_nothing_but_the_two_files_and_the_lock_is_left(folder, tmp_path):
    """A process is written beside its place and renamed: no reader sees half of it."""
    folder.add(XML, display_name="Notes", identifier=GUID)

    left = sorted(path.name for path in (tmp_path / "processes").iterdir())
    assert left == [".lock", f"{GUID}.toml", f"{GUID}.xml"]


def test_a_process_that_cannot_be_written_leaves_nothing(folder, tmp_path):
    """The older one stays as it was."""
    folder.add(XML, display_name="Notes", identifier=GUID)
    (tmp_path / "processes" / f"{GUID}.toml").unlink()
    (tmp_path / "processes" / f"{GUID}.toml").mkdir()

    with pytest.raises(OSError, match="toml"):
        folder.add(changed("Delivery note", "Other"), display_name="Other", identifier=GUID)
    assert (tmp_path / "processes" / f"{GUID}.xml").read_bytes() == XML
    left = sorted(path.name for path in (tmp_path / "processes").iterdir())
    assert left == [".lock", f"{GUID}.toml", f"{GUID}.xml"]


def test_adding_again_replaces(folder):
    """The same identifier is the same process, in a newer version; an older value is untouched (PSP-052)."""
    old = folder.add(XML, display_name="Notes", identifier=GUID)
    folder.find(GUID)
    folder.add(changed("Delivery note", "Invoice"), display_name="Invoices", identifier=GUID)
    new = folder.find(GUID)

    assert (new.display_name, new.instructions.document_root) == ("Invoices", "Invoice")
    assert old.instructions.document_root == "Delivery note"


@pytest.mark.parametrize("spelling", [GUID, GUID.lower(), "{" + GUID + "}", f" {GUID}\n"])
@pytest.mark.parametrize("file", [GUID, GUID.lower()])
def test_a_guid_is_found_in_any_spelling(tmp_path, folder, spelling, file):
    """Case and braces do not matter, neither of the request nor of the file (DSP-018)."""
    put(tmp_path, name=file)

    assert folder.find(spelling).identifier == GUID
    assert folder.names() == [GUID]


@pytest.mark.parametrize("identifier", ["", "x", OTHER, "../" + GUID, f"{GUID}/../{GUID}", GUID + "\0", "*"])
def test_what_is_not_there_is_none(tmp_path, folder, identifier):
    """No identifier is ever taken for a path (DSP-017)."""
    put(tmp_path)

    assert folder.find(identifier) is None


def test_other_files_are_no_processes(tmp_path, folder):
    """Whatever else an administrator keeps there."""
    put(tmp_path)
    put(tmp_path, name="notes")
    (tmp_path / "processes" / f"{OTHER}.toml").write_text("")

    assert folder.names() == [GUID]


def test_a_process_is_read_once_until_it_changes(tmp_path, folder):
    """The same value as long as both files are the same, a new one when either changes."""
    path = put(tmp_path)
    first = folder.find(GUID)
    again = folder.find(GUID)
    path.write_bytes(changed("Delivery note", "Invoice"))
    second = folder.find(GUID)
    path.with_suffix(".toml").write_text('display_name = "Invoices"\nusers = ["S-1-1-0"]\n')
    third = folder.find(GUID)

    assert again is first
    assert (second.instructions.document_root, second.users) == ("Invoice", frozenset())
    assert (third.display_name, third.users) == ("Invoices", {"S-1-1-0"})


def test_a_process_that_is_exchanged_at_the_same_size_and_time_is_noticed(tmp_path, folder):
    """A rename brings another file, even if its clock stood still."""
    path = put(tmp_path)
    folder.find(GUID)
    status = path.stat()
    draft = path.with_suffix(".new")
    draft.write_bytes(changed("Delivery note", "Delivery NOTE"))
    os.utime(draft, ns=(status.st_atime_ns, status.st_mtime_ns))
    draft.replace(path)

    assert folder.find(GUID).instructions.document_root == "Delivery NOTE"


@pytest.mark.parametrize(
    ("xml", "toml", "sentence"),
    [
        (b"<a", 'display_name = "N"', "XML that can be read"),
        (b"", 'display_name = "N"', "XML that can be read"),
        (
            changed("<psp:DocumentRootName>Delivery note</psp:DocumentRootName>", ""),
            'display_name = "N"',
            "DocumentRoot",
        ),
        (XML, "", "No such file"),
        (XML, "display_name", "toml.*TOML"),
        (XML, "users = []", "display_name"),
        (XML, 'display_name = " "', "display_name"),
        (XML, "display_name = 7", "display_name"),
        (XML, 'display_name = "N"\nuser = ["S-1-1-0"]', "toml: user.*display_name and users only"),
        (XML, 'display_name = "N"\nusers = "S-1-1-0"', "users"),
        (XML, 'display_name = "N"\nusers = [7]', "users"),
        (XML, 'display_name = "N"\nusers = [""]', "users"),
    ],
    ids=range(12),
)
def test_a_broken_process_is_the_servers_own_fault(tmp_path, folder, xml, toml, sentence):
    """The error names the file and what is wrong; a misspelled `users` never opens a process to everybody (P-10)."""
    put(tmp_path, xml, toml)

    with pytest.raises(StoredProcessInvalid, match=sentence) as caught:
        folder.find(GUID)
    assert GUID in str(caught.value)


def test_a_broken_process_works_again_once_it_is_mended(tmp_path, folder):
    """Nothing is remembered of it."""
    put(tmp_path, b"<a")
    with pytest.raises(StoredProcessInvalid):
        folder.find(GUID)
    put(tmp_path)

    assert folder.find(GUID) is not None


def test_a_stored_ticket_is_not_looked_at_when_a_process_runs(tmp_path, folder):
    """It is for the device (PSP-049)."""
    put(tmp_path, changed(messages.TICKET, "<anything/>"))

    assert folder.find(GUID) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (messages.TICKET, ""),
        ("<wscn:JobName>Paper intake</wscn:JobName>", ""),
        (">Paper intake<", f">{'x' * 256}<"),
        (">70<", ">101<"),
        (">70<", ">-1<"),
        (">0</wscn:ImagesToTransfer", ">-1</wscn:ImagesToTransfer"),
        (">ADFDuplex<", ">Tray<"),
        (">NotApplicable<", ">Slide<"),
        (">Mixed<", ">Comic<"),
        (">8270<", ">0<"),
        (">-10<", ">-1001<"),
        ("<wscn:ScalingHeight>100</wscn:ScalingHeight>", ""),
        ("<wscn:ScalingWidth>100", "<wscn:ScalingWidth>1001"),
        (">180<", ">45<"),
        (">acme:Sepia<", ">Sepia<"),
        (">8000<", ">0<"),
        ("<wscn:Width>300</wscn:Width>", "<wscn:Height>300</wscn:Height>"),
        ('wscn:MustHonor="true"', 'wscn:MustHonor="TRUE"'),
        (">pdf-a<", ">pdf a<"),
        ("<wscn:Rotation>180</wscn:Rotation>", "<wscn:Rotate>180</wscn:Rotate>"),
        ("<psp:ScanRepository>scan7.contoso.example</psp:ScanRepository>", ""),
    ],
)
def test_a_ticket_is_judged_when_a_process_is_stored(folder, old, new):
    """Then somebody is there to mend it (PSP-050); nothing is written."""
    with pytest.raises(InvalidArgument):
        folder.add(changed(old, new), display_name="Notes")
    assert folder.names() == []


def test_extensions_may_stand_where_the_schema_lets_them(folder):
    """Of any other namespace, known or not (PSP-055)."""
    extension = '<x:a xmlns:x="urn:x" b="c"><x:d/></x:a>'
    places = ["</psp:PostScanProcess>", "</psp:PostScanInstructions>", "</psp:FiltersToProcess>", "</psp:Filter>"]
    places += ["</psp:ScanTicket>", "</wscn:JobDescription>", "</wscn:DocumentParameters>", "</wscn:MediaFront>"]
    text = messages.PROCESS
    for place in places:
        text = text.replace(place, extension + place)

    assert folder.add(text.encode(), display_name="Notes")


@pytest.mark.parametrize("identifier", ["", "x", "../" + GUID])
def test_an_identifier_is_a_guid(folder, identifier):
    """It becomes a file name."""
    with pytest.raises(InvalidArgument, match="PSP_Identifier"):
        folder.add(XML, display_name="Notes", identifier=identifier)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x7fb", "\ud800"])
def test_a_display_name_is_one_line(folder, name):
    """Devices show it in a list; so it is with a user's name."""
    with pytest.raises(InvalidArgument, match="PSP_DisplayName"):
        folder.add(XML, display_name=name)
    with pytest.raises(InvalidArgument, match="users"):
        folder.add(XML, display_name="Notes", users=[name])


def test_a_long_display_name_is_cut(folder):
    """The directory allows 256 characters, the protocol 255 (PSP-040)."""
    assert folder.add(XML, display_name="x" * 256).display_name == "x" * 255


@pytest.mark.parametrize(
    ("server_names", "found"),
    [
        ((), True),
        (("SCAN7.contoso.example",), True),
        (("scan8", "scan7.contoso.example."), True),
        (("scan8.contoso.example",), False),
        (("scan7",), False),
    ],
)
def test_a_process_of_another_server_is_none_of_ours(tmp_path, server_names, found):
    """It cannot be run here, and nobody learns that it exists (O-5, PSP-046)."""
    put(tmp_path)
    folder = ProcessFolder(tmp_path / "processes", server_names)

    assert (folder.find(GUID) is not None) is found


def test_a_process_of_another_server_cannot_be_stored(tmp_path):
    """Whoever adds it hears why (O-5)."""
    with pytest.raises(InvalidArgument) as caught:
        ProcessFolder(tmp_path, ("scan8",)).add(XML, display_name="Notes")
    assert caught.value.argument == namespaces.psp("ScanRepository")


def test_a_device_runs_what_is_stored(folder):
    """Nothing else is admitted (D10, DSP-021)."""
    process = folder.add(XML, display_name="Notes")
    folder.admit(process, process.instructions)

    with pytest.raises(InvalidArgument):
        folder.admit(process, Instructions("Other", process.instructions.filters, continue_on_error=True))


def test_a_lenient_folder_admits_anything(tmp_path):
    """For sites without stored processes of their own (D10)."""
    folder = ProcessFolder(tmp_path, lenient=True)
    process = folder.add(XML, display_name="Notes")

    folder.admit(process, Instructions("Other", ()))
