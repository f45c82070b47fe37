"""The ocr filter, with the real OCRmyPDF and the real Tesseract, on a photographed page of a book."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import threading

import psutil
import pytest
from works import alive, until

from postscan.core.errors import InvalidArgument
from postscan.core.model.states import FilterState
from postscan.plugins.filters import ocr
from postscan.plugins.filters.ocr import Instructions, Ocr, Settings
from postscan.plugins.testing import run_filter

Image = pytest.importorskip("PIL.Image", reason="the ocr filter needs the extra [ocr]")
pikepdf = pytest.importorskip("pikepdf", reason="the ocr filter needs the extra [ocr]")
pytest.importorskip("ocrmypdf", reason="the ocr filter needs the extra [ocr]")
data = pytest.importorskip("skimage.data", reason="scikit-image has the photographed pages")
words = pytest.importorskip("pdfminer.high_level", reason="pdfminer reads the text that was found")
needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="tesseract is not here; on Debian: apt-get install tesseract-ocr"
)


@pytest.fixture
def page(tmp_path):
    """A photographed page of a book, as if scanned with more dots."""
    image = Image.fromarray(data.page())
    path = tmp_path / "page.png"
    image.resize((image.width * 3, image.height * 3), Image.Resampling.LANCZOS).save(path, dpi=(200, 200))
    return path


def sheet(path, *texts):
    """Write a PDF with a line of real text on each page; return its path."""
    with pikepdf.new() as pdf:
        font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
        for text in texts:
            page = pdf.add_blank_page(page_size=(200, 100))
            page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
            page.Contents = pdf.make_stream(f"BT /F1 12 Tf 20 50 Td ({text}) Tj ET".encode())
        pdf.save(path)
    return path


def recognised(*files, **how):
    """Run the filter; return its result."""
    instructions = Instructions(**how.pop("instructions", {}))
    return run_filter(Ocr(), files, instructions=instructions, **how)


@needs_tesseract
def test_a_page_becomes_a_searchable_pdf_a(page):
    """Its words can be found; its id stays; what has text already stays as it is, with a warning."""
    own = sheet(page.with_name("own.pdf"), "typed, not scanned")
    result = recognised(page, own)
    found, untouched = result.documents
    text = words.extract_text(io.BytesIO(found.content))
    with pikepdf.open(io.BytesIO(found.content)) as pdf, pdf.open_metadata() as facts:
        assert len(pdf.pages) == 1
        assert facts.pdfa_status.startswith("2")

    assert "segmentation" in text
    assert "markers of the coins" in text
    assert (found.id, found.format) == (1, "pdf-a")
    assert untouched.content == own.read_bytes()
    assert result.outcome is FilterState.WARNINGS
    assert "_002.pdf: has text already" in result.warnings[0]


@needs_tesseract
def test_text_is_recognised_again_if_that_is_asked_for(tmp_path):
    """From the picture of the page, and straightened."""
    own = sheet(tmp_path / "own.pdf", "typed letters")
    result = recognised(own, instructions={"force": True, "deskew": True})
    (found,) = result.documents

    assert (result.outcome, found.format) == (FilterState.SUCCEEDED, "pdf-a")
    assert "typed letters" in words.extract_text(io.BytesIO(found.content))


class Cancelled(Ocr):
    """The filter, cancelled from outside as soon as tesseract reads a page."""

    def run(self, job, token):
        self.family = []
        others = {process.pid for process in psutil.Process().children(recursive=True)}  # of other tests

        def reads(process):
            command = process.cmdline()
            return command[:1] == ["tesseract"] and any(job.workdir.name in word for word in command)

        def tesseract_reads():
            children = psutil.Process().children(recursive=True)
            self.family = [process for process in children if process.pid not in others]
            with contextlib.suppress(psutil.NoSuchProcess):
                return any(map(reads, self.family))

        def cancel():
            until(tesseract_reads, "for tesseract", 400)
            job.parent.source.cancel("by the test")

        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            return super().run(job, token)
        finally:
            canceller.join()


@needs_tesseract
def test_a_cancel_leaves_no_process_and_changes_nothing(page):
    """Promise 4: tesseract is a child of a child, and is gone with it."""
    one = Cancelled()
    result = run_filter(one, [page], instructions=Instructions())
    family = [process.pid for process in one.family]

    assert (result.outcome, result.documents) == (FilterState.CANCELED, None)
    assert len(family) >= 2
    until(lambda: not any(map(alive, family)), f"for {family} to be gone")


@needs_tesseract
def test_what_cannot_be_used_is_named(tmp_path, page):
    """One sentence for each, and nothing is changed; only the decoder of the declared format is asked (T-P3)."""
    own = sheet(tmp_path / "own.pdf", "text")
    locked, broken, other = (tmp_path / f"{name}.pdf" for name in ("locked", "broken", "other"))
    with pikepdf.open(own) as pdf:
        pdf.save(locked, encryption=pikepdf.Encryption(user="secret", owner="other"))
    broken.write_bytes(b"%PDF-1.7\nno more")
    other.write_bytes(page.read_bytes())
    (tmp_path / "page.tif").write_bytes(page.read_bytes())
    result = recognised(locked, broken, other, tmp_path / "page.tif")
    sentences = result.detail.split("; Scan_")

    assert (result.outcome, result.reasons, result.documents) == (FilterState.ERRORS, ("UnknownError",), None)
    assert "_001.pdf: is encrypted" in sentences[0]
    assert "_002.pdf: cannot be used" in sentences[1]
    assert "_003.pdf: cannot be read as pdf" in sentences[2]
    assert "_004.tif: cannot be read as tiff" in sentences[3]


@needs_tesseract
def test_a_language_that_tesseract_lacks_is_named_with_its_package(page):
    """Before the first page is looked at."""
    result = recognised(page, instructions={"language": "eng+tlh_old"})

    assert result.outcome is FilterState.ERRORS
    assert result.detail == "tesseract has no data for tlh_old; on Debian: apt-get install tesseract-ocr-tlh-old"


@needs_tesseract
def test_what_holds_no_text_that_can_be_recognised_stays(tmp_path):
    """With a warning that names its format."""
    path = tmp_path / "page.xps"
    path.write_bytes(b"whatever")
    result = recognised(path)

    assert (result.outcome, result.documents) == (FilterState.WARNINGS, None)
    assert "_001.xps: text in xps cannot be recognised" in result.warnings[0]


@needs_tesseract
def test_a_cancel_before_a_page_was_read_ends_it(page):
    """At each of the first looks: around the list of languages, and before the first page."""
    outcomes = [recognised(page, cancel_at=number).outcome for number in (1, 2, 3, 4, 5)]

    assert set(outcomes) == {FilterState.CANCELED}


@pytest.mark.parametrize("language", ["", "de", "eng;reboot", "eng+", "--version", "ENG", "../eng"])
def test_a_language_is_a_name_and_nothing_else(language):
    """It becomes part of a command and of a file name (T-P5)."""
    with pytest.raises(ValueError, match="expected names like eng"):
        Instructions(language=language)


def test_its_config_has_three_elements():
    """Language, Deskew and Force; and what is no truth value is refused before anything is done."""
    xml = f"<o:OcrConfig xmlns:o='{ocr.NAMESPACE}'><o:Language>eng</o:Language><o:Force>perhaps</o:Force></o:OcrConfig>"
    with pytest.raises(InvalidArgument) as refused:
        run_filter(Ocr(), [], instructions=xml.encode())

    assert refused.value.expected == "a true or false"
    assert Instructions() == Instructions("eng", deskew=False, force=False)


@pytest.mark.parametrize("dpi", [0, -300, True, "300", 1_000_000])
def test_a_resolution_that_no_scanner_has_is_refused_at_load(dpi):
    """The sentence names the key."""
    with pytest.raises(ValueError, match=r"filters\.ocr\.dpi"):
        Settings(dpi)


@pytest.mark.parametrize(
    ("dpi", "expected"), [((300, 300), []), ((72, 72), ["--image-dpi=400"]), (None, ["--image-dpi=400"])]
)
def test_a_resolution_is_assumed_where_none_is_given(tmp_path, dpi, expected):
    """Or one that is a screen's: OCRmyPDF would refuse the page."""
    path = tmp_path / "page.png"
    Image.new("L", (60, 80)).save(path, **({"dpi": dpi} if dpi else {}))
    commands = []

    class Watching(Ocr):
        def run(self, job, token):
            commands.extend(ocr._command(job, one, job.workdir / "out.pdf") for one in job.documents)

    run_filter(Watching(), [path], instructions=Instructions(), settings={"dpi": 400})

    assert [one for one in commands[0] if str(one).startswith("--image-dpi")] == expected


def test_without_its_programs_it_says_what_to_install(page, monkeypatch):
    """The catalogue shows it, and a run fails with the first of the sentences."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    sentences = list(Ocr().requires())

    assert sentences == [
        "ocrmypdf is not installed; pip install 'postscan[ocr]'",
        "tesseract is not installed; on Debian: apt-get install tesseract-ocr",
    ]
    assert recognised(page).detail == sentences[0]
