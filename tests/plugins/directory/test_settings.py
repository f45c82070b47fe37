"""What the settings of the plugin refuse, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from postscan.plugins import DirectoryAway
from postscan.plugins.directory.settings import Settings

GOOD: dict[str, Any] = {"servers": ("dc1.fabrikam.example",), "user": "postscan@fabrikam.example", "password": "p"}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"servers": ()}, "expected one or more servers"),
        ({"servers": "dc1"}, "servers: expected a list of servers"),
        ({"servers": ("ldap://dc1",)}, "is no server"),
        ({"servers": ("dc1:0",)}, "is no server"),
        ({"servers": ("dc1:65536",)}, "is no server"),
        ({"tls": "none"}, "tls: 'none' is unknown; expected ldaps or starttls"),
        ({"kind": "edirectory"}, "kind: 'edirectory' is unknown"),
        ({"user": ""}, "user and its password are missing"),
        ({"password": ""}, "user and its password are missing"),
        ({"password_file": __file__}, "password and password_file are both set"),
        ({"password": "", "password_file": "secret"}, "password_file: 'secret' is not a file"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file: '/nowhere/ca.pem' is not a file"),
        ({"base": "fabrikam.example"}, "base: 'fabrikam.example' is no distinguished name"),
        ({"kind": "openldap", "base": "dc=x"}, "OpenLDAP needs both"),
        ({"connect_seconds": 0}, "connect_seconds: 0 is out of bounds"),
        ({"group_depth": 51}, "group_depth: 51 is out of bounds"),
        ({"group_depth": True}, "group_depth: expected a whole number"),
    ],
)
def test_settings_that_cannot_work_are_refused(table: dict[str, Any], problem: str) -> None:
    """With the setting, what it is, and what was expected. There is no way to do without TLS."""
    with pytest.raises(ValueError, match=problem):
        Settings(**{**GOOD, **table})


def test_a_server_has_the_port_of_its_tls_or_its_own() -> None:
    """Names, IPv4 and IPv6."""
    servers = ("dc1", "dc2:1636", "[::1]", "[fe80::1]:700")

    assert Settings(**{**GOOD, "servers": servers}).endpoints == (
        ("dc1", 636),
        ("dc2", 1636),
        ("::1", 636),
        ("fe80::1", 700),
    )
    assert Settings(**GOOD, tls="starttls").endpoints == (("dc1.fabrikam.example", 389),)


def test_the_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    """Read when it is needed, so that it can be changed; without one nothing is sent."""
    file = tmp_path / "password"
    file.write_text("right horse\nsecond line\n")
    settings = Settings(**{**GOOD, "password": "", "password_file": str(file)})

    assert settings.secret() == "right horse"
    for content in (b"", b"\n", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(DirectoryAway, match="password_file: "):
            settings.secret()


def test_the_password_is_in_no_text_of_the_settings() -> None:
    """A log may have the settings."""
    assert "horse" not in repr(Settings(**{**GOOD, "password": "horse"}))
