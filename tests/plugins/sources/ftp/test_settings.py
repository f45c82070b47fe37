"""What is refused when the settings are read."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.ftp.settings import Settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"host": "scans.example"}, "host: 'scans.example' is not an address"),
        ({"port": "21"}, "port: expected a whole number"),
        ({"port": True}, "port: expected a whole number"),
        ({"port": 70000}, "port: 70,000 is out of bounds; expected 0 to 65,535"),
        ({"port": 0}, "port and implicit_port are 0"),
        ({"implicit_port": 990}, "implicit_port: there is no certificate"),
        ({"certificate": "/nowhere.pem"}, "certificate: '/nowhere.pem' is not a file"),
        ({"certificate": "server.pem"}, "certificate: 'server.pem' is not a file; expected an absolute path"),
        ({"key": __file__}, "key: there is no certificate"),
        ({"passive_ports": "60000"}, "passive_ports: '60000' is no range"),
        ({"passive_ports": "60100-60000"}, "passive_ports: '60100-60000' is no range"),
        ({"passive_ports": "1000-2000"}, "passive_ports: '1000-2000' is no range"),
        ({"masquerade": "fd00::1"}, "masquerade: 'fd00::1' is not an IPv4 address"),
        ({"most_bytes": 0}, "most_bytes: 0 is out of bounds"),
        ({"spool_bytes": 1 << 30}, "spool_bytes: 1,073,741,824 is less than two files; expected 4,294,967,296 or more"),
        ({"connections": 0}, "connections: 0 is out of bounds"),
        ({"data_seconds": 0}, "data_seconds: 0 is out of bounds"),
        ({"least_rate": 0}, "least_rate: 0 is out of bounds"),
        ({"temporary_names": "*.tmp"}, "temporary_names: expected a list of patterns"),
        ({"ignored_names": [""]}, "ignored_names: expected a list of patterns"),
        ({"unclean_tls_end": 1}, "unclean_tls_end: expected true or false"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, sentence):
    """With a sentence that names the key."""
    with pytest.raises(ValueError) as refusal:
        Settings(**settings)

    assert sentence in str(refusal.value)


def test_nothing_listens_beyond_this_machine_unless_the_settings_say_so():
    """The default is for a proxy, or for a test."""
    assert Settings().host == "127.0.0.1"
    assert Settings(passive_ports="60000-60002").data_ports() == range(60000, 60003)


@pytest.mark.parametrize("name", ["a.tmp", "A.TMP", "scan.jpg.part", "~scan.jpg", "scan.jpg~", ".in.scan.jpg."])
def test_temporary_names_are_those_that_devices_and_clients_use(name):
    """In any case of letters."""
    assert Settings().is_temporary(name)
    assert not Settings().is_temporary("scan.jpg")
    assert not Settings().is_ignored(name)
