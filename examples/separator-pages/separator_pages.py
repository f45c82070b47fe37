"""A postscan filter that divides a stack of paper: a page with a barcode begins the next document.

A person puts several letters into the feeder, with a printed separator page between them, and presses the button once.
Each letter becomes one PDF; the filters after this one deliver them. The separator pages are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import img2pdf
import zxingcpp
from PIL import Image, ImageSequence, UnidentifiedImageError

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    element,
    hookimpl,
)


@dataclass(frozen=True)
class Instructions:
    """SeparatorPagesConfig: which pages separate."""

    text: str = element("Text", default="SEPARATOR", longest=100, help="what the barcode of a separator page says")


class SeparatorPages(Filter):
    """Make one PDF of the pages between two separator pages."""

    dialect = "https://postscan.example/filter/separator-pages"
    title = "Separator pages"
    grace = 2.0
    Instructions = Instructions

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        """Replace the first page of each letter by its PDF, and remove its others; fail if nothing would be left."""
        letters: list[list[Document]] = [[]]
        for document in job.documents:
            if separates(document, job.instructions.text, token):
                job.log(f"{document.name} is a separator page")
                job.remove(document)
                letters.append([])
            else:
                letters[-1].append(document)
        letters = [pages for pages in letters if pages]
        if not letters:
            raise FilterFailed(detail="there are only separator pages")
        for first, *others in letters:
            token.check()
            job.replace(first, as_pdf(job, [first, *others]), "pdf")
            for document in others:
                job.remove(document)


def separates(document: Document, text: str, token: CancellationToken) -> bool:
    """Return whether the first page of a document has a barcode of any kind with this text."""
    try:
        with Image.open(document.path) as image:
            page = next(ImageSequence.Iterator(image)).convert("L")
    except UnidentifiedImageError:
        raise FilterFailed(detail=f"{document.name}: {document.format} is not an image that can be read") from None
    except (OSError, Image.DecompressionBombError) as error:
        raise FilterFailed(detail=f"{document.name}: {error}") from error
    token.check()
    return any(barcode.text == text for barcode in zxingcpp.read_barcodes(page))


def as_pdf(job: FilterContext, pages: Sequence[Document]) -> Path:
    """Return the path of a PDF in the work folder, with these images as they are."""
    path = job.workdir / f"letter-{pages[0].id}.pdf"
    try:
        content = img2pdf.convert([str(page.path) for page in pages], nodate=True)  # a run after a crash: same bytes
    except (img2pdf.ImageOpenError, img2pdf.AlphaChannelError) as error:
        raise FilterFailed(detail=f"{pages[0].name} and the pages behind it: {error}") from error
    path.write_bytes(content)
    return path


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the filter."""
    return [SeparatorPages()]
