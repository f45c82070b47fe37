"""The hash of SharePoint."""

from __future__ import annotations

import base64
import os

import graph
import pytest

from postscan.plugins.filters.sharepoint.quickxor import quick_xor


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("Sg==", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="),
        ("tbQ=", "taAFAAAAAAAAAAAAAgAAAAAAAAA="),
        ("eAV52qE=", "eChAHrQRCgAAAAAABQAAAAAAAAA="),
        ("gQaybEqS/4UlDc8e4IJm", "gDCALNigBEn8oxAlZ8AzPAAOQZg="),
    ],
)
def test_the_hash_is_the_one_that_others_compute(content, expected):
    """Known answers, which rclone's tests have as well."""
    assert quick_xor([base64.b64decode(content)]) == expected


@pytest.mark.parametrize("size", [159, 160, 161, 320, 1000, 100_003])
def test_the_hash_does_not_depend_on_the_pieces(size):
    """And it is what one gets bit by bit."""
    content = os.urandom(size)
    for piece in (1, 7, 160, 4096) if size <= 1000 else (999, 1 << 18):
        pieces = [content[start : start + piece] for start in range(0, size, piece)]

        assert quick_xor(pieces) == graph.quick_xor(content)
