"""The page for those who connect a scanner: its settings and commands, with a server, smbd and clients."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import samba
from certificates import Authority
from destinations import open_folder
from followed_page import FollowedPage
from free_ports import free_port
from works import SID

pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")

PAGE = "docs/connect-your-scanner.md"

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


def replaced(home: Path, share: samba.Samba) -> dict[str, str]:
    """Return what stands for the addresses, ports, paths and passwords of the page."""
    return {
        "//scans.fabrikam.example/scans": f"//127.0.0.1/scans --port {share.port}",
        "scans.fabrikam.example": "127.0.0.1",
        "scanner%PASSWORD": f"{share.user}%{samba.PASSWORD}",
        "/srv/scans": str(share.shares["scans"]),
        "/etc/samba/smb.conf": str(home / "smb.conf"),
        "/etc/postscan.toml": str(home / "postscan.toml"),
        "/etc/postscan/": f"{home}/",
        "10.0.0.0/24": "127.0.0.0/8",
        "0.0.0.0": "127.0.0.1",
        **{port: str(free_port()) for port in ("2525", "2121", "8480")},
    }


@pytest.fixture(scope="module")
def scanners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FollowedPage]:
    """The page, followed once; its server runs on."""
    home = tmp_path_factory.mktemp("connect")
    authority = Authority("Fabrikam scan CA")
    authority.write(home, "ca")
    authority.server().write(home, "scans")
    with open_folder() as place, samba.documented(place) as share:
        scanners = FollowedPage(PAGE, home, ("folder", "ftp", "smtp", "web"), replaced(home, share))
        with contextlib.closing(scanners.shell):
            scanners.follow()
            yield scanners


def test_every_command_of_the_page_ends_well(scanners: FollowedPage) -> None:
    """The clients that it names included: curl, smbclient, testparm."""
    assert [(one.command, one.code, one.output) for one in scanners.commands if one.code] == []
    assert len(scanners.commands) >= 16


def test_every_output_that_the_page_shows_is_true(scanners: FollowedPage) -> None:
    """Each inlet is ready, among others."""
    assert [(one.command, one.missing, one.output) for one in scanners.commands if one.missing] == []


def test_every_scan_of_the_page_is_a_pdf_of_its_user(scanners: FollowedPage) -> None:
    """Once by address and once by account for each protocol, and one through the share."""
    jobs = scanners.jobs(7)
    sent = Counter((job["origin"]["source"], job["origin"]["proof"]) for job in jobs)
    files = [path for path in scanners.out.rglob("*") if path.is_file()]

    assert sent == {
        **{(name, proof): 1 for name in ("mail", "ftp", "web") for proof in ("device", "password")},
        ("share", "local"): 1,
    }
    assert {(job["state"], job["user"]["sid"]) for job in jobs} == {("Completed", SID)}
    assert len(files) == len(jobs)
    assert {path.parent.name for path in files} == {"ann@fabrikam.example"}
    for path in files:
        with pikepdf.open(io.BytesIO(path.read_bytes())) as pdf:
            assert len(pdf.pages) == 1
