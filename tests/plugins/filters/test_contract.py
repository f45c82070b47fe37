"""The contract test on the filters that need no server: none raises a false alarm."""

from __future__ import annotations

import pytest

from postscan.plugins.filters import fileshare, stamp
from postscan.plugins.testing import assert_filter_contract

UNC = r"\\demo\out"


def test_the_file_share_filter_keeps_the_contract(pages, out):
    """On a folder that stands for a share."""
    wanted = fileshare.Instructions(share_uncs=(UNC,))

    assert_filter_contract(fileshare.FileShare(), pages, instructions=wanted, settings={"shares": {UNC: str(out)}})


def test_the_stamp_filter_keeps_the_contract(pages, out):
    """On a folder that stands for a share."""
    pytest.importorskip("PIL.Image", reason="the stamp filter needs the extra [image]")
    wanted = stamp.Instructions(text="Received", folder=UNC)
    settings = {"shares": {UNC: str(out)}}

    assert_filter_contract(stamp.Stamp(), pages[:1], instructions=wanted, settings=settings, most=10)


def test_the_pdf_filter_keeps_the_contract(pages):
    """It publishes nothing, and works for the filters after it."""
    for module in ("img2pdf", "pikepdf", "PIL.Image"):
        pytest.importorskip(module, reason="the pdf filter needs the extra [pdf]")
    from postscan.plugins.filters import pdf

    assert_filter_contract(pdf.Pdf(), pages, most=10)
