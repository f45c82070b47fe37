"""One job through pdf and ocr to a share, a mailbox and a library: real pages, tools and servers, from end to end."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import messages
import psutil
import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import Server, none_alive, running
from plugin_names import unused
from samba import NAME, Samba, samba
from smtp import MailServer
from webdav import PASSWORD, USER, WebDav, serve
from works import SID, until

from postscan.core.model.states import FilterState, JobState

Image = pytest.importorskip("PIL.Image", reason="the pages need the extra [image]")
pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")
data = pytest.importorskip("skimage.data", reason="scikit-image has the photographed pages")
words = pytest.importorskip("pdfminer.high_level", reason="pdfminer reads the text that was found")
pytest.importorskip("ocrmypdf", reason="the ocr filter needs the extra [ocr]")
pytest.importorskip("smbprotocol", reason="the share needs the extra [smb]")

ANN = "ann@fabrikam.example"
OURS = "urn:postscan:2026:filter:"
MOST_SECONDS = 600.0
"""Time for the text of two pages: it takes ten seconds on a machine that does nothing else."""

pytestmark = pytest.mark.timeout(1500)


@dataclass
class World:
    """A server, and the three places that its documents go to."""

    server: Server
    samba: Samba
    mail: MailServer
    library: WebDav

    def instructions(self) -> str:
        """Write instructions: one PDF, its text, then everywhere."""
        share = rf"<f:FileShares><f:ShareUNC>\\{NAME}\scans</f:ShareUNC></f:FileShares>"
        url = f"<f:SaveToSharePointSiteURL>{self.library.library}</f:SaveToSharePointSiteURL>"
        inside = "".join(
            (
                _filter(OURS + "pdf", "PdfConfig", ""),
                _filter(OURS + "ocr", "OcrConfig", ""),
                _filter(messages.FILTER + "fileshare", "FileShareConfig", share),
                _filter(messages.FILTER + "email", "EmailConfig", "<f:SendToScanUser>true</f:SendToScanUser>"),
                _filter(
                    messages.FILTER + "sharepoint",
                    "SharePointConfig",
                    f"<f:SaveToSharePointSites>{url}</f:SaveToSharePointSites>",
                ),
            )
        )
        name = "<psp:DocumentRootName>Minutes</psp:DocumentRootName>"
        return f"{name}<psp:FiltersToProcess>{inside}</psp:FiltersToProcess>"

    def scan(self, pages: list[bytes]) -> str:
        """Make a job of these pages, and end it; return its token."""
        device = Scanner(self.server).device
        asked = self.instructions()
        for _ in range(20):
            created = device.create(self.server.store(asked), asked)
            if created.status != 500:
                break  # else a filter's check took longer than its two seconds: devices ask again
        token = good(created).find("JobToken")
        assert token
        for number, page in enumerate(pages, start=1):
            good(device.send_image(token, number, page))
        good(device.end(token))
        return token

    def shared(self) -> list[Path]:
        """Return every file on the share, hidden ones too."""
        return [path for path in self.samba.shares["scans"].rglob("*") if path.is_file()]


def _filter(dialect: str, config: str, inside: str) -> str:
    asked = f'<f:{config} xmlns:f="{dialect}">{inside}</f:{config}>'
    return f"<psp:Filter><psp:Dialect>{dialect}</psp:Dialect><psp:Instructions>{asked}</psp:Instructions></psp:Filter>"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Everything running; nothing delivered yet."""
    for name in ("samba", "dav", "server"):
        (tmp_path / name).mkdir()
    with (
        samba(tmp_path / "samba", {"scans": {}}) as share,
        serve(tmp_path / "dav") as library,
        MailServer() as mail,
        running(
            tmp_path / "server",
            {
                "running": {"seconds": 1000, "term_seconds": 0.3},
                "plugins": {"disabled": unused("pdf", "ocr", "fileshare", "sharepoint", "email")},
                f'users."{SID}"': {"name": ANN, "mail": ANN},
                f'filters.fileshare.servers."{NAME}"': share.settings()[NAME],
                "filters.email": {"host": "127.0.0.1", "port": mail.port, "sender": "scanner@fabrikam.example"},
                f'filters.sharepoint.sites."{library.url}"': {"kind": "webdav", "user": USER, "password": PASSWORD},
            },
        ) as server,
    ):
        yield World(server, share, mail, library)


@pytest.fixture(scope="module")
def pages() -> list[bytes]:
    """Two photographs of the page of a book, as a scanner with 200 dots per inch would send them."""
    photograph = Image.fromarray(data.page())
    large = photograph.resize((photograph.width * 3, photograph.height * 3), Image.Resampling.LANCZOS)
    return [_png(large), _png(large.crop((0, 0, large.width, large.height // 2)))]


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", dpi=(200, 200))
    return file.getvalue()


def test_a_job_arrives_everywhere_as_one_searchable_pdf(world: World, pages: list[bytes]) -> None:
    """It opens, has the text, and is the same file at each destination; one mail."""
    token = world.scan(pages)
    until(lambda: world.server.works.job(token).state.ended, "for the end", MOST_SECONDS)
    job = world.server.works.job(token)

    assert [(step.state, step.detail) for step in job.steps] == [(FilterState.SUCCEEDED, "")] * 5
    (shared,) = world.shared()
    (listed,) = world.library.files().items()
    (mail,) = world.mail.messages
    ((name, kind, attached),) = mail.attachments
    assert (shared.name, kind) == (name, "application/pdf")
    assert Path(listed[0]).name == name
    assert len({hashlib.sha256(content).hexdigest() for content in (shared.read_bytes(), listed[1], attached)}) == 1
    with pikepdf.open(shared) as pdf:
        assert len(pdf.pages) == 2
    assert "segmentation" in words.extract_text(shared)


def test_a_job_that_is_cancelled_while_its_text_is_read_arrives_nowhere(world: World, pages: list[bytes]) -> None:
    """Tesseract is gone when the job is Canceled, and nothing was delivered, then or later (promises 3 and 4)."""
    token = world.scan(pages * 3)
    until(lambda: _tools(world.server), "for tesseract to start", MOST_SECONDS)
    tools = _tools(world.server)
    good(Scanner(world.server).device.cancel(token))
    until(lambda: world.server.works.job(token).state.ended, "for the end")

    assert none_alive(tools)
    assert _tools(world.server) == []
    job = world.server.works.job(token)
    assert job.state is JobState.CANCELED
    assert [step.state for step in job.steps] == [FilterState.SUCCEEDED, *[FilterState.CANCELED] * 4]
    assert (world.shared(), world.mail.messages, world.library.methods()) == ([], [], [])


def _tools(server: Server) -> list[int]:
    """Return the tesseract processes that stand below the server and run."""
    found = []
    for one in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if one.name() == "tesseract" and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.pid)
    return found
