"""What may stand in the settings of an inlet."""

from __future__ import annotations

from typing import Any

import pytest

from postscan.plugins.sources.escl.settings import Settings


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"device": "10.0.0.9"},
        {"device": "https://10.0.0.9/eSCL", "fingerprint": "AA:" * 31 + "AA", "user": "anna", "password": "x"},
        {"device": "10.0.0.9", "ca_file": "/etc/ssl/own.pem"},
        {"device": "10.0.0.9", "first_use": True},
        {"device": "10.0.0.9", "verify": False},
        {"name": "Acme", "interfaces": ["10.0.0.2"]},
        {"device": "10.0.0.9", "source": "duplex", "color": "Grayscale8", "resolution": 300, "interval": 2},
        {"device": "10.0.0.9", "quirks": ["no-delete", "host-localhost"]},
    ],
)
def test_these_are_good(settings: dict[str, Any]) -> None:
    """An empty table is the only device that is announced."""
    Settings(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "ftp://10.0.0.9/"}, "base URL"),
        ({"device": "http://anna:secret@10.0.0.9/"}, "base URL"),
        ({"source": "glass"}, "source"),
        ({"color": "sepia"}, "color"),
        ({"resolution": -1}, "resolution"),
        ({"silence_seconds": 61}, "silence_seconds"),
        ({"silence_seconds": 0}, "silence_seconds"),
        ({"answer_seconds": float("inf")}, "answer_seconds"),
        ({"answer_seconds": float("nan")}, "answer_seconds"),
        ({"most_pages": 0}, "most_pages"),
        ({"interval": -0.5}, "interval"),
        ({"interval": True}, "interval"),
        ({"fingerprint": "abc"}, "fingerprint"),
        ({"ca_file": "own.pem"}, "ca_file"),
        ({"fingerprint": "0" * 64, "first_use": True}, "expected one of them"),
        ({"fingerprint": "0" * 64, "verify": False}, "expected one of them"),
        ({"user": "anna"}, "https"),
        ({"user": "anna", "device": "http://10.0.0.9/eSCL"}, "https"),
        ({"quirks": ["oddity"]}, "quirks"),
    ],
)
def test_these_are_refused_by_their_name(settings: dict[str, Any], words: str) -> None:
    """When the source is loaded, and not at the first scan."""
    with pytest.raises(ValueError, match=words):
        Settings(**settings)
