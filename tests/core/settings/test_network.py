"""The settings of the network: what cannot be used is named when the file is read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from postscan.core.settings import Settings
from postscan.core.settings.network import IdentitySettings

ANNA = "S-1-5-21-1004336348-1177238915-682003330-1001"
FINGERPRINT = hashlib.sha256(b"a certificate").hexdigest()


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


@pytest.mark.parametrize(
    "key",
    ["", "anna", "CN=anna", f"sha256:{FINGERPRINT.upper()}", f"sha256:{FINGERPRINT[:-1]}", f"sha1:{FINGERPRINT[:40]}",
     "serial=1;issuer=CN=x", "serial=0a;issuer=CN=x", "serial=0A;issuer=", "serial=0A; issuer=CN=x"],
    ids=range(10),
)  # fmt: skip
def test_a_line_that_names_no_certificate_is_refused(key: str) -> None:
    """It could never match, so it is a mistake."""
    with pytest.raises(ValueError, match="does not identify a certificate"):
        IdentitySettings(certificates={key: ANNA})


def test_a_certificate_is_listed_for_a_sid() -> None:
    """Not for a name."""
    with pytest.raises(ValueError, match="'anna' is not a SID"):
        IdentitySettings(certificates={f"sha256:{FINGERPRINT}": "anna"})
