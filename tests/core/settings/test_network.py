"""The settings of the network: what cannot be used is named when the file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from postscan.core.settings import Settings


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"port": 5362}, "port and directed_port are both 5362"),
        ({"networks": ["10.0.0.0/40"]}, "10.0.0.0/40"),
        ({"scopes": ["a b"]}, "'a b' is not a scope"),
    ],
)
def test_settings_that_make_no_sense_are_named(table: dict[str, object], sentence: str) -> None:
    """The reader learns what was expected."""
    with pytest.raises(ValueError, match=sentence):
        Settings.model_validate({"discovery": table})


def test_discovery_under_tls_needs_the_name_in_the_certificate(tmp_path: Path) -> None:
    """DPW-016: an address that does not fit the certificate would be of no use."""
    table = {"discovery": {"enabled": True}, "tls": {"certificate": str(tmp_path / "server.pem")}}

    with pytest.raises(ValueError, match=r"server\.public_url is missing"):
        Settings.model_validate(table)
