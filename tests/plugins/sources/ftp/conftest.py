"""The source FTP, running in a thread of the test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ftp_inlets import FtpInlet, FtpInlets


@pytest.fixture
def make_inlet(tmp_path: Path) -> Iterator[FtpInlets]:
    """Start an inlet with the settings that the test gives."""
    with contextlib.ExitStack() as opened:
        yield FtpInlets(tmp_path, opened)


@pytest.fixture
def inlet(make_inlet: FtpInlets) -> FtpInlet:
    """An inlet with TLS, two destinations, an account, and devices of this machine."""
    return make_inlet()
