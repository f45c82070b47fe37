"""Small whole files of PDF; see `sample_files`.

A file whose last revision is missing is whole: it ends as it
did when the revision before was made.
"""

from __future__ import annotations

import io
import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import image_files
import img2pdf
import pikepdf
from sample_files import Make, Sample, ghostscript, noise, saved


def scanned(engine: img2pdf.Engine = img2pdf.Engine.internal) -> bytes:
    """Return a page as img2pdf makes it of a JPEG; with its engine of pikepdf it is linearized."""
    made: bytes = img2pdf.convert(image_files.baseline(), nodate=True, engine=engine)
    return made


def rewritten(**options: object) -> bytes:
    """Return that page as qpdf writes it, which pikepdf calls."""
    file = io.BytesIO()
    with pikepdf.open(io.BytesIO(scanned())) as pdf:
        pdf.save(file, **options)
    return file.getvalue()


def of_ghostscript(*options: str) -> bytes:
    """Return two pages as Ghostscript writes them."""
    return ghostscript("pdfwrite", *options, pages=2)


def of_tesseract() -> bytes:
    """Return a page with text as Tesseract writes it."""
    with tempfile.TemporaryDirectory() as folder:
        image, base = Path(folder) / "page.png", Path(folder) / "page"
        image.write_bytes(saved(noise("L"), "PNG", dpi=(70, 70)))
        subprocess.run(["tesseract", image, base, "--dpi", "70", "pdf"], check=True, capture_output=True)
        return base.with_suffix(".pdf").read_bytes()


def xref_of(content: bytes) -> int:
    """Return the number behind the last startxref."""
    return int(content[content.rindex(b"startxref") + 9 :].split()[0])


def trailer_of(content: bytes) -> tuple[int, bytes]:
    """Return the number of objects and the root that the trailers have."""
    return max(map(int, re.findall(rb"/Size (\d+)", content))), re.findall(rb"/Root \d+ \d+ R", content)[-1]


def update(content: bytes, *, earlier: int | None = None, extra: bytes = b"") -> bytes:
    """Return what an update appends that adds an object: the object, a table and a trailer."""
    begin, (number, root) = len(content), trailer_of(content)
    earlier = xref_of(content) if earlier is None else earlier
    object_ = b"%d 0 obj\n(an update)\nendobj\n" % number
    table = b"xref\n%d 1\n%010d 00000 n \ntrailer\n" % (number, begin)
    trailer = b"<< /Size %d %b /Prev %d %b>>\n" % (number + 1, root, earlier, extra)
    return object_ + table + trailer + b"startxref\n%d\n%%%%EOF\n" % (begin + len(object_))


def update_with_stream(content: bytes) -> bytes:
    """Return what an update appends whose cross-references are a stream."""
    stream = _xref_stream(content, b"/Prev %d" % xref_of(content))
    return stream + b"startxref\n%d\n%%%%EOF\n" % len(content)


def _xref_stream(content: bytes, keys: bytes) -> bytes:
    """Return an object behind *content* that is a cross-reference stream with one entry, itself."""
    number, root = trailer_of(content)
    entry = b"\x01" + len(content).to_bytes(4, "big") + b"\0"
    dictionary = b"/Type /XRef /Size %d %b /Index [%d 1] /W [1 4 1] /Length 6 %b" % (number + 1, root, number, keys)
    return b"%d 0 obj\n<< %b >>\nstream\n%b\nendstream\nendobj\n" % (number, dictionary, entry)


def revised() -> Sample:
    """Return a file with three revisions, each whole without the next one."""
    first = scanned()
    second = first + update(first)
    third = second + update_with_stream(second)
    return _plain(third, {len(first) - 1, len(first), len(second) - 1, len(second)})


def hybrid() -> Sample:
    """Return a file with a table and a stream, of which a reader may take either."""
    first = scanned()
    stream = _xref_stream(first, b"")
    whole = first + stream + update(first + stream, earlier=xref_of(first), extra=b"/XRefStm %d " % len(first))
    return _plain(whole, {len(first) - 1, len(first)})


def linearized_and_updated() -> Sample:
    """Return a linearized file with an update: it has more bytes than it had when it was linearized."""
    first = rewritten(linearize=True)
    return _plain(first + update(first), {len(first)})._replace(unclear={len(first) - 1})


def with_attachment() -> Sample:
    """Return a file with another PDF inside, uncompressed; cut behind it, it ends with marks that lead nowhere."""
    file, inner = io.BytesIO(), rewritten(linearize=True)
    with pikepdf.open(io.BytesIO(scanned())) as pdf:
        pdf.attachments["inner.pdf"] = pikepdf.AttachedFileSpec(pdf, inner, filename="inner.pdf")
        pdf.save(file, compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.generalized)
    content = file.getvalue()
    end = content.index(inner) + len(inner)
    return _plain(content)._replace(unclear={end - 1, end, end + 1})  # before and behind line breaks


def _plain(content: bytes, earlier: Iterable[int] = ()) -> Sample:
    """Return a file that is whole without the line break at its end, and at *earlier* lengths."""
    return Sample("pdf-a", content, {*earlier, *range(len(content.rstrip(b"\r\n")), len(content))})


def _counted(content: bytes) -> Sample:
    """Return a linearized file, which says how many bytes it has, the line break at its end included."""
    return Sample("pdf-a", content, unclear=range(len(content.rstrip(b"\r\n")), len(content)))


SAMPLES: Final[dict[str, Make]] = {
    "PDF": lambda: _plain(scanned()),
    "PDF with object streams": lambda: _plain(rewritten(object_stream_mode=pikepdf.ObjectStreamMode.generate)),
    "PDF, linearized": lambda: _counted(rewritten(linearize=True)),
    "PDF of img2pdf, linearized": lambda: _counted(scanned(img2pdf.Engine.pikepdf)),
    "PDF, encrypted": lambda: _plain(rewritten(encryption=pikepdf.Encryption(owner="o", user="u"))),
    "PDF of three revisions": revised,
    "PDF, hybrid": hybrid,
    "PDF, linearized and updated": linearized_and_updated,
    "PDF with a PDF inside": with_attachment,
    "PDF of Ghostscript": lambda: _plain(of_ghostscript()),
    "PDF of Ghostscript, linearized": lambda: _counted(of_ghostscript("-dFastWebView")),
    "PDF of Tesseract": lambda: _plain(of_tesseract()),
    "PDF with padding": lambda: _padded(_plain(scanned())),
}


def _padded(sample: Sample) -> Sample:
    """Return a file with blanks and NULs at its end."""
    padding, length = b"\r\n\0\0\x1a", len(sample.content)
    return Sample("pdf-a", sample.content + padding, {*sample.spare, *range(length, length + len(padding))})
