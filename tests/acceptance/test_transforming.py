"""Filters that change the documents, before one that delivers them: real pages, a real server, real PDFs."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import messages
import pytest
from acceptance.conftest import PDF
from acceptance.scanning import Scanner, good
from acceptance.server import SHARE, Server, none_alive, running
from works import until

from postscan.plugins.filters.pdf import NAMESPACE

Image = pytest.importorskip("PIL.Image", reason="the pdf filter needs the extra [pdf]")
pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")
data = pytest.importorskip("skimage.data", reason="scikit-image has the photographed pages")


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    with running(tmp_path, PDF) as server:
        yield server


@pytest.fixture(scope="module")
def pages() -> list[bytes]:
    """Three photographs as a device sends them: two pages and a man with a camera."""
    return [png(Image.fromarray(one)) for one in (data.page(), data.text(), data.camera())]


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def chain(*filters: str, root: str, go_on: bool = False) -> str:
    """Write instructions: `"pdf"`, `"share"`, or `"sleep 5"` for a filter of the plugin acme."""
    inside = "".join(map(_filter, filters))
    proceed = f"<psp:ContinueOnError>{str(go_on).lower()}</psp:ContinueOnError>"
    name = f"<psp:DocumentRootName>{root}</psp:DocumentRootName>"
    return f"{proceed}{name}<psp:FiltersToProcess>{inside}</psp:FiltersToProcess>"


def _filter(asked: str) -> str:
    name, _, argument = asked.partition(" ")
    dialect, config = f"urn:acme:{name}", f'<a:do xmlns:a="urn:acme">{argument}</a:do>'
    if name == "pdf":
        dialect, config = NAMESPACE, f'<p:PdfConfig xmlns:p="{NAMESPACE}"><p:Title>Minutes</p:Title></p:PdfConfig>'
    if name == "share":
        dialect = messages.FILTER + "fileshare"
        shares = f"<f:FileShares><f:ShareUNC>{SHARE}</f:ShareUNC></f:FileShares>"
        config = f'<f:FileShareConfig xmlns:f="{dialect}">{shares}</f:FileShareConfig>'
    inside = f"<psp:Dialect>{dialect}</psp:Dialect><psp:Instructions>{config}</psp:Instructions>"
    return f"<psp:Filter>{inside}</psp:Filter>"


def scanned(server: Server, pages: list[bytes], asked: str) -> str:
    """Scan a job with these pages; return its token."""
    device = Scanner(server).device
    token = good(device.create(server.store(asked), asked)).find("JobToken")
    assert token
    for number, page in enumerate(pages, start=1):
        good(device.send_image(token, number, page))
    good(device.end(token))
    return token


def delivered(server: Server, root: str) -> list[Path]:
    """Return what lies on the share of the job with this DocumentRootName."""
    return sorted(server.share.rglob(f"{root}_*"))


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def hashes(pages: list[bytes]) -> list[str]:
    """Return what `Server.images` returns if the spool has these pages and nothing else."""
    return sorted(map(sha256, pages))


def pictures(pdf: Path) -> list[tuple[tuple[int, int], bytes]]:
    """Return size and pixels of the one image on each page of a PDF."""
    with pikepdf.open(pdf) as whole:
        return [pixels(pikepdf.PdfImage(*page.get_images().values()).as_pil_image()) for page in whole.pages]


def pixels(image: Image.Image) -> tuple[tuple[int, int], bytes]:
    """Return size and pixels of an image."""
    return image.size, image.convert("L").tobytes()


def as_pictures(pages: list[bytes]) -> list[tuple[tuple[int, int], bytes]]:
    """Return what `pictures` returns for a PDF of these pages."""
    return [pixels(Image.open(io.BytesIO(page))) for page in pages]


def test_three_pages_become_one_pdf_on_the_share(server: Server, pages: list[bytes]) -> None:
    """The filter behind sees what the one before has made; what the device sent stays in the spool (I4)."""
    token = scanned(server, pages, chain("pdf", "share", root="One"))
    end = Scanner(server).ended(token)
    (file,) = delivered(server, "One")

    assert end.filters == ("CompletedSuccessfully", "CompletedSuccessfully")
    assert (end.state, end.images) == ("Completed", 3)
    assert file.suffix == ".pdf"
    assert pictures(file) == as_pictures(pages)
    until(lambda: server.images(token) == hashes(pages), "for what was made to leave the spool")


def test_after_a_failed_transform_the_originals_are_delivered(server: Server, pages: list[bytes]) -> None:
    """If the job goes on after errors: what the device sent, broken page and all, and nothing half-made."""
    broken = [pages[0], pages[1][: len(pages[1]) // 2], pages[2]]
    token = scanned(server, broken, chain("pdf", "share", root="Originals", go_on=True))
    end = Scanner(server).ended(token)
    files = delivered(server, "Originals")

    assert end.filters == ("CompletedWithErrors", "CompletedSuccessfully")
    assert [file.suffix for file in files] == [".png"] * 3
    assert [file.read_bytes() for file in files] == broken
    assert server.images(token) == hashes(broken)


def test_after_a_failed_transform_nothing_is_delivered_otherwise(server: Server, pages: list[bytes]) -> None:
    """The job is Aborted; its pages stay in the spool."""
    token = scanned(server, [pages[0], b"no picture"], chain("pdf", "share", root="Nothing"))
    end = Scanner(server).ended(token)

    assert (end.state, end.filters) == ("Aborted", ("CompletedWithErrors", "Canceled"))
    assert delivered(server, "Nothing") == []
    assert server.images(token) == hashes([pages[0], b"no picture"])


def test_a_cancel_in_the_middle_of_the_pdf_delivers_nothing(server: Server) -> None:
    """Promise 3, I14: the filter stops between two pages, and leaves nothing in the spool."""
    noise = png(Image.effect_noise((1600, 2000), 80))
    token = scanned(server, [noise] * 15, chain("pdf", "share", root="Cancelled"))
    until(lambda: Scanner(server).status(token).filters[0] == "Processing", "for the filter to begin")
    good(Scanner(server).device.cancel(token))
    end = Scanner(server).ended(token)

    assert (end.state, end.filters) == ("Canceled", ("Canceled", "Canceled"))
    assert delivered(server, "Cancelled") == []
    assert server.images(token) == [sha256(noise)] * 15


def test_what_was_made_before_a_cancel_leaves_the_spool(server: Server, pages: list[bytes]) -> None:
    """Promise 3, I4: one transform had ended, the next was at work; nothing is delivered, the pages are kept."""
    token = scanned(server, pages, chain("pdf", "turn wait", "share", root="Discarded"))
    server.works.await_trace(token, "waiting")
    before = len(server.images(token))
    good(Scanner(server).device.cancel(token))
    end = Scanner(server).ended(token)

    assert before == 4
    assert (end.state, end.filters) == ("Canceled", ("CompletedSuccessfully", "Canceled", "Canceled"))
    assert delivered(server, "Discarded") == []
    until(lambda: server.images(token) == hashes(pages), "for what was made to leave the spool")


def test_a_server_killed_behind_a_transform_delivers_what_was_made_once(mortal: Server, pages: list[bytes]) -> None:
    """F-R1, F-R4, I20: what was made is in the spool, and is not made again."""
    token = scanned(mortal, pages, chain("pdf", "sleep until woken", "share", root="Killed"))
    mortal.works.await_trace(token, "sleep")
    before = mortal.images(token)
    family = mortal.family()
    mortal.kill()
    until(lambda: none_alive(family), f"for {family} to be gone")
    mortal.start()
    mortal.works.wake(token)
    end = Scanner(mortal).ended(token)
    (file,) = delivered(mortal, "Killed")

    assert len(before) == 4
    assert end.filters == ("CompletedSuccessfully",) * 3
    assert sha256(file.read_bytes()) in set(before) - set(hashes(pages))
    assert pictures(file) == as_pictures(pages)
