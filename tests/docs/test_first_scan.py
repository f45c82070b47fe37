"""The page about a first scan: a reader with nothing but that page follows it, from the installation to the PDF."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from elsewhere import Elsewhere
from free_ports import free_port
from page_shell import PageShell, ShownCommand

Image = pytest.importorskip("PIL.Image", reason="the page of the mail needs the extra [image]")
pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")

PAGE = "docs/first-scan.md"
FOLDER = "/tmp/first-scan"
PATIENT = "\n[plugins]\nprobe_seconds = 60  # a busy machine is no broken plugin\n"

pytestmark = [pytest.mark.services, pytest.mark.timeout(1800)]


@dataclass
class Reading:
    """What came of following the page: its commands, the page that was sent, and the files that were delivered."""

    folder: Path
    commands: list[ShownCommand] = field(default_factory=list)
    sent: bytes = b""
    delivered: dict[str, bytes] = field(default_factory=dict)


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """The page, followed once; the files are read when the page looks at them, since it removes them in the end."""
    elsewhere = Elsewhere(tmp_path_factory, "first-scan")
    reading = Reading(elsewhere.home / "first-scan")
    replaced = {FOLDER: str(reading.folder), "5362": str(free_port()), "2525": str(free_port())}
    with contextlib.closing(
        PageShell(elsewhere.checkout(), _shell(elsewhere), replaced, {"postscan.toml": PATIENT})
    ) as shell:
        for command in shell.follow(PAGE):
            reading.commands.append(command)
            if command.command.startswith("ls "):
                reading.sent = (reading.folder / "page.png").read_bytes()
                reading.delivered = {file.name: file.read_bytes() for file in _files(reading.folder / "scans")}
    return reading


def _shell(elsewhere: Elsewhere) -> dict[str, str]:
    """Return the variables of a shell whose `python3` is the one of these tests, and which knows no environment."""
    tools = elsewhere.home / "bin"
    tools.mkdir()
    (tools / "python3").symlink_to(Path(sys.executable).resolve())
    path = f"{tools}:{os.environ['PATH']}"
    return {name: value for name, value in elsewhere.variables.items() if name != "VIRTUAL_ENV"} | {"PATH": path}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_every_command_of_the_page_ends_well(reading: Reading) -> None:
    """From the first to the last, in one shell."""
    assert [(one.command, one.code, one.output) for one in reading.commands if one.code] == []
    assert reading.commands[-1].command.startswith("rm -r")


def test_every_output_that_the_page_shows_is_true(reading: Reading) -> None:
    """But for the numbers in it: times and ports."""
    assert [(one.command, one.missing, one.output) for one in reading.commands if one.missing] == []


def test_the_mail_has_become_a_pdf_with_its_page(reading: Reading) -> None:
    """One file, with the same picture as the attachment."""
    ((name, content),) = reading.delivered.items()
    with pikepdf.open(io.BytesIO(content)) as pdf, Image.open(io.BytesIO(reading.sent)) as sent:
        (page,) = pdf.pages
        (picture,) = page.get_images().values()
        embedded = pikepdf.PdfImage(picture).as_pil_image()
        sent.load()

        assert name.endswith(".pdf")
        assert embedded.size == sent.size
        assert embedded.convert("L").tobytes() == sent.convert("L").tobytes()
        assert len(sent.getcolors()) > 1  # it is not blank


def test_nothing_is_left_behind(reading: Reading) -> None:
    """No file, and no process that has run in the folder."""
    running = (" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"]))

    assert not reading.folder.exists()
    assert [command for command in running if str(reading.folder) in command] == []
