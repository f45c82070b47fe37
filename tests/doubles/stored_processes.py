"""Stored scan processes with filters of the tests, and forms as a browser submits them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lxml import html

from postscan.core.filters import parameters
from postscan.core.filters.parameters import element
from postscan.core.model.process import FilterInstructions
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.soap.processes import drafts
from postscan.soap.processes.files import NONE, ProcessFiles
from postscan.soap.processes.folder import ProcessFolder

GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
LETTER, RAW = "urn:test:letter", "urn:test:raw"


@dataclass(frozen=True)
class Letter:
    """Letter: what is printed."""

    text: str = element("Text", longest=20, help="what stands on it")
    size: Literal["a4", "a5"] = element("Size", default="a4")
    to: tuple[str, ...] = element("To", default=())


SCHEMA = parameters.schema(Letter)
CATALOGUE = Catalogue(
    (
        Plugin(
            "printers",
            "d",
            "1",
            PluginState.READY,
            filters=(FilterInfo(LETTER, "Print", "", 5.0, instructions=SCHEMA), FilterInfo(RAW, "Raw", "", 5.0)),
        ),
    )
)


def letter(text: str) -> FilterInstructions:
    """Return instructions with this text."""
    return FilterInstructions(LETTER, SCHEMA.write({"text": text}, LETTER))


@dataclass
class StoredProcesses:
    """The folder of the stored processes, and their files."""

    folder: Path

    def store(self, *filters: FilterInstructions, name: str = "Archive", id: str = GUID) -> ProcessFiles:
        """Store a process with these filters."""
        files = drafts.new(name, (), filters or (letter("one"),), server="scan01", author="ann")
        ProcessFolder(self.folder).replace(id, NONE, files)
        return files

    def all(self) -> dict[str, bytes]:
        """Return what is in the folder, by file name."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("*-*"))}


def shown_form(page: str) -> dict[str, list[str]]:
    """Return what a browser submits of the form of a page: line ends are CRLF, and the first one of a text is none."""
    form = next(form for form in html.fromstring(page).forms if form.get("action") not in ("/logout", "/"))
    areas = {one.name for one in form.inputs if getattr(one, "tag", "") == "textarea"}
    found: dict[str, list[str]] = {}
    for name, value in form.form_values():
        text = value.replace("\r\n", "\n")
        found.setdefault(name, []).append((text.removeprefix("\n") if name in areas else text).replace("\n", "\r\n"))
    found.pop("csrf")
    return found
