"""`postscan process`, and what a device reads of a stored process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
from lxml import etree
from plugin_names import unused
from typer.testing import CliRunner, Result

from postscan.cli.app import app
from postscan.cli.demo import sandbox
from postscan.cli.device import process_files
from postscan.core.errors import InvalidArgument, PostscanError
from postscan.core.model.formats import test_page

SAMPLES = Path(sandbox.__file__).parent / "samples"
ARCHIVE = SAMPLES / "archive.xml"
GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"


@pytest.fixture
def settings_file(settings_file: Path) -> Path:
    """The test's own settings; of our plugins only those of the samples, since each command loads what is there."""
    settings_file.write_text(f'[storage]\ndata_dir = "data"\n[plugins]\ndisabled = {unused("fileshare", "stamp")}\n')
    return settings_file


def test_what_was_added_is_listed(postscan: Callable[..., Result], tmp_path: Path) -> None:
    """Add prints the GUID; list shows it with its name, its filters and its users."""
    added = postscan("process", "add", ARCHIVE, "--name", "Archive", "--user", "ann@demo.example", "--id", GUID.lower())
    listed = postscan("process", "list")

    assert (added.exit_code, added.stdout) == (0, f"{GUID}\n")
    assert (tmp_path / "data" / "processes" / f"{GUID}.xml").read_bytes() == ARCHIVE.read_bytes()
    assert listed.stdout.splitlines()[-1].split() == [GUID, "Archive", "fileshare", "ann@demo.example"]


def test_without_a_guid_there_is_a_new_one(postscan: Callable[..., Result]) -> None:
    """Two processes never share one."""
    guids = {postscan("process", "add", ARCHIVE, "--name", "Archive").stdout for _ in range(2)}

    assert len(guids) == 2


def test_a_broken_process_is_listed_with_the_reason(postscan: Callable[..., Result], tmp_path: Path) -> None:
    """PSP: somebody edited the file by hand; the others are still listed."""
    postscan("process", "add", ARCHIVE, "--name", "Archive", "--id", GUID)
    postscan("process", "add", ARCHIVE, "--name", "Other")
    (tmp_path / "data" / "processes" / f"{GUID}.xml").write_text("<oops>")
    result = postscan("process", "list")

    assert result.exit_code == 0
    assert "cannot be used" in result.stdout
    assert "Other" in result.stdout


def test_an_empty_folder_is_said_to_be_so(postscan: Callable[..., Result]) -> None:
    """And what to do about it."""
    assert "no scan processes are stored; add one" in postscan("process", "list").stdout


@pytest.mark.parametrize("sample", ["archive.xml", "archive-and-stamp.xml"])
def test_the_samples_can_be_stored(postscan: Callable[..., Result], sample: str) -> None:
    """What the demo uses passes the checks that everybody's process has to pass."""
    result = postscan("process", "check", SAMPLES / sample)

    assert result.exit_code == 0
    assert "can be stored" in result.stdout


def test_check_stores_nothing(postscan: Callable[..., Result], tmp_path: Path) -> None:
    """It only looks."""
    postscan("process", "check", ARCHIVE)

    assert not (tmp_path / "data" / "processes").exists()


@pytest.mark.parametrize("command", [["check"], ["add", "--name", "X"]])
def test_a_wrong_process_is_refused_with_the_element(
    postscan: Callable[..., Result], tmp_path: Path, command: list[str]
) -> None:
    """A process without DocumentRootName cannot name its documents."""
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(ARCHIVE.read_text().replace("<psp:DocumentRootName>Archive</psp:DocumentRootName>", ""))
    result = postscan("process", *command, wrong)

    assert result.exit_code == 1
    assert "DocumentRootName" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["check"], ["add", "--name", "X"]])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("t" * 256, "{urn:postscan:2026:filter:stamp}Text"),
        ("</st:Text><st:Colour/><st:Text>", "{urn:postscan:2026:filter:stamp}Colour"),
    ],
    ids=["too long", "unknown"],
)
def test_what_a_filter_does_not_take_is_refused_when_it_is_stored(
    postscan: Callable[..., Result], tmp_path: Path, command: list[str], text: str, sentence: str
) -> None:
    """PSP-030: not when somebody stands at the device; the sentence names the filter and the element."""
    wrong = tmp_path / "wrong.xml"
    wrong.write_text((SAMPLES / "archive-and-stamp.xml").read_text().replace("Received", text))
    result = postscan("process", *command, wrong)

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "in filter 2 (Stamp, urn:postscan:2026:filter:stamp)" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "data" / "processes").exists()


