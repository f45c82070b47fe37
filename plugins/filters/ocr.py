"""The ocr filter: every document as a searchable PDF/A, for the filters after it.

OCRmyPDF and Tesseract run as a child process, which a cancel ends together with its own children.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    FilterReason,
    FilterResult,
    ToolEnded,
    element,
    hookimpl,
    setting,
)
from postscan.plugins.filters.images import TIFF, decoders_for, decoding_errors, open_image

NAMESPACE: Final = "urn:postscan:2026:filter:ocr"
PDF: Final = ("pdf", "pdf-a")
FORMATS: Final = ("png", "jfif", "exif")  # and every tiff-*

LOWEST_DPI: Final = 96
"""OCRmyPDF refuses an image with no more dots per inch, the resolution of a screen, unless it is given one."""

_LANGUAGES: Final = re.compile(r"[a-z_]{3,}(\+[a-z_]{3,})*")
_ONE_THREAD: Final = {"OMP_THREAD_LIMIT": "1"}  # with more, Tesseract is several times slower

_DONE, _BAD_INPUT, _LACKS_PROGRAM, _HAS_TEXT, _ENCRYPTED, _NO_PDF_A = 0, 2, 3, 6, 8, 10
_MESSAGES: Final = {
    _BAD_INPUT: "cannot be used",
    _LACKS_PROGRAM: "a program is missing or too old",
    _ENCRYPTED: "is encrypted; expected a document that is not",
}
"""Messages for OCRmyPDF's exit codes; for others its own output is quoted."""


@dataclass(frozen=True)
class Instructions:
    """OcrConfig: how text is recognised."""

    language: str = element("Language", default="eng", help="Tesseract's names of languages: eng, or deu+fra")
    deskew: bool = element("Deskew", default=False, help="straighten pages that were scanned askew")
    force: bool = element("Force", default=False, help="pages with text, too: they become images first")

    def __post_init__(self) -> None:
        """Raise `ValueError` for an invalid name of a language, which would become part of a command."""
        if not _LANGUAGES.fullmatch(self.language):
            raise ValueError(f"Language {self.language!r}; expected names like eng or chi_sim, joined by +")


@dataclass(frozen=True)
class Settings:
    """`[filters.ocr]`: the assumed resolution."""

    dpi: int = setting(300, help="dots per inch of images that do not state their resolution")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a resolution out of range."""
        if not isinstance(self.dpi, int) or isinstance(self.dpi, bool) or not 10 <= self.dpi <= 10_000:
            raise ValueError(f"filters.ocr.dpi: {self.dpi!r}; expected a whole number from 10 to 10000")


class Ocr(Filter):
    """Recognise the text of every document, and replace it by a searchable PDF/A."""

    dialect = NAMESPACE
    title = "Text recognition"
    Instructions = Instructions
    Settings = Settings

    def requires(self) -> Iterable[str]:
        """Require the library of the extra, and Tesseract."""
        if importlib.util.find_spec("ocrmypdf") is None:
            yield "ocrmypdf is not installed; pip install 'postscan[ocr]'"
        if shutil.which("tesseract") is None:
            yield "tesseract is not installed; on Debian: apt-get install tesseract-ocr"

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Process every document; if one of them fails, the filter fails and changes none."""
        for lack in self.requires():
            raise FilterFailed(detail=lack)
        _check_languages(job)
        warnings: list[str] = []
        failures: list[FilterFailed] = []
        for document in job.documents:
            if document.format not in (*PDF, *FORMATS) and decoders_for(document.format) is not TIFF:
                warnings.append(f"{document.name}: text in {document.format} cannot be recognised; it stays as it is")
                continue
            try:
                warnings += _recognise(job, document)
            except FilterFailed as failure:
                failures.append(failure)
        if failures:
            raise FilterFailed.of(failures)
        return FilterResult(tuple(warnings))


def _check_languages(job: FilterContext) -> None:
    """Raise `FilterFailed` if Tesseract lacks the data of a language."""
    ended = job.run_tool(["tesseract", "--list-langs"], environment=_ONE_THREAD)
    known = set(ended.output.split())
    missing = [name for name in job.instructions.language.split("+") if name not in known]
    if missing:
        packages = " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in missing)
        names = ", ".join(missing)
        raise FilterFailed(detail=f"tesseract has no data for {names}; on Debian: apt-get install {packages}")


def _recognise(job: FilterContext, document: Document) -> list[str]:
    """Replace one document; return warnings about it."""
    if document.format in PDF:
        _check_pdf(document)
    output = job.workdir / "recognised.pdf"
    ended = job.run_tool(_command(job, document, output), environment={**_ONE_THREAD, "TMPDIR": str(job.workdir)})
    if ended.code == _HAS_TEXT:
        return [f"{document.name}: has text already; it stays as it is"]
    if ended.code == _NO_PDF_A and output.exists():
        job.replace(document, output, "pdf")
        return [f"{document.name}: is a searchable PDF now, but no PDF/A: {_last_line(ended)}"]
    if ended.code != _DONE:
        message = _MESSAGES.get(ended.code, f"ocrmypdf ended with {ended.code}")
        raise FilterFailed(FilterReason.UNKNOWN_ERROR, f"{document.name}: {message}: {_last_line(ended)}")
    job.replace(document, output, "pdf-a")
    return []


def _command(job: FilterContext, document: Document, output: Path) -> list[str | Path]:
    """Return the command of OCRmyPDF for one document."""
    options = ["--jobs=1", "--quiet", "--output-type=pdfa", f"--language={job.instructions.language}"]
    if job.instructions.deskew:
        options.append("--deskew")
    if job.instructions.force:
        options.append("--force-ocr")
    if document.format not in PDF and _resolution(document) <= LOWEST_DPI:
        options.append(f"--image-dpi={job.settings.dpi}")
    return [sys.executable, "-P", "-m", "ocrmypdf", *options, document.path, output]


def _resolution(document: Document) -> float:
    """Return the dots per inch that an image states, or 0.

    Only the decoder of the declared format reads it, so a file of another format fails here.
    """
    with decoding_errors(document), open_image(document) as image:
        return min(float(one) for one in image.info.get("dpi", (0,)))


def _check_pdf(document: Document) -> None:
    """Raise `FilterFailed` for a file that is not a PDF: OCRmyPDF would try all decoders on it."""
    with document.path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise FilterFailed(detail=f"{document.name}: cannot be read as {document.format}: it is not a PDF")


def _last_line(ended: ToolEnded) -> str:
    """Return the end of the tool's output as one line."""
    return " ".join(ended.output.split())[-300:] or "no output"


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the ocr filter."""
    return [Ocr()]
