"""The images that the scanner yields: sides of paper, read from files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from postscan.cli.device.escl.machine import jpeg
from postscan.core.errors import PostscanError

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
PDF: Final = "application/pdf"

DENSITY: Final = 300
"""Dots per inch of a file that does not give them; also the unit of the regions of eSCL (escl.md section 3)."""
A4: Final = (2480, 3508)

_SIGNATURES: Final = ((jpeg.SOI, JPEG), (b"\x89PNG\r\n\x1a\n", PNG), (b"%PDF-", PDF))


@dataclass(frozen=True, slots=True)
class ScannedSide:
    """One image as the scanner sends it. Width and height are pixels at *density* dots per inch."""

    data: bytes = field(repr=False)
    media_type: str
    width: int
    height: int
    density: int = DENSITY

    @classmethod
    def of(cls, data: bytes) -> ScannedSide:
        """Read the size from the bytes of a JPEG or PNG file; a PDF has that of A4. Raise `PostscanError`."""
        media_type = next((one for signature, one in _SIGNATURES if data.startswith(signature)), "")
        if media_type == JPEG:
            try:
                found = jpeg.head(data)
            except jpeg.NotJpeg as error:
                raise PostscanError(f"not a JPEG file that a scanner sends: {error}") from None
            return cls(data, JPEG, found.width, found.height, found.density if found.density > 1 else DENSITY)
        if media_type == PNG and len(data) >= 33:
            return cls(data, PNG, int.from_bytes(data[16:20]), int.from_bytes(data[20:24]), _png_density(data))
        if media_type == PDF:
            return cls(data, PDF, *A4)
        raise PostscanError("not a JPEG, PNG or PDF file")

    @classmethod
    def read(cls, file: Path) -> ScannedSide:
        """Read a file; raise `PostscanError` that names it."""
        try:
            return cls.of(file.read_bytes())
        except OSError as error:
            raise PostscanError(f"{file}: {error.strerror}") from None
        except PostscanError as error:
            raise PostscanError(f"{file}: {error}") from None

    @property
    def region(self) -> tuple[int, int]:
        """Width and height in 1/300 inch, rounded."""
        return round(self.width * DENSITY / self.density), round(self.height * DENSITY / self.density)


def _png_density(data: bytes) -> int:
    """Return the dots per inch of the chunk pHYs, which counts dots per metre; else `DENSITY`."""
    at = 33  # behind the signature and IHDR
    while at + 21 <= len(data) and data[at + 4 : at + 8] not in (b"pHYs", b"IDAT"):
        at += 12 + int.from_bytes(data[at : at + 4])
    if data[at + 4 : at + 8] != b"pHYs" or data[at + 16 : at + 17] != b"\1":
        return DENSITY
    return round(int.from_bytes(data[at + 8 : at + 12]) * 0.0254) or DENSITY


def repeated(sides: list[ScannedSide], number: int) -> list[ScannedSide]:
    """Return *number* sides: the given ones repeated or cut; as they are if it is 0."""
    return [sides[at % len(sides)] for at in range(number)] if number else list(sides)