def test_a_filters_own_check_is_asked_when_a_process_is_stored(postscan: Callable[..., Result], tmp_path: Path) -> None:
    """With the words of its author."""
    dialect, asked = "urn:postscan:2026:filter:stamp", '<do xmlns="urn:acme">refuse</do>'
    before, _, rest = (SAMPLES / "archive-and-stamp.xml").read_text().partition("<st:StampConfig")
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(f"{before}{asked}{rest.partition('</st:StampConfig>')[2]}".replace(dialect, "urn:acme:moody"))
    result = postscan("process", "add", wrong, "--name", "X")

    assert result.exit_code == 1
    assert "but: it does not want to, in filter 2 (Moody, urn:acme:moody)" in result.stderr


def test_a_process_for_a_plugin_that_is_not_here_can_be_stored(postscan: Callable[..., Result], tmp_path: Path) -> None:
    """O-7: it may come later, or a job may do without it."""
    other = tmp_path / "other.xml"
    other.write_text((SAMPLES / "archive-and-stamp.xml").read_text().replace("urn:postscan:2026:filter:stamp", "urn:x"))

    assert postscan("process", "add", other, "--name", "X").exit_code == 0


def test_a_wrong_guid_is_refused(postscan: Callable[..., Result]) -> None:
    """The sentence names the option."""
    result = postscan("process", "add", ARCHIVE, "--name", "Archive", "--id", "seven")

    assert result.exit_code == 1
    assert "--id: 'seven' is not valid; expected a GUID" in result.stderr


def test_a_device_copies_the_instructions_out_of_the_stored_process() -> None:
    """All that stands in psp:PostScanInstructions, nothing else, and every prefix still bound."""
    copied = etree.fromstring(f"<r>{process_files.instructions(ARCHIVE)}</r>")
    names = [etree.QName(element).localname for element in copied]

    assert names == ["DocumentRootName", "FiltersToProcess"]
    assert copied.find(".//{*}ShareUNC").text == r"\\demo\archive"


@pytest.mark.parametrize(
    "stored",
    [
        '<?xml version="1.0" encoding="utf-16"?>\n{}'.format,
        lambda xml: "\ufeff" + xml,
    ],
    ids=["another encoding declared", "byte order mark"],
)
def test_a_directory_keeps_text_whatever_encoding_it_names(tmp_path: Path, stored: Callable[[str], str]) -> None:
    """scan-process.md section 7: the declaration inside a directory attribute means nothing."""
    path = tmp_path / "a.xml"
    path.write_text(stored(ARCHIVE.read_text()), "utf-8")

    assert process_files.instructions(path) == process_files.instructions(ARCHIVE)


@pytest.mark.parametrize(("content", "expected"), [("<a", "not well-formed"), ("<a/>", "no psp:PostScanInstructions")])
def test_a_file_that_is_no_scan_process_is_named(tmp_path: Path, content: str, expected: str) -> None:
    """The file and what is wrong with it."""
    path = tmp_path / "a.xml"
    path.write_text(content)

    with pytest.raises(PostscanError, match=rf"a\.xml: .*{expected}"):
        process_files.instructions(path)


def test_a_guid_is_known_in_any_spelling() -> None:
    """DSP-018: case and braces say nothing."""
    assert process_files.identifier("--process", f" {{{GUID.lower()}}} ") == GUID
    with pytest.raises(InvalidArgument, match="--process"):
        process_files.identifier("--process", "x")


