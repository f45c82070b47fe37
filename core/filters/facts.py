"""What a filter gets to know of its job and of each document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from postscan.core.model import formats


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

    @property
    def media_type(self) -> str:
        """The media type of the format, such as `image/png`; `application/octet-stream` for an unknown format."""
        return formats.media_type(self.format)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """The job that a filter works for."""

    token: str
    process: str
    created: datetime
