"""What the doctor says of discovery: off, in somebody's way, or answering."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from acceptance.seeking import discovered, free_ports
from acceptance.server import running
from findings import bad, made, the

from postscan.cli.device import discovery as device_discovery
from postscan.core.settings import Settings
from postscan.doctor import discovery
from postscan.doctor.findings import Finding


def checked(settings: Settings) -> Iterator[Finding]:
    """Do the check with the Probe of the simulated device, as `postscan doctor` does."""
    return discovery.discovery(settings, lambda host, port, _seconds: device_discovery.on_host(host, port, 60.0))


def test_a_server_on_loopback_need_not_be_found(tmp_path: Path) -> None:
    """Nothing to mend."""
    assert bad(checked(made(tmp_path))) == []


def test_a_server_with_tls_and_without_its_name_is_not_found(tmp_path: Path) -> None:
    """It serves the network, and devices that know its name get no answer; unless that was said to be meant."""
    tables = {"server": {"host": "0.0.0.0"}, "tls": {"certificate": "c.pem"}}
    meant = made(tmp_path, **tables, discovery={"enabled": False})

    assert the(checked(made(tmp_path, **tables)))[:2] == ("discovery", "warning")
    assert bad(checked(meant)) == []


def test_a_port_that_somebody_else_has(tmp_path: Path) -> None:
    """The server would not start; without the other it would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        settings = made(tmp_path, discovery={"enabled": True, "port": 0, "directed_port": other.getsockname()[1]})
        check, verdict, sentence = the(checked(settings))

    assert (check, verdict) == ("discovery", "problem")
    assert "Address already in use" in sentence
    assert bad(checked(settings)) == []


def test_a_running_server_is_asked(tmp_path: Path) -> None:
    """It answers where it listens, and nobody answers elsewhere."""
    port, directed, elsewhere = free_ports(3)
    with running(tmp_path, discovered(port, directed)) as server:
        there = server.settings
        moved = there.discovery.model_copy(update={"directed_port": elsewhere})

        assert bad(checked(there)) == []
        assert the(checked(there.model_copy(update={"discovery": moved})))[1] == "warning"
