"""The pdf filter: all pages of a job as one PDF, for the filters after it, without loss.

JPEG, JPEG 2000, most PNG and fax-coded TIFF are embedded byte for byte; other images are re-encoded without loss.
A transparent page keeps its transparency. Pages that are in a PDF already are copied.

The same documents give the same bytes, so that a run after a crash delivers no second file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    FilterResult,
    element,
    hookimpl,
)
from postscan.plugins.filters.images import DECODERS, TIFF, decoders_for, decoding_errors, open_image

if TYPE_CHECKING:
    from PIL import Image

NAMESPACE: Final = "urn:postscan:2026:filter:pdf"
PDF: Final = ("pdf", "pdf-a")
PAPER: Final = {"a4": (210 / 25.4 * 72, 297 / 25.4 * 72), "letter": (612, 792)}  # in points
MOST_OPEN: Final = 100  # files that are joined at once; below the limit of open files of a worker

_ORIENTATION: Final = 0x0112
_MIRRORED: Final = (2, 4, 5, 7)
_HEADS: Final = {42: (4, "I", "H", 12), 43: (8, "Q", "Q", 20)}
"""By a TIFF's magic number: the offset of the pointer to the first page, its type, the type of the entry count of a
directory, and the bytes of an entry."""


@dataclass(frozen=True)
class Instructions:
    """PdfConfig: title, page size, and how many PDFs."""

    title: str = element("Title", default="", help="the title of the PDF; the name of the scan process if empty")
    page_size: Literal["image", "a4", "letter"] = element(
        "PageSize", default="image", help="as large as each image, or one paper that all are fitted to"
    )
    together: bool = element("Together", default=True, help="one PDF for the job, or else one for each document")


class Pdf(Filter):
    """Put all pages of the job into one PDF, without loss."""

    dialect = NAMESPACE
    title = "PDF"
    Instructions = Instructions

    def requires(self) -> Iterable[str]:
        """Require the libraries of the extra."""
        for module in ("img2pdf", "pikepdf"):
            if importlib.util.find_spec(module) is None:
                yield f"{module} is not installed; pip install 'postscan[pdf]'"

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Convert the pages one by one, then join them; if one of them fails, the filter fails and changes nothing."""
        for lack in self.requires():
            raise FilterFailed(detail=lack)
        layout = _layout(job.instructions.page_size)
        warnings: list[str] = []
        failures: list[FilterFailed] = []
        parts: dict[int, list[Path]] = {}
        for document in job.documents:
            try:
                parts[document.id] = _parts(job, document, layout, warnings)
            except FilterFailed as failure:
                failures.append(failure)
        if failures:
            raise FilterFailed.of(failures)
        for group in _groups(job):
            whole = job.workdir / "whole.pdf"
            _join([part for document in group for part in parts[document.id]], whole, token, _facts(job))
            job.replace(group[0], whole, "pdf")
            for document in group[1:]:
                job.remove(document)
        return FilterResult(tuple(warnings))


def _groups(job: FilterContext) -> list[Sequence[Document]]:
    """Return the documents of each PDF; a single document that is a PDF already is left out."""
    groups = [job.all_documents] if job.instructions.together else [(one,) for one in job.all_documents]
    return [group for group in groups if len(group) > 1 or any(one.format not in PDF for one in group)]


def _layout(size: str) -> Callable[..., Any]:
    """Return img2pdf's layout function for a page size."""
    import img2pdf  # type: ignore[import-untyped]  # it ships no types

    layout: Callable[..., Any] = (
        img2pdf.get_layout_fun(PAPER[size], auto_orient=True) if size in PAPER else img2pdf.default_layout_fun
    )
    return layout


def _parts(job: FilterContext, document: Document, layout: Callable[..., Any], warnings: list[str]) -> list[Path]:
    """Return PDF files with the pages of one document, in their order."""
    if document.format in PDF:
        _check_pdf(document)
        return [document.path]
    parts: list[Path] = []
    for content in _pages(document):
        job.token.check()
        with decoding_errors(document), open_image(document, io.BytesIO(content)) as image:
            if image.getexif().get(_ORIENTATION) in _MIRRORED:
                warnings.append(f"{document.name}: its orientation is mirrored, and is ignored in a PDF")
            image.draft(None, (1, 1))  # for a JPEG: it is read whole, and decoded at a reduced size
            image.load()
            content = _as_png(image) if document.format == "dib" else content
        job.token.check()
        with decoding_errors(document):
            page = _page(content, layout)
        parts.append(job.workdir / f"{document.id}-{len(parts)}.pdf")
        parts[-1].write_bytes(page)
    if not parts:
        raise FilterFailed(detail=f"{document.name}: has no page")
    return parts