# --- test --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running server that can deliver the sample to the folder `share`; lend the folder of its settings."""
    home = tmp_path_factory.mktemp("serving")
    (home / "share").mkdir()
    settings = home / "postscan.toml"
    settings.write_text(
        '[server]\nport = 0\n[console]\nenabled = false\n[storage]\ndata_dir = "data"\n'
        f"[plugins]\ndisabled = {unused('fileshare')}\n"
        f"[filters.fileshare.shares]\n'\\\\demo\\archive' = '{home / 'share'}'\n"
    )
    serve = ["--config", str(settings), "serve"]
    with commands.start(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout
            assert server.stdout.readline().startswith("http://127.0.0.1:")
            yield home
        finally:
            server.terminate()


@pytest.fixture
def beside(serving: Path) -> Callable[..., Result]:
    """Run the command line with the settings of the running server."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["--config", str(serving / "postscan.toml"), *map(str, arguments)])

    return run


@pytest.fixture
def archive(beside: Callable[..., Result]) -> str:
    """The sample, stored for everybody; its GUID."""
    return str(beside("process", "add", ARCHIVE, "--name", "Archive").stdout.strip())


@pytest.fixture
def new_jobs(beside: Callable[..., Result]) -> Callable[[], list[Any]]:
    """Return all jobs that were made since the test began."""
    before = [job["token"] for job in jobs(beside)]
    return lambda: [job for job in jobs(beside) if job["token"] not in before]


def jobs(postscan: Callable[..., Result]) -> Any:
    """Return all jobs that there ever were."""
    return json.loads(postscan("jobs", "list", "--all", "--json").stdout)


def test_one_page_goes_through_a_running_server(
    serving: Path, beside: Callable[..., Result], archive: str, new_jobs: Callable[[], list[Any]]
) -> None:
    """It arrives where documents of the process do, and all that happened is shown; the maker is in the audit trail."""
    before = set(serving.rglob("*.png"))
    result = beside("process", "test", archive, "--user", "S-1-5-21-1-2-3-1002")
    (page,) = set(serving.glob("share/**/*.png")) - before

    assert result.exit_code == 0
    assert page.read_bytes() == test_page.png(1)
    assert page.parent.name.startswith("S-1-5-21-1-2-3-1002")
    assert "Completed" in result.stdout
    assert "CompletedSuccessfully" in result.stdout
    assert page.name in result.stdout
    assert [(job["state"], job["owner"]["proof"]) for job in new_jobs()] == [("Completed", "local")]


def test_a_page_that_cannot_be_delivered_tells_why(serving: Path, beside: Callable[..., Result], archive: str) -> None:
    """The filter's own words, and the exit code of the job's state."""
    (serving / "share").rename(serving / "elsewhere")
    try:
        result = beside("process", "test", archive)
    finally:
        (serving / "elsewhere").rename(serving / "share")

    assert result.exit_code == 4
    assert "Aborted" in result.stdout
    assert "there is no folder" in result.stdout


def test_a_job_that_takes_longer_is_left_to_the_server(
    beside: Callable[..., Result], archive: str, new_jobs: Callable[[], list[Any]]
) -> None:
    """Nothing is waited for here, so the job has hardly begun; how to go on is said."""
    for _ in range(20):
        result = beside("process", "test", archive, "--wait", "0")
        if result.exit_code:  # else the server was faster than the command, which has looked once
            break
    job = new_jobs()[-1]

    assert result.exit_code == 1
    assert f"after 0 s; go on with: postscan jobs watch {job['token']}" in result.stderr
    assert beside("jobs", "watch", job["token"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([GUID], "no scan process 7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7 is stored"),
        (["seven"], "ID: 'seven' is not valid"),
    ],
)
def test_a_process_that_is_not_there_cannot_be_tested(
    beside: Callable[..., Result], new_jobs: Callable[[], list[Any]], arguments: list[str], sentence: str
) -> None:
    """And there is no job of it."""
    result = beside("process", "test", *arguments)

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert new_jobs() == []


def test_a_user_who_may_not_use_the_process_cannot_test_it(
    beside: Callable[..., Result], new_jobs: Callable[[], list[Any]]
) -> None:
    """The rules of a device count for an administrator's page as well."""
    added = beside("process", "add", ARCHIVE, "--name", "Archive", "--user", "S-1-5-21-1-2-3-1003")
    result = beside("process", "test", added.stdout.strip())

    assert result.exit_code == 1
    assert "expected the GUID of a scan process of this user" in result.stderr
    assert new_jobs() == []


def test_without_a_server_no_job_is_left_behind(postscan: Callable[..., Result]) -> None:
    """Nobody would run it; the command that starts one is told."""
    postscan("process", "add", ARCHIVE, "--name", "Archive", "--id", GUID)
    result = postscan("process", "test", GUID)

    assert result.exit_code == 1
    assert result.stderr == ("postscan: no server is running with this data folder; start it with: postscan serve\n")
    assert jobs(postscan) == []
