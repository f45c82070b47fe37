"""`postscan process new`, `show`, `edit` and `remove`, with the filters of the settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugin_names import unused
from typer.testing import CliRunner, Result

from postscan.cli.app import app
from postscan.cli.demo import sandbox

Postscan = Callable[..., Result]
ARCHIVE = Path(sandbox.__file__).parent / "samples" / "archive.xml"
SHARE = r"\\files\scans"
GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"


@pytest.fixture
def settings_file(settings_file: Path) -> Path:
    """The test's own settings; of our plugins only those that the processes name."""
    disabled = json.dumps(unused("fileshare", "webhook"))
    settings_file.write_text(f'[storage]\ndata_dir = "data"\n[plugins]\ndisabled = {disabled}\n')
    return settings_file


@pytest.fixture
def processes(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Return what is in the folder of the processes, by file name."""
    folder = tmp_path / "data" / "processes"
    return lambda: {path.name: path.read_bytes() for path in sorted(folder.glob("*-*"))}


def shown(postscan: Postscan, name: str = GUID) -> Any:
    """Return a process as `show --json` has it."""
    result = postscan("process", "show", name, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_new_process_can_be_stored_shown_and_checked(postscan: Postscan, tmp_path: Path) -> None:
    """Without a line of XML; the instructions are those of the options."""
    made = postscan(
        *("process", "new", "--name", "Archive & more", "--filter", "fileshare", "--filter", "webhook", "--id", GUID),
        *("--share", SHARE, "--share", r"\\files\copies", "--webhook.target", "books", "--continue-on-error"),
        *("--user", "ann@fabrikam.example", "--server", "scan01.fabrikam.example"),
    )
    assert (made.exit_code, made.stdout) == (0, f"{GUID}\n"), made.output
    assert "no server is running with this data folder; the next one uses it" in made.stderr

    record = shown(postscan, "Archive & more")
    first, second = record["filters"]
    assert (first["name"], first["values"]) == ("fileshare", {"share_uncs": [SHARE, r"\\files\copies"]})
    assert (second["name"], second["values"]) == ("webhook", {"target": "books"})
    assert (record["id"], record["users"]) == (GUID, ["ann@fabrikam.example"])
    assert (record["document_root"], record["continue_on_error"]) == ("Archive & more", True)
    assert record["server"] == "scan01.fabrikam.example"

    checked = postscan("process", "check", tmp_path / "data" / "processes" / f"{GUID}.xml")
    assert (checked.exit_code, "can be stored" in checked.stdout) == (0, True), checked.output


def test_what_is_shown_to_people_names_the_options(postscan: Postscan) -> None:
    """So that they can be copied into `edit`; the list has it as JSON as well."""
    postscan("process", "new", "--name", "Archive", "--filter", "fileshare", "--share", SHARE, "--id", GUID)
    text = postscan("process", "show", "Archive").stdout
    listed = json.loads(postscan("process", "list", "--json").stdout)

    assert rf"--fileshare.share-uncs {SHARE}" in text
    assert "all users" in text
    assert [(one["id"], one["name"], one["users"], one["problem"]) for one in listed] == [(GUID, "Archive", [], "")]


REFUSED = {
    "a required field is missing": (["--filter", "webhook"], "--webhook.target is missing or empty; expected a text"),
    "a wrong share": (
        ["--filter", "fileshare", "--share", "a"],
        "--fileshare.share-uncs: 'a' is not valid; expected a share",
    ),
    "no such filter": (["--filter", "fax"], "--filter: 'fax' is not valid; expected one of "),
    "a filter that is disabled": (["--filter", "pdf"], "--filter: 'pdf' is not valid; expected one of "),
    "a name that is no line": (["--filter", "fileshare", "--name", "a\nb"], "PSP_DisplayName"),
}


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_refused_in_one_line(
    postscan: Postscan, processes: Callable[[], Any], arguments: list[str], sentence: str
) -> None:
    """With the field and what was expected; nothing is stored."""
    result = postscan("process", "new", "--name", "New", *arguments)

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert processes() == {}


def test_the_help_has_the_fields_of_the_filters(postscan: Postscan) -> None:
    """Of those that are named; without a name no plugin is loaded."""
    named = postscan("process", "new", "--filter", "webhook", "--filter=fileshare", "--help").stdout
    alone = postscan("process", "new", "--help").stdout

    assert "--webhook.target VALUE\n      the name of a target in the settings: a text of at most" in named
    assert "characters [required]" in named
    assert "--fileshare.share-uncs VALUE" in named
    assert "may be given again [default: none]" in named
    assert "--webhook" not in alone


@pytest.fixture
def by_hand(postscan: Postscan, tmp_path: Path) -> bytes:
    """A stored process, Archive, that has what no option makes; its XML."""
    file = tmp_path / "by-hand.xml"
    file.write_text(ARCHIVE.read_text().replace("<psp:FiltersToProcess>", "<psp:FiltersToProcess><!-- by hand -->"))
    assert postscan("process", "add", file, "--name", "Archive", "--id", GUID).exit_code == 0
    return file.read_bytes()


def test_an_edit_changes_a_field_and_no_other_byte(
    postscan: Postscan, by_hand: bytes, processes: Callable[[], dict[str, bytes]]
) -> None:
    """Of a process that was written by hand; an edit with no change writes nothing."""
    before = processes()
    given = ("--share", r"\\demo\archive", "--name", "Archive", "--root", "Archive")
    same = postscan("process", "edit", "Archive", *given)
    unchanged = processes()
    changed = postscan("process", "edit", GUID, "--share", SHARE)

    assert (same.exit_code, same.stdout) == (0, "nothing is changed\n"), same.output
    assert unchanged == before
    assert changed.exit_code == 0, changed.output
    assert changed.stdout == "changed; no server is running with this data folder; the next one uses it\n"
    expected = by_hand.replace(rb"\\demo\archive", SHARE.encode())
    assert processes() == before | {f"{GUID}.xml": expected}


def test_an_edit_changes_name_users_and_what_is_beside_the_filters(postscan: Postscan, by_hand: bytes) -> None:
    """In one step; a field without a value gets its default."""
    result = postscan(
        *("process", "edit", "Archive", "--name", "Papers", "--user", "ann@fabrikam.example", "--root", "Paper"),
        *("--continue-on-error", "--unset", "share"),
    )
    record = shown(postscan, "Papers")

    assert result.exit_code == 0, result.output
    assert (record["users"], record["document_root"]) == (["ann@fabrikam.example"], "Paper")
    assert (record["continue_on_error"], record["filters"][0]["values"]) == (True, {"share_uncs": []})


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["Archive", "--share", "scans"], 1, "--fileshare.share-uncs: 'scans' is not valid; expected a share as"),
        (["Archive", "--root", "r" * 256], 1, "DocumentRootName"),
        (["Archive", "--name", " "], 1, "PSP_DisplayName"),
        (["Archive", "--share", SHARE, "--revision", "0" * 64], 1, f"the scan process {GUID} has the revision "),
        (["Archive", "--unset", "share", "--share", SHARE], 1, "--unset: 'share' is not valid; expected a field that"),
        (["Archive", "--colour", "red"], 2, "there is no such option"),
        (["--share", SHARE, "Archive"], 2, "expected the name of a scan process before"),
        (["Archive", "--user", "S-1-1-0", "--all-users"], 2, "expected --user or --all-users"),
        (["Letters", "--share", SHARE], 1, "no scan process 'Letters' is stored; see: postscan process list"),
    ],
)
def test_an_edit_that_cannot_be_stored_changes_nothing(
    postscan: Postscan,
    by_hand: bytes,
    processes: Callable[[], dict[str, bytes]],
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    """The error says which option it is about, and what was expected."""
    before = processes()
    result = postscan("process", "edit", *arguments)

    assert result.exit_code == code, result.output
    assert sentence in " ".join(result.stderr.split())
    assert processes() == before


def test_the_revision_that_was_shown_is_the_one_that_is_edited(postscan: Postscan, by_hand: bytes) -> None:
    """A program reads, decides and edits; it learns whether another one was faster."""
    revision = shown(postscan)["revision"]
    first = postscan("process", "edit", GUID, "--root", "One", "--revision", revision)
    second = postscan("process", "edit", GUID, "--root", "Two", "--revision", revision)

    assert (first.exit_code, second.exit_code) == (0, 1)
    assert shown(postscan)["document_root"] == "One"


def test_the_help_of_an_edit_has_the_fields_of_its_process(postscan: Postscan, by_hand: bytes) -> None:
    """Those that can be given."""
    assert "--fileshare.share-uncs VALUE" in postscan("process", "edit", "Archive", "--help").stdout


def test_a_process_is_removed_after_a_question(
    postscan: Postscan, settings_file: Path, by_hand: bytes, processes: Callable[[], dict[str, bytes]]
) -> None:
    """Which names it; without an answer it stays. Destinations that need it are named."""
    with settings_file.open("a") as settings:
        settings.write(f'[destinations.papers]\nlabel = "Papers"\nprocess = "{GUID}"\n')
    command = ["--config", str(settings_file), "process", "remove", "Archive"]
    refused = [CliRunner().invoke(app, command, input=answer) for answer in ("n\n", "")]
    kept = processes()
    removed = CliRunner().invoke(app, command, input="y\n")

    assert [one.exit_code for one in refused] == [1, 1]
    assert f"Remove the scan process {GUID} (Archive)?" in refused[0].stdout
    assert "the destination papers of the settings needs it" in refused[0].stderr
    assert sorted(kept) == [f"{GUID}.toml", f"{GUID}.xml"]
    assert (removed.exit_code, processes()) == (0, {})


def test_a_broken_process_is_removed_without_a_question(
    postscan: Postscan, tmp_path: Path, by_hand: bytes, processes: Callable[[], dict[str, bytes]]
) -> None:
    """By its GUID, with --yes."""
    (tmp_path / "data" / "processes" / f"{GUID}.xml").write_text("<oops")
    (tmp_path / "data" / "processes" / f"{GUID}.toml").write_text("oops")
    result = postscan("process", "remove", GUID, "--yes")

    assert (result.exit_code, processes()) == (0, {}), result.output


def test_two_processes_of_one_name_are_told_apart_by_their_guid(postscan: Postscan, by_hand: bytes) -> None:
    """The error has both."""
    other = postscan("process", "add", ARCHIVE, "--name", "Archive").stdout.strip()
    result = postscan("process", "show", "Archive")

    assert result.exit_code == 1
    assert "2 scan processes have the name 'Archive'; give a GUID: " in result.stderr
    assert GUID in result.stderr
    assert other in result.stderr


def test_an_exported_process_can_be_imported_elsewhere(
    postscan: Postscan, tmp_path: Path, by_hand: bytes, processes: Callable[[], dict[str, bytes]]
) -> None:
    """Byte for byte, under its GUID; a stored one is replaced on demand alone, and no file is overwritten."""
    before = processes()
    exported = postscan("process", "export", "Archive", "--to", tmp_path)
    again = postscan("process", "export", "Archive", "--to", tmp_path)
    twice = postscan("process", "import", tmp_path / f"{GUID}.xml")
    replaced = postscan("process", "import", tmp_path / f"{GUID}.xml", "--replace")
    postscan("process", "remove", GUID, "--yes")
    imported = postscan("process", "import", tmp_path / f"{GUID}.xml")

    assert exported.stdout.split() == [str(tmp_path / f"{GUID}.{suffix}") for suffix in ("xml", "toml")]
    assert (again.exit_code, "exists; nothing is written" in again.stderr) == (1, True)
    assert (twice.exit_code, "is stored already" in twice.stderr) == (1, True)
    assert (replaced.exit_code, imported.exit_code, imported.stdout) == (0, 0, f"{GUID}\n")
    assert processes() == before
    assert {path.name: path.read_bytes() for path in tmp_path.glob(f"{GUID}.*")} == before


def test_an_import_is_checked_before_it_is_stored(
    postscan: Postscan, tmp_path: Path, processes: Callable[[], dict[str, bytes]]
) -> None:
    """The process, and the file with the name and the users, which must be there."""
    file = tmp_path / "wrong.xml"
    file.write_bytes(ARCHIVE.read_bytes().replace(rb"\\demo\archive", b"archive"))
    missing = postscan("process", "import", file)
    file.with_suffix(".toml").write_text('display_name = "Wrong"\n')
    wrong = postscan("process", "import", file)

    assert (missing.exit_code, "wrong.toml: No such file" in missing.stderr) == (1, True)
    assert (wrong.exit_code, "ShareUNC: 'archive' is not valid" in wrong.stderr) == (1, True)
    assert processes() == {}


def test_the_names_of_documents_are_previewed(postscan: Postscan, settings_file: Path, by_hand: bytes) -> None:
    """By the template of the settings and the values of the process."""
    with settings_file.open("a") as settings:
        settings.write("[naming]\ntemplate = '{process} {root} {page:d} of {user}'\n")
    postscan("process", "edit", "Archive", "--root", "Letter")
    result = postscan("process", "preview", "Archive", "--user", "bob@fabrikam.example", "--pages", "2")

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "Archive Letter 1 of bob@fabrikam.example.png",
        "Archive Letter 2 of bob@fabrikam.example.png",
        "",
        "The user's folder:  bob@fabrikam.example",
        "If a name is taken: Archive Letter 1 of bob@fabrikam.example-2.png",
        "Filters:            fileshare",
    ]


def test_a_process_of_another_server_is_listed_as_one(postscan: Postscan, settings_file: Path, by_hand: bytes) -> None:
    """No job can be made of it here."""
    with settings_file.open("a") as settings:
        settings.write('[processes]\nserver_names = ["scan02.fabrikam.example"]\n')
    listed = json.loads(postscan("process", "list", "--json").stdout)

    assert [(one["id"], one["name"]) for one in listed] == [(GUID, None)]
    assert "it names another server" in listed[0]["problem"]
    assert "cannot be used: it names another server" in postscan("process", "list").stdout