def _check_pdf(document: Document) -> None:
    """Raise `FilterFailed` for a PDF that cannot be read."""
    import pikepdf

    try:
        with pikepdf.open(document.path) as pdf:
            locked = pdf.is_encrypted
            readable = len(pdf.pages) > 0
    except pikepdf.PasswordError:
        locked, readable = True, False
    except pikepdf.PdfError as error:
        raise FilterFailed(detail=f"{document.name}: cannot be read as {document.format}: {error}") from error
    if locked:
        raise FilterFailed(detail=f"{document.name}: is encrypted; expected a PDF that is not")
    if not readable:
        raise FilterFailed(detail=f"{document.name}: has no page")


def _pages(document: Document) -> Iterator[bytes]:
    """Yield an image file for each page of a document."""
    if not decoders_for(document.format):
        known = ", ".join((*DECODERS, "tiff-...", *PDF))
        raise FilterFailed(detail=f"{document.name}: pages in {document.format} cannot go into a PDF; expected {known}")
    content = document.path.read_bytes()
    if decoders_for(document.format) is not TIFF:
        yield content
        return
    pages = _frames(content)
    while True:
        with decoding_errors(document):
            page = next(pages, None)
        if page is None:
            return
        yield page


def _frames(tiff: bytes) -> Iterator[bytes]:
    """Yield the file once for each page in it, with that page as the first.

    The header points to the directory of the first page, and each directory to the next (TIFF 6.0, section 2). So each
    page can be converted by itself, with a check of the token in between.
    """
    order = {b"II": "<", b"MM": ">"}[tiff[:2]]
    start, pointer, number, entry = _HEADS[struct.unpack_from(f"{order}H", tiff, 2)[0]]
    place, count = struct.Struct(order + pointer), struct.Struct(order + number)
    (at,) = place.unpack_from(tiff, start)
    seen = {0}
    while at not in seen:
        seen.add(at)
        yield tiff[:start] + place.pack(at) + tiff[start + place.size :]
        (entries,) = count.unpack_from(tiff, at)
        (at,) = place.unpack_from(tiff, at + count.size + entries * entry)


def _as_png(image: Image.Image) -> bytes:
    """Return the image as PNG, with its resolution."""
    png = io.BytesIO()
    image.save(png, "PNG", dpi=image.info.get("dpi"))
    return png.getvalue()


def _page(content: bytes, layout: Callable[..., Any]) -> bytes:
    """Return a PDF with the first page of an image file."""
    import img2pdf

    page: bytes = img2pdf.convert(
        content,
        engine=img2pdf.Engine.internal,
        nodate=True,
        first_frame_only=True,
        rotation=img2pdf.Rotation.ifvalid,
        layout_fun=layout,
    )
    return page


def _facts(job: FilterContext) -> dict[str, str]:
    """Return the metadata of the PDF."""
    created = f"D:{job.job.created:%Y%m%d%H%M%S}Z"
    title = job.instructions.title or job.job.process
    return {"/Title": title, "/Producer": "postscan", "/CreationDate": created, "/ModDate": created}


def _join(parts: list[Path], whole: Path, token: CancellationToken, facts: dict[str, str]) -> None:
    """Join several PDFs into one; their content is copied from file to file."""
    import pikepdf

    while len(parts) > MOST_OPEN:
        few = [parts[start : start + MOST_OPEN] for start in range(0, len(parts), MOST_OPEN)]
        parts = [whole.with_name(f"{len(few)}-{number}.joined.pdf") for number in range(len(few))]
        for some, part in zip(few, parts, strict=True):
            _join(some, part, token, {})
    with contextlib.ExitStack() as opened:
        pdf = opened.enter_context(pikepdf.new())
        for part in parts:
            token.check()
            pdf.pages.extend(opened.enter_context(pikepdf.open(part)).pages)
        for name, text in facts.items():
            pdf.docinfo[name] = text
        pdf.save(whole, min_version="1.5", deterministic_id=True, progress=lambda percent: token.check())
    token.check()


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the pdf filter."""
    return [Pdf()]
