"""An inlet that receives mails, and the certificate for it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import mail_inlet
import pytest
from certificates import Authority
from mail_inlet import Certified, MailInlet


@pytest.fixture
def inlet(tmp_path: Path) -> Iterator[MailInlet]:
    """The source at work, for devices of this machine."""
    with mail_inlet.serving(tmp_path) as inlet:
        yield inlet
        assert inlet.leftovers() == []


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    """A certificate, and clients that trust it."""
    authority = Authority("Mail CA")
    context = ssl.create_default_context(cafile=str(authority.write(tmp_path, "mail-ca")))
    context.check_hostname = False
    return Certified(Path(authority.server().write(tmp_path, "mail")), context)
