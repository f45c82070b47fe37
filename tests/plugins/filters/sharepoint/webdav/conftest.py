"""A library on premises: a real WebDAV server on loopback."""

from __future__ import annotations

import os

import pytest
import webdav


@pytest.fixture
def dav(tmp_path):
    """A server with an empty library."""
    with webdav.serve(tmp_path / "dav") as running:
        yield running


@pytest.fixture
def pages(tmp_path):
    """Two pages, each of more than one piece."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for path in paths:
        path.write_bytes(os.urandom(600_000))
    return paths
