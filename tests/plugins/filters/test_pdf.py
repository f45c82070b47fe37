"""The pdf filter, on real pages; what it makes is read by pikepdf and compared pixel by pixel."""

from __future__ import annotations

import importlib.util
import io
import struct
import zlib

import pytest

from postscan.core.errors import InvalidArgument
from postscan.core.model.states import FilterState
from postscan.plugins.filters import pdf
from postscan.plugins.filters.pdf import Instructions, Pdf
from postscan.plugins.testing import assert_filter_contract, run_filter

Image = pytest.importorskip("PIL.Image", reason="the pdf filter needs the extra [pdf]")
pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")
pytest.importorskip("img2pdf", reason="the pdf filter needs the extra [pdf]")
data = pytest.importorskip("skimage.data", reason="scikit-image has the photographed pages")

MM = 72 / 25.4


@pytest.fixture
def page(tmp_path):
    """A photographed page, grey."""
    return saved(tmp_path / "page.png", Image.fromarray(data.page()))


@pytest.fixture
def photograph(tmp_path):
    """A photograph as a camera compresses it."""
    return saved(tmp_path / "photograph.jpg", Image.fromarray(data.astronaut()).resize((128, 128)))


@pytest.fixture
def pages(tmp_path):
    """A fax of three pages, in one file, each another part of a photographed page."""
    return saved_together(tmp_path / "pages.tif", three_pages())


def three_pages():
    """Return three parts of a photographed page in black and white."""
    whole = Image.fromarray(data.page()).convert("1")
    return [whole.crop((0, top, whole.width, top + 60)) for top in (0, 60, 120)]


def saved(path, image, **how):
    """Save an image and return its path."""
    image.save(path, **how)
    return path


def saved_together(path, images, compression="group4", **how):
    """Save several images in one TIFF and return its path."""
    return saved(path, images[0], save_all=True, append_images=images[1:], compression=compression, **how)


def made(*files, **how):
    """Run the filter; return its result."""
    instructions = Instructions(**how.pop("instructions", {}))
    return run_filter(Pdf(), files, instructions=instructions, **how)


def opened(document):
    """Open a PDF that was made."""
    return pikepdf.open(io.BytesIO(document.content))


def picture(page):
    """Return the one image of a page, as pikepdf has it."""
    (found,) = page.get_images().values()
    return pikepdf.PdfImage(found)


def pixels(page):
    """Return the size and the pixels of the one image of a page."""
    image = picture(page).as_pil_image()
    return image.size, image.convert("RGB").tobytes()


def same(path_or_image):
    """Return the same of an image."""
    image = path_or_image if isinstance(path_or_image, Image.Image) else Image.open(path_or_image)
    return image.size, image.convert("RGB").tobytes()


def test_all_pages_become_one_pdf_in_their_order(page, photograph, pages):
    """It keeps the id of the first document, and the others are gone."""
    result = made(photograph, pages, page)
    (document,) = result.documents

    assert (result.outcome, result.warnings) == (FilterState.SUCCEEDED, ())
    assert (document.id, document.format) == (1, "pdf")
    with opened(document) as whole:
        assert [picture(one).width for one in whole.pages] == [128, 384, 384, 384, 384]


def test_a_jpeg_goes_in_byte_for_byte(photograph):
    """It is not compressed a second time."""
    (document,) = made(photograph).documents
    with opened(document) as whole:
        (image,) = whole.pages[0].get_images().values()

        assert image.read_raw_bytes() == photograph.read_bytes()
        assert image.Filter == pikepdf.Name.DCTDecode


LOSSLESS = {
    "grey png": ("L", "page.png", {}),
    "colour png": ("RGB", "page.png", {}),
    "palette png": ("P", "page.png", {}),
    "black and white png": ("1", "page.png", {}),
    "bmp": ("RGB", "page.bmp", {}),
    "uncompressed tiff": ("L", "page.tif", {}),
    "fax tiff": ("1", "page.tif", {"compression": "group4"}),
    "old fax tiff": ("1", "page.tif", {"compression": "group3"}),
    "packed tiff": ("RGB", "page.tif", {"compression": "tiff_lzw"}),
    "lossless jpeg 2000": ("RGB", "page.jp2", {"irreversible": False}),
}


