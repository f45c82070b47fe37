"""`postscan plugin check`: what it finds, what it says, and how it ends."""

from __future__ import annotations

import json
import struct
import sys
import zlib

import faulty_plugins
import pytest
import typer
from plugin_names import others
from typer.testing import CliRunner

from postscan.cli.plugin.check import check
from postscan.core.model.formats.test_page import png


@pytest.fixture(scope="module", autouse=True)
def _faulty_plugins_installed():
    """The faulty plugins are installed as far as Python can tell."""
    with faulty_plugins.installed():
        yield


@pytest.fixture
def out(tmp_path):
    """A destination."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def postscan_check(settings_file):
    """Run the command by itself, with the test's own settings, in which every other plugin is disabled."""
    app = typer.Typer()
    app.command()(check)

    def run(name, *arguments, disabled=False):
        unwanted = others() if disabled else others(name)
        settings_file.write_text(f"plugins.disabled = {unwanted}\n{settings_file.read_text()}")
        arguments = [name, *arguments]
        return CliRunner().invoke(app, [str(argument) for argument in arguments], obj=settings_file)

    return run


@pytest.fixture
def share(settings_file, out):
    """Settings in which the file share filter has a share."""
    table = f"[filters.fileshare]\nshares = {{ '\\\\demo\\out' = '{out}' }}\n"
    settings_file.write_text(f"{settings_file.read_text()}\n{table}")
    return r"\\demo\out"


@pytest.fixture
def instructions(tmp_path, share):
    """What a scan process has for the file share filter."""
    namespace = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare"
    path = tmp_path / "fileshare.xml"
    path.write_text(
        f"<f:FileShareConfig xmlns:f='{namespace}'><f:FileShares><f:ShareUNC>{share}</f:ShareUNC></f:FileShares>"
        "</f:FileShareConfig>"
    )
    return path


def test_a_good_plugin_has_no_defects(postscan_check, instructions, out):
    """With its configured settings and two pages of our own; what it delivers is delivered."""
    result = postscan_check("fileshare", "--instructions", instructions)

    assert result.exit_code == 0
    assert "no defects found (10 runs, cancelled at each of 7 token checks)" in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert {path.read_bytes() for path in out.rglob("*.png")} == {png(1), png(2)}


def test_the_pages_may_be_the_authors_own(postscan_check, instructions, page, out):
    """As many as are named."""
    result = postscan_check("fileshare", "--instructions", instructions, "--page", page)

    assert result.exit_code == 0
    assert {path.read_bytes() for path in out.rglob("*.png")} == {page.read_bytes()}


def test_a_defect_is_a_line_and_the_exit_code_1(postscan_check):
    """Which filter, what kind, and what to do."""
    result = postscan_check("faulty-never-checks")

    assert result.exit_code == 1
    assert result.stdout.startswith("urn:faulty:never-checks: never checks the token: it never checked")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("faulty-import-error", "import error: ModuleNotFoundError: No module named 'a_module_that_nobody_has'"),
        ("faulty-wrong-api", "wrong API version: Faulty.api is 2; this postscan offers version 1"),
        ("faulty-no-token", "run without token: Faulty.run(job) cannot be told to stop"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_told_why(postscan_check, name, line):
    """By the sentence for which it is quarantined."""
    result = postscan_check(name)

    assert result.exit_code == 1
    assert line in result.stdout


def test_the_settings_may_come_from_another_file(postscan_check, tmp_path, out):
    """One that the author has for trying it; here its own secret is the defect."""
    path = tmp_path / "try.toml"
    path.write_text(f'[filters.faulty-tells-a-secret]\nfolder = "{out}"\nphrase = "swordfish"\n')
    result = postscan_check("faulty-tells-a-secret", "--settings", path)

    assert result.exit_code == 1
    assert "secret in the log" in result.stdout
    assert "swordfish" not in result.output
    assert list(out.iterdir())


def test_what_could_not_be_tried_is_the_exit_code_2(postscan_check):
    """That is no defect of the plugin."""
    result = postscan_check("fileshare")

    assert result.exit_code == 2
    assert "could not be tested: it had nothing to do: the scan process names no ShareUNC" in result.stdout


def test_a_disabled_plugin_is_not_tried(postscan_check):
    """None of its code is imported."""
    result = postscan_check("faulty-swallows", disabled=True)

    assert result.exit_code == 2
    assert "it is disabled; postscan plugin enable faulty-swallows" in result.stdout


def test_settings_that_do_not_fit_are_no_defect(postscan_check, settings_file):
    """The administrator wrote them, not the author."""
    settings_file.write_text(settings_file.read_text() + '\n[filters.faulty-swallows]\nfolders = "x"\n')
    result = postscan_check("faulty-swallows")

    assert result.exit_code == 2
    assert "[filters.faulty-swallows] has no setting 'folders'" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nobody"], "no plugin 'nobody' is installed"),
        (["fileshare", "--page", "missing.png"], "missing.png"),
        (["fileshare", "--settings", "{settings}"], "has no table [filters.fileshare]"),
    ],
)
def test_a_wrong_command_line_is_told_from_a_defect(postscan_check, settings_file, arguments, reason):
    """Exit code 2, and what was wrong on stderr."""
    result = postscan_check(*(one.format(settings=settings_file) for one in arguments))

    assert result.exit_code == 2
    assert " ".join(reason.split()) in " ".join(result.stderr.replace("\n", " ").split())


def test_the_json_form_has_everything(postscan_check):
    """A list with one record for each filter."""
    result = postscan_check("faulty-never-checks", "--json")
    (record,) = json.loads(result.stdout)

    assert result.exit_code == 1
    assert record["dialect"] == "urn:faulty:never-checks"
    assert [defect["kind"] for defect in record["defects"]] == ["never checks the token"]
    assert (record["untried"], record["runs"], record["looks"], record["cancels"]) == ("", 2, 0, 0)


def test_no_code_of_the_plugin_runs_in_the_process_of_the_command(postscan_check, out):
    """It is examined in a child."""
    sys.modules.pop("faulty_never_checks", None)
    postscan_check("faulty-never-checks")

    assert "faulty_never_checks" not in sys.modules


def test_the_page_of_our_own_is_a_png():
    """Every chunk with its checksum, and as many rows as it says."""
    data, chunks = png(1)[8:], {}
    while data:
        (size,) = struct.unpack("!I", data[:4])
        kind, body, (crc,) = data[4:8], data[8 : 8 + size], struct.unpack("!I", data[8 + size : 12 + size])
        assert zlib.crc32(kind + body) == crc
        chunks[kind], data = body, data[12 + size :]
    width, height = struct.unpack("!2I", chunks[b"IHDR"][:8])

    assert list(chunks) == [b"IHDR", b"pHYs", b"IDAT", b"IEND"]
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (width + 1)
