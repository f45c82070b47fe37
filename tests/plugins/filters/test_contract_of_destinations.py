"""The contract test on the filters that talk to servers: each against a real one, and none raises a false alarm."""

from __future__ import annotations

import shutil

import pytest
from samba import NAME, samba
from smtp import MailServer
from webdav import PASSWORD, USER, serve

from postscan.plugins.filters import email, fileshare, ocr, sharepoint
from postscan.plugins.testing import assert_filter_contract

pytestmark = pytest.mark.timeout(900)


def test_the_file_share_filter_keeps_the_contract_on_a_server(tmp_path, pages):
    """SMB, with a hidden name that the server removes."""
    pytest.importorskip("smbprotocol", reason="the share needs the extra [smb]")
    with samba(tmp_path, {"scans": {}}) as server:
        assert_filter_contract(
            fileshare.FileShare(),
            pages,
            instructions=fileshare.Instructions(share_uncs=(rf"\\{NAME}\scans",)),
            settings={"servers": server.settings()},
            most=12,
        )


def test_the_email_filter_keeps_the_contract(pages):
    """One mail, at least once, under one name."""
    with MailServer() as server:
        assert_filter_contract(
            email.Email(),
            pages,
            instructions=email.Instructions(send_to_scan_user=True),
            settings={"host": "127.0.0.1", "port": server.port, "sender": "scanner@fabrikam.example"},
            most=12,
        )


def test_the_sharepoint_filter_keeps_the_contract(tmp_path, pages):
    """WebDAV, with a hidden name that is moved."""
    with serve(tmp_path / "dav") as server:
        assert_filter_contract(
            sharepoint.SharePoint(),
            pages,
            instructions=sharepoint.Instructions(site_urls=(server.library,)),
            settings={"sites": {server.url: {"kind": "webdav", "user": USER, "password": PASSWORD}}},
            most=12,
        )


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not here; apt-get install tesseract-ocr")
def test_the_ocr_filter_keeps_the_contract(pages):
    """Its tools end with it."""
    pytest.importorskip("ocrmypdf", reason="the ocr filter needs the extra [ocr]")
    assert_filter_contract(ocr.Ocr(), pages[:1], most=2)