@pytest.mark.parametrize(("mode", "name", "how"), LOSSLESS.values(), ids=LOSSLESS)
def test_every_pixel_stays_as_it_was(tmp_path, mode, name, how):
    """In every format that a PDF can take."""
    path = saved(tmp_path / name, Image.fromarray(data.coffee()).resize((150, 100)).convert(mode), **how)
    (document,) = made(path).documents
    with opened(document) as whole:
        assert pixels(whole.pages[0]) == same(path)


@pytest.mark.parametrize("name", ["page.png", "page.tif"])
def test_a_transparent_page_keeps_its_transparency(tmp_path, name):
    """As a soft mask beside the colours; nothing is laid on white."""
    image = Image.fromarray(data.coffee()).resize((60, 40)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((60, 40)))
    (document,) = made(saved(tmp_path / name, image)).documents
    with opened(document) as whole:
        (found,) = whole.pages[0].get_images().values()

        assert pixels(whole.pages[0]) == same(image.convert("RGB"))
        assert pikepdf.PdfImage(found.SMask).as_pil_image().tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize("compression", ["group4", "group3", "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("big", [False, True], ids=["tiff", "big tiff"])
def test_every_page_of_a_tiff_goes_in(tmp_path, compression, big):
    """In their order, each as it was."""
    images = three_pages()
    path = saved_together(tmp_path / "pages.tif", images, compression, big_tiff=big)
    (document,) = made(path).documents
    with opened(document) as whole:
        assert [pixels(one) for one in whole.pages] == [same(image) for image in images]


@pytest.mark.parametrize(
    ("size", "width", "height"),
    [("image", 384 / 300 * 72, 191 / 300 * 72), ("a4", 297 * MM, 210 * MM), ("letter", 792, 612)],
)
def test_a_page_is_as_large_as_was_asked_for(tmp_path, page, size, width, height):
    """As large as the image at its own resolution; or a paper, lying if the image does."""
    path = saved(tmp_path / "scan.png", Image.open(page), dpi=(300, 300))
    (document,) = made(path, instructions={"page_size": size}).documents
    with opened(document) as whole:
        box = [float(value) for value in whole.pages[0].mediabox]

    assert box == pytest.approx([0, 0, width, height], abs=0.1)


def test_a_bmp_keeps_its_resolution(tmp_path, page):
    """Although it goes in by way of another format."""
    path = saved(tmp_path / "scan.bmp", Image.open(page), dpi=(300, 300))
    (document,) = made(path).documents
    with opened(document) as whole:
        assert float(whole.pages[0].mediabox[2]) == pytest.approx(384 / 300 * 72, abs=0.1)


def exif(turned):
    """Return EXIF data that say how the camera was held."""
    data = Image.Exif()
    data[0x0112] = turned
    return data


def test_a_turned_jpeg_is_shown_upright_and_stays_as_it_is(tmp_path, photograph):
    """The page is turned, not the picture."""
    path = saved(tmp_path / "turned.jpg", Image.open(photograph), exif=exif(6))
    (document,) = made(path).documents
    with opened(document) as whole:
        (image,) = whole.pages[0].get_images().values()

        assert whole.pages[0].Rotate == 90
        assert image.read_raw_bytes() == path.read_bytes()


def test_a_mirrored_jpeg_goes_in_with_a_warning(tmp_path, photograph):
    """No PDF page can be mirrored; a missing page would be worse."""
    result = made(saved(tmp_path / "mirrored.jpg", Image.open(photograph), exif=exif(2)))

    assert result.outcome is FilterState.WARNINGS
    assert "_001.jpg: its orientation is mirrored" in result.warnings[0]
    assert len(result.documents) == 1


def test_pages_of_a_pdf_stay_as_they_are(tmp_path, page, photograph):
    """They are joined with the others, with their text, their size and all."""
    own = tmp_path / "own.pdf"
    with pikepdf.new() as sheet:
        sheet.add_blank_page(page_size=(100, 200)).Contents = sheet.make_stream(b"BT (a text) Tj ET")
        sheet.add_blank_page(page_size=(300, 400))
        sheet.save(own)
    (document,) = made(page, own, photograph).documents
    with opened(document) as whole:
        assert [float(one.mediabox[3]) for one in whole.pages][1:3] == [200, 400]
        assert whole.pages[1].Contents.read_bytes() == b"BT (a text) Tj ET"
        assert len(whole.pages) == 4


def test_a_single_pdf_is_left_alone(tmp_path, page):
    """There is nothing to do."""
    (document,) = made(page).documents
    own = tmp_path / "own.pdf"
    own.write_bytes(document.content)
    result = made(own)

    assert (result.outcome, result.documents) == (FilterState.SUCCEEDED, None)


def test_each_document_can_have_a_pdf_of_its_own(tmp_path, page, pages):
    """One of three pages is one document; what is a PDF already is not touched."""
    own = tmp_path / "own.pdf"
    own.write_bytes(made(page).documents[0].content)
    result = made(page, own, pages, instructions={"together": False})
    counts = []
    for document in result.documents:
        with opened(document) as whole:
            counts.append(len(whole.pages))

    assert [one.id for one in result.documents] == [1, 2, 3]
    assert (result.documents[0].format, result.documents[2].format) == ("pdf", "pdf")
    assert counts == [1, 1, 3]
    assert result.documents[1].content == own.read_bytes()


@pytest.mark.parametrize(
    ("title", "expected"), [("", "Test process"), ("Rechnung № 7", "Rechnung № 7")], ids=["none", "given"]
)
def test_it_has_a_title_and_the_time_of_the_job(page, title, expected):
    """The name of the scan process, unless another one is given."""
    (document,) = made(page, instructions={"title": title}).documents
    with opened(document) as whole:
        assert str(whole.docinfo["/Title"]) == expected
        assert str(whole.docinfo["/CreationDate"]) == "D:20260302094107Z"


def test_the_same_job_gives_the_same_bytes(page, photograph, pages):
    """A run after a crash makes no second file on a share (I20)."""
    first, second = made(page, photograph, pages), made(page, photograph, pages)

    assert first.documents == second.documents


def test_more_pages_than_files_may_be_open_go_into_one_pdf(tmp_path, monkeypatch):
    """They are joined in groups, and groups of groups."""
    monkeypatch.setattr(pdf, "MOST_OPEN", 3)
    files = [saved(tmp_path / f"{width}.png", Image.new("L", (width, 80))) for width in range(60, 74)]
    (document,) = made(*files).documents
    with opened(document) as whole:
        assert [picture(one).width for one in whole.pages] == list(range(60, 74))


def test_progress_is_told_in_documents(page, photograph):
    """One after another."""
    assert made(page, photograph).progress == [(1, 2, "documents"), (2, 2, "documents")]


@pytest.mark.parametrize("name", ["page.xps", "page.jbg"])
def test_what_no_pdf_can_take_is_named(tmp_path, page, name):
    """With its format; and nothing is changed."""
    path = tmp_path / name
    path.write_bytes(b"whatever")
    result = made(page, path)

    assert (result.outcome, result.reasons, result.documents) == (FilterState.ERRORS, ("UnknownError",), None)
    assert f"_002{path.suffix}: pages in {'xps' if path.suffix == '.xps' else 'jbig'} cannot go" in result.detail


def cut(content):
    """Return all but the end."""
    return content[: len(content) * 2 // 3]


@pytest.mark.parametrize("name", ["page.png", "page.jpg", "page.bmp", "page.tif", "page.jp2", "page.pdf"])
@pytest.mark.parametrize("broken", [lambda whole: b"", cut, lambda whole: b"%!PS-Adobe\n"], ids=["empty", "cut", "ps"])
def test_a_broken_page_is_named_and_nothing_is_changed(tmp_path, page, name, broken):
    """A PDF with half of a page would be found in the archive, years later (T-P2, T-P3)."""
    path = tmp_path / name
    image = Image.fromarray(data.coffee()).resize((150, 100))
    how = {"compression": "tiff_lzw"} if name == "page.tif" else {}
    whole = made(page).documents[0].content if name == "page.pdf" else saved(path, image, **how).read_bytes()
    path.write_bytes(broken(whole) if name != "page.pdf" else broken(whole)[:200])
    result = made(page, path)

    assert (result.outcome, result.reasons, result.documents) == (FilterState.ERRORS, ("UnknownError",), None)
    assert f"_002{path.suffix}: cannot be read as" in result.detail


def test_every_broken_page_is_named(tmp_path, page):
    """Whoever repairs one wants to know of the others."""
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(b"")
    result = made(tmp_path / "one.png", page, tmp_path / "two.png")

    assert "_001.png" in result.detail
    assert "_003.png" in result.detail


@pytest.mark.parametrize(("as_what", "really"), [("page.png", "JPEG"), ("page.jpg", "PNG"), ("page.tif", "PNG")])
def test_only_the_decoder_of_the_declared_format_is_asked(tmp_path, as_what, really):
    """Whoever sends a file does not choose among forty decoders (T-P3)."""
    result = made(saved(tmp_path / as_what, Image.new("L", (60, 80)), format=really))

    assert "cannot be read as" in result.detail


def test_a_tiff_whose_pages_go_in_a_circle_ends(tmp_path, pages):
    """The last page names the first as its next one."""
    content = bytearray(pages.read_bytes())
    places, at = [], struct.unpack_from("<I", content, 4)[0]
    while at:
        places.append(at)
        end = at + 2 + 12 * struct.unpack_from("<H", content, at)[0]
        at = struct.unpack_from("<I", content, end)[0]
    struct.pack_into("<I", content, end, places[0])
    pages.write_bytes(content)
    (document,) = made(pages).documents
    with opened(document) as whole:
        assert len(whole.pages) == len(places) == 3


def test_a_locked_pdf_is_refused(tmp_path, page):
    """With a password, and with an empty one as well: its owner did not want it to be changed."""
    (document,) = made(page).documents
    for password in ("secret", ""):
        path = tmp_path / "locked.pdf"
        with opened(document) as whole:
            whole.save(path, encryption=pikepdf.Encryption(user=password, owner="other"))
        result = made(page, path)

        assert (result.outcome, result.documents) == (FilterState.ERRORS, None)
        assert "_002.pdf: is encrypted" in result.detail


def bomb(side):
    """Return a PNG that claims side x side pixels and is a few hundred bytes long."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000], ids=["above Pillow's first limit", "above its second"])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, side):
    """ServerOutOfMemory (T-P1)."""
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side))
    result = made(path)

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("ServerOutOfMemory",))


def test_a_cancel_at_any_check_changes_nothing(page, photograph, pages):
    """Between any two pages, and while the whole is written (promise 6, I14)."""
    checks = made(page, photograph, pages).checks.number
    outcomes = {
        (result.outcome, result.documents)
        for result in (made(page, photograph, pages, cancel_at=number) for number in range(1, checks + 1))
    }

    assert checks > 15
    assert outcomes == {(FilterState.CANCELED, None)}


def test_it_keeps_the_contract(page, photograph, pages):
    """As every filter must, ours or not."""
    assert_filter_contract(Pdf(), [page, photograph, pages])


CONFIG = (
    f"<p:PdfConfig xmlns:p='{pdf.NAMESPACE}'><p:Title>Minutes</p:Title><p:PageSize>letter</p:PageSize>"
    "<p:Together>false</p:Together></p:PdfConfig>"
)


def test_its_config_has_three_elements(page, photograph):
    """Title, PageSize and Together."""
    documents = run_filter(Pdf(), [page, photograph], instructions=CONFIG.encode()).documents
    with opened(documents[1]) as whole:
        assert len(documents) == 2
        assert str(whole.docinfo["/Title"]) == "Minutes"
        assert [float(value) for value in whole.pages[0].mediabox] == [0, 0, 612, 792]


def test_a_page_size_that_nobody_knows_is_refused(page):
    """Before anything is done; the sentence says what there is."""
    with pytest.raises(InvalidArgument) as refused:
        run_filter(Pdf(), [page], instructions=CONFIG.replace("letter", "a5").encode())

    assert refused.value.expected == "one of image, a4, letter"


def test_without_its_libraries_it_says_what_to_install(page, monkeypatch):
    """The catalogue shows it, and a run fails with the same sentence."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentences = [f"{one} is not installed; pip install 'postscan[pdf]'" for one in ("img2pdf", "pikepdf")]

    assert list(Pdf().requires()) == sentences
    assert made(page).detail == sentences[0]


def test_with_its_libraries_it_lacks_nothing():
    """So it is ready."""
    assert list(Pdf().requires()) == []
