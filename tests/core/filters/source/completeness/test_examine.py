"""Which files are whole: real files of each kind, and each of them cut at every byte."""

from __future__ import annotations

import functools
import io
import shutil
import zipfile

import image_files
import packed_files
import pdf_files
import pikepdf
import pytest
import tiff_files
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from sample_files import DATA, Sample

from postscan.core.filters.source.completeness import Completeness, FileState, examine

PICTURES = image_files.SAMPLES | tiff_files.SAMPLES | packed_files.JP2
SAMPLES = PICTURES | packed_files.XPS | pdf_files.SAMPLES
NEEDS = {"Ghostscript": "gs", "Tesseract": "tesseract"}
BEGINNING = 12
"""The bytes that tell the kind: a JP2 has the most."""


@functools.cache
def sample(name: str) -> Sample:
    """Make a file once, or skip the test if the program that makes it is not here."""
    for maker, command in NEEDS.items():
        if maker in name and shutil.which(command) is None:
            pytest.skip(f"needs {maker}")
    return SAMPLES[name]()


def state(content: bytes) -> FileState:
    """Return what is said about these bytes."""
    return examine(io.BytesIO(content)).state


every_sample = pytest.mark.parametrize("name", SAMPLES)


@every_sample
def test_a_whole_file_is_whole(name: str) -> None:
    """Whoever made it; its kind is told as well."""
    assert examine(io.BytesIO(sample(name).content)) == Completeness(FileState.WHOLE, sample(name).kind)


@every_sample
def test_a_cut_file_is_whole_only_where_nothing_refers_to_what_is_gone(name: str) -> None:
    """At every byte. The exceptions stand with the samples: padding, optional parts at the end, later revisions."""
    content = sample(name).content
    whole = [length for length in range(len(content)) if state(content[:length]) is FileState.WHOLE]

    assert whole == sorted(sample(name).spare)


@every_sample
def test_a_cut_file_is_called_cut(name: str) -> None:
    """Not only of unknown state, once its kind can be told. The exceptions stand with the samples of PDF."""
    found = sample(name)
    lengths = set(range(BEGINNING, len(found.content))) - {*found.spare, *found.unclear}

    assert [length for length in lengths if state(found.content[:length]) is not FileState.CUT] == []
    assert [length for length in found.unclear if state(found.content[:length]) is not FileState.UNKNOWN] == []


# --- the exceptions are none to others -------------------------------------------------------------------------------


def shown(content: bytes) -> list[bytes]:
    """Return the pixels of all frames, as Pillow decodes them."""
    with Image.open(io.BytesIO(content)) as picture:
        return [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(picture)]


UNREAD = ("JPEG with DNL", "BigTIFF, big-endian")
"""Samples that Pillow does not read."""


@pytest.mark.parametrize("name", [name for name in PICTURES if name not in UNREAD])
def test_pillow_shows_the_same_without_the_spare_bytes(name: str) -> None:
    """Every page. It reads the first image of a JPEG and no others, but for those of an index."""
    found = sample(name)
    whole = shown(found.content)

    assert whole
    assert [length for length in found.spare if shown(found.content[:length]) != whole] == []


@pytest.mark.parametrize("name", pdf_files.SAMPLES)
def test_qpdf_reads_a_pdf_without_the_spare_bytes(name: str) -> None:
    """Without a repair: a PDF that qpdf has to repair has a warning."""
    found = sample(name)
    for length in (*found.spare, len(found.content)):
        with pikepdf.open(io.BytesIO(found.content[:length]), password="u" if "encrypted" in name else "") as pdf:
            assert len(pdf.pages) >= 1
            assert pdf.get_warnings() == []


@pytest.mark.parametrize("name", packed_files.XPS)
def test_zipfile_reads_a_package(name: str) -> None:
    """The samples of XPS are packages, each part with its checksum."""
    with zipfile.ZipFile(io.BytesIO(sample(name).content)) as package:
        assert package.testzip() is None


# --- room that is filled later ---------------------------------------------------------------------------------------


MARKED = [name for name in SAMPLES if not name.startswith(("BMP", "TIFF", "BigTIFF"))]
"""Samples of the kinds that have an end mark."""


@pytest.mark.parametrize("name", [*MARKED, "TIFF, Group 4, directory in front", "TIFF of Ghostscript"])
def test_a_file_whose_end_is_still_zeros_is_not_whole(name: str) -> None:
    """A client may set the length of a file before it writes into it, as Windows does on a share.

    Zeros may be pixels in a BMP and in a TIFF without compression. In one with compression they are none at the end of
    the last strip.
    """
    found = sample(name)
    content, end = found.content, last_part(found)
    lengths = [length for length in range(16, end, 3) if any(content[length:end])]

    assert lengths
    assert [length for length in lengths if state(content[:length].ljust(len(content), b"\0")) is FileState.WHOLE] == []


def last_part(found: Sample) -> int:
    """Return an offset behind which zeros change nothing that the structure says: an end of pixels, a comment."""
    if found.kind == "xps":
        return found.content.rindex(b"PK\x05\x06") + 2
    end = min(found.spare, default=len(found.content))
    return end - (16 if found.kind == "tiff" else 1)


# --- larger files, and any bytes -------------------------------------------------------------------------------------

LARGE = ("page.png", "rocket.jpg", "microaneurysms.png", "multipage_rgb.tif", "retina.jpg")


@functools.cache
def large(name: str) -> bytes:
    """Return a file of scikit-image."""
    return (DATA / name).read_bytes()


@given(st.sampled_from(LARGE), st.floats(0, 1, exclude_max=True))
@example("page.png", 0.9999999)
def test_a_photograph_is_cut_wherever_it_is_cut(name: str, part: float) -> None:
    """At any byte behind the first ones."""
    content = large(name)

    assert state(content) is FileState.WHOLE
    assert state(content[: max(16, int(len(content) * part))]) is FileState.CUT


@given(st.data())
def test_any_change_of_a_file_gives_an_answer(data: st.DataObject) -> None:
    """No content makes an error of it: bytes are changed, removed and repeated."""
    name = data.draw(st.sampled_from([name for name in SAMPLES if not any(maker in name for maker in NEEDS)]))
    content = bytearray(sample(name).content)
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = value
    first, last, count = data.draw(places), data.draw(places), data.draw(st.integers(0, 3))
    content[first:last] = content[first:last] * count

    assert isinstance(state(bytes(content)), FileState)


@given(
    st.sampled_from(
        sorted({sample(name).content[:16] for name in ("JPEG", "PNG", "TIFF", "BigTIFF", "BMP", "JP2", "XPS", "PDF")})
    ),
    st.binary(max_size=500),
)
def test_any_bytes_behind_a_beginning_give_an_answer(beginning: bytes, rest: bytes) -> None:
    """The beginning is that of a kind, so that its structure is looked for."""
    assert isinstance(state(beginning + rest), FileState)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\0\0\1\0JBIG", b"\xff\x4f\xff\x51", b" %PDF-1.7"])
def test_another_kind_of_file_is_unknown(content: bytes) -> None:
    """Also a codestream without boxes, and a PDF that does not begin with its mark."""
    found = examine(io.BytesIO(content))

    assert (found.state, found.kind) == (FileState.UNKNOWN, "")
    assert found.reason.startswith("no kind of image begins with")
