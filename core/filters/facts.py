"""What a filter is told about its job and about each document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Document:
    """One image file as a filter sees it.

    `format` is the protocol's keyword (`png`, `tiff-single-g4` ...), `size` in bytes, `sha256` in hex. `path` is
    readable and belongs to the server: never change it. `name` is the file name that the document should get.
    """

    id: int
    format: str
    size: int
    sha256: str
    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class JobFacts:
    """The job that a filter works for."""

    token: str
    process: str
    created: datetime
