"""The settings of the console: on by default on loopback alone, and never in clear elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings, load
from postscan.core.settings.console import is_in

TLS = '[tls]\ncertificate = "c.pem"\n'
PROXY = '[console.proxy]\nfrom = ["192.0.2.9/32"]\n'


def loaded(folder: Path, text: str) -> Settings:
    """Return the settings of a file with this text."""
    file = folder / "postscan.toml"
    file.write_text(text)
    return load(file)


def test_by_default_it_is_for_this_machine(tmp_path: Path) -> None:
    """At a port of its own, since the devices' port reads no cookies (T-C4)."""
    settings = Settings()

    assert settings.console.is_on
    assert settings.console_url == "http://127.0.0.1:5363"
    assert not loaded(tmp_path, '[console]\nhost = "192.0.2.1"\n').console.is_on


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[console]\nenabled = true\nhost = "192.0.2.1"\n', "set tls.certificate, or console.proxy.from"),
        (TLS + '[console]\nenabled = true\nhost = "192.0.2.1"\n', "console.public_url is missing"),
        (
            TLS + '[console]\nenabled = true\nhost = "192.0.2.1"\npublic_url = "http://scans.example"\n',
            "expected https://",
        ),
        ('[console.proxy]\nheader = "X-Remote-User"\n', "from is missing"),
        ('[console.proxy]\nfrom = ["192.0.2.9/8"]\n', "has host bits set"),
        ('[console.proxy]\nheader = "X Remote"\nfrom = ["192.0.2.9"]\n', "should match pattern"),
        ('[console]\npublic_url = "https://scans.example/console"\n', "should match pattern"),
        ('[console]\nmetrics_from = ["everywhere"]\n', "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_settings_that_would_open_it_too_far_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """The sentence names what is missing."""
    with pytest.raises(SettingsError, match=reason):
        loaded(tmp_path, text)


@pytest.mark.parametrize("guarded", [TLS, PROXY])
def test_elsewhere_it_needs_a_guarded_way(tmp_path: Path, guarded: str) -> None:
    """TLS of its own, or a proxy that has it; and a name, since others are refused."""
    console = '[console]\nenabled = true\nhost = "192.0.2.1"\npublic_url = "https://scans.example"\n'
    settings = loaded(tmp_path, console + guarded)

    assert settings.console.is_on
    assert settings.console_uses_tls == (guarded == TLS)
    assert settings.console_url == "https://scans.example"


@pytest.mark.parametrize(
    ("address", "found"),
    [("192.0.2.9", True), ("::ffff:192.0.2.9", True), ("192.0.2.10", False), ("", False), ("testclient", False)],
)
def test_an_address_lies_in_a_network(address: str, found: bool) -> None:
    """An IPv4 address also where the socket is one of IPv6; a text that is no address lies in none."""
    assert is_in(address, ("192.0.2.9/32", "2001:db8::/64")) == found
