"""The stamp filter: every page on A4, with the date, the user and a text along its bottom edge.

An example for authors of a filter that works on images: it checks its token between the steps, and within the longest
of them.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    FilterReason,
    FilterResult,
    Shares,
    element,
    hookimpl,
    setting,
)
from postscan.plugins.filters.images import TIFF, decoders_for, decoding_errors, open_image

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer
    from PIL import Image

NAMESPACE: Final = "urn:postscan:2026:filter:stamp"
FORMATS: Final = ("png", "jfif", "exif", "dib")  # and every tiff-*

DPI: Final = 300
PAGE: Final = (2480, 3508)  # A4 in pixels
MARGIN: Final = 60
LINE: Final = 44  # height of the text


@dataclass(frozen=True)
class Instructions:
    """StampConfig: the text on the pages, and the share that receives them."""

    text: str = element("Text", default="", help="written behind the date and the user")
    folder: str = element("FolderUNC", default="", help="the share that receives the stamped pages")


@dataclass(frozen=True)
class Settings:
    """`[filters.stamp]`: where the shares of scan processes are."""

    shares: Mapping[str, str] = setting({}, help="folders on this machine by UNC prefix")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a table that cannot be used."""
        _ = self.mapped

    @cached_property
    def mapped(self) -> Shares:
        """The shares, parsed."""
        return Shares(self.shares, "filters.stamp.shares")


class Stamp(Filter):
    """Lay every page on A4 at 300 dpi and write the date, the user and a text on it."""

    dialect = NAMESPACE
    title = "Stamp"
    grace = 3.0
    Instructions = Instructions
    Settings = Settings

    def requires(self) -> Iterable[str]:
        """Require Pillow."""
        if importlib.util.find_spec("PIL") is None:
            yield "Pillow is not installed; pip install 'postscan[image]'"

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Check that a file can be written to the share."""
        if job.instructions.folder:
            try:
                job.settings.mapped.probe(job.instructions.folder)
            except FilterFailed as failure:
                yield failure.detail

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Stamp every document that is an image; the others are stamped even if one cannot be read."""
        for lack in self.requires():
            raise FilterFailed(detail=lack)
        config = job.instructions
        if not config.folder:
            return FilterResult(("the scan process names no FolderUNC: nothing was stamped",))
        skipped: list[str] = []
        failures: list[FilterFailed] = []
        for document in job.documents:
            if document.format not in FORMATS and decoders_for(document.format) is not TIFF:
                skipped.append(f"{document.name}: pages in {document.format} cannot be stamped")
                continue
            try:
                _stamp(job, document, config, token)
            except FilterFailed as failure:
                failures.append(failure)
        if failures:
            raise FilterFailed.of(failures)
        return FilterResult(tuple(skipped))


def _stamp(job: FilterContext, document: Document, config: Instructions, token: CancellationToken) -> None:
    """Stamp and deliver each page of one document."""
    line = " · ".join(part for part in (f"{job.job.created:%Y-%m-%d %H:%M} UTC", job.user.name, config.text) if part)
    stamped = job.workdir / "stamped.png"
    for number, page in enumerate(_pages(document), start=1):
        token.check()
        sheet = _on_a4(page)
        token.check()
        _write(sheet, " ".join(line.split()))
        _save(sheet, stamped, token)
        stem = Path(document.name).stem
        first = number == 1
        job.settings.mapped.deliver(
            job,
            document,
            config.folder,
            source=stamped,
            name=f"{stem}-stamped.png" if first else f"{stem}-stamped-page{number}.png",
            destination=config.folder if first else f"{config.folder} page {number}",
        )


def _pages(document: Document) -> Iterator[Image.Image]:
    """Yield the pages of a document, decoded, in grey or in colour."""
    from PIL import ImageOps, ImageSequence

    with decoding_errors(document), open_image(document) as image:
        for frame in ImageSequence.Iterator(image) if decoders_for(document.format) is TIFF else [image]:
            grey = frame.mode in ("1", "L", "LA", "I;16")
            yield ImageOps.exif_transpose(frame).convert("L" if grey else "RGB")


def _on_a4(page: Image.Image) -> Image.Image:
    """Return the page on a white A4 sheet, scaled to the room above the line of text; the aspect ratio is kept."""
    from PIL import Image

    room = (PAGE[0] - 2 * MARGIN, PAGE[1] - 3 * MARGIN - LINE)
    scale = min(room[0] / page.width, room[1] / page.height)
    size = (max(1, round(page.width * scale)), max(1, round(page.height * scale)))
    sheet = Image.new(page.mode, PAGE, "white")
    sheet.paste(page.resize(size, Image.Resampling.LANCZOS), ((PAGE[0] - size[0]) // 2, MARGIN))
    return sheet


def _write(sheet: Image.Image, line: str) -> None:
    """Write one line along the bottom edge, in a smaller font if it is long."""
    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(sheet)
    width = PAGE[0] - 2 * MARGIN
    font = ImageFont.load_default(LINE)
    length = draw.textlength(line, font=font)
    if length > width:
        font = ImageFont.load_default(LINE * width / length)
    draw.text((MARGIN, PAGE[1] - MARGIN), line, fill="black", font=font, anchor="ls")


def _save(sheet: Image.Image, path: Path, token: CancellationToken) -> None:
    """Save as PNG; check the token for each write of the encoder."""
    try:
        with _CheckingWriter(path, token) as file:
            sheet.save(file, "PNG", optimize=True, dpi=(DPI, DPI))
    except OSError as error:
        raise FilterFailed(FilterReason.OUT_OF_DISK_SPACE, f"{path.name}: {error.strerror}") from error


class _CheckingWriter(io.BufferedWriter):
    """A new file that checks the token before each write."""

    def __init__(self, path: Path, token: CancellationToken) -> None:
        super().__init__(io.FileIO(path, "w"))
        self._token = token

    def write(self, data: Buffer, /) -> int:
        self._token.check()
        return super().write(data)


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the stamp filter."""
    return [Stamp()]
