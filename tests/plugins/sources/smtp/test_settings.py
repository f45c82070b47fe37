"""The settings of an inlet: what is accepted, and the sentence for what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from postscan.plugins.sources.smtp.settings import Settings


def test_without_settings_an_inlet_listens_to_this_machine_alone() -> None:
    """On a port that needs no rights; it keeps no more than a gibibyte on the disk."""
    settings = Settings()

    assert (settings.host, settings.port, settings.tls) == ("127.0.0.1", 2525, "none")
    assert settings.spool_bytes == 1 << 30


def test_tls_has_a_certificate(tmp_path: Path) -> None:
    """A file that is there."""
    (file := tmp_path / "mail.pem").write_text("")

    assert Settings(tls="starttls", certificate=str(file), key=str(file), require_tls=True).require_tls


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"port": "25"}, "port: expected a whole number"),
        ({"port": True}, "port: expected a whole number"),
        ({"port": 65536}, "port: 65536 is out of bounds; expected 0 to 65,535"),
        ({"require_tls": 1}, "require_tls: expected true or false"),
        ({"domains": "scan.example"}, "domains: expected a list of texts"),
        ({"domains": ["a@b"]}, "domains: 'a@b' is no domain; expected what stands behind the @"),
        ({"ignored_names": [1]}, "ignored_names: expected a list of texts"),
        ({"recipients": ["a"]}, "recipients: expected a table of recipients, each with the id or the label of a dest"),
        ({"recipients": {"a": 1}}, "recipients: expected a table of recipients"),
        ({"host": ""}, "host: expected an address of this machine"),
        ({"greeting_name": "a b"}, "greeting_name: 'a b' is not a host name"),
        ({"tls": "always"}, "tls: 'always' is unknown; expected none, starttls, implicit"),
        ({"tls": "starttls"}, "tls and certificate: expected both or none"),
        ({"certificate": "/etc/hosts"}, "tls and certificate: expected both or none"),
        ({"tls": "implicit", "certificate": "mail.pem"}, "certificate: 'mail.pem' is not a file; expected an absolute"),
        ({"key": "/etc/hosts"}, "key: without a certificate there is nothing"),
        ({"require_tls": True}, "require_tls: expected tls = "),
        ({"spool_bytes": 255 << 20}, "spool_bytes: 267,386,880 is too little; expected at least four times most_bytes"),
        ({"most_bytes": 3 << 30}, "most_bytes: 3221225472 is out of bounds; expected 65,536 to 2,147,483,648"),
        ({"connections": 201}, "connections: 201 is out of bounds; expected 1 to 200"),
        ({"idle_seconds": 0}, "idle_seconds: 0 is out of bounds"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_expected(table: dict[str, Any], message: str) -> None:
    """The server does not start with it."""
    with pytest.raises(ValueError) as caught:
        Settings(**table)

    assert str(caught.value).startswith(message)
