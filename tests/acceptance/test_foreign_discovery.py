"""Discovery clients that are not ours find the server: by asking everybody on the network, and by asking it alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.networks import SERVER, Cable, cable
from acceptance.seeking import DIRECTED, PORT, device_url, on_the_cable
from acceptance.server import Server, running

WSDISCOVERY = Path(__file__).parent.parent / "outside" / "wsd_client.py"

needs_nmap = pytest.mark.skipif(shutil.which("nmap") is None, reason="needs nmap; on Debian: apt-get install nmap")


@pytest.fixture(scope="module")
def laid() -> Iterator[Cable]:
    """Two machines on a cable."""
    with cable() as laid:
        yield laid


@pytest.fixture(scope="module")
def server(laid: Cable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on one of them."""
    serving = running(tmp_path_factory.mktemp("found"), on_the_cable(SERVER))
    yield laid.at_server(serving.__enter__)
    laid.at_server(serving.__exit__, None, None, None)


def said_by(laid: Cable, *command: str) -> str:
    """Return what a client says on the other machine.

    Run it again while it has found nothing: a busy server may answer later than the few seconds that a client waits.
    """
    for _ in range(10):
        said = laid.at_client(lambda: subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        if "/ScanServer" in said:
            break
    return said


@needs_nmap
@pytest.mark.parametrize("port", [DIRECTED, PORT], ids=["the server's own port", "the port of the standard"])
def test_nmap_finds_the_server_when_it_asks_it_alone(laid: Cable, server: Server, port: int) -> None:
    """DPW-003: by unicast UDP."""
    said = said_by(laid, *["nmap", "-n", "-Pn", "-sU", "--script", "+wsdd-discover", "-p"], str(port), SERVER)

    assert re.findall(r"Address: (http\S+)", said) == [device_url(server)]
    assert "Type: Device" in said


@needs_nmap
def test_nmap_finds_the_server_when_it_asks_everybody(laid: Cable, server: Server) -> None:
    """DPW-002: by multicast."""
    said = said_by(laid, *["nmap", "-n", "-e", "cable1", "--script", "broadcast-wsdd-discover"])

    assert re.findall(r"Address: (http\S+)", said) == [device_url(server)]
    assert "Type: Device" in said


def test_wsdiscovery_finds_the_server_when_it_asks_everybody(laid: Cable, server: Server) -> None:
    """DPW-002, DPW-018: with its name, its types and one address."""
    (device,) = json.loads(said_by(laid, sys.executable, "-W", "ignore", str(WSDISCOVERY)))

    assert device["endpoint"].startswith("urn:uuid:")
    assert device["addresses"] == [device_url(server)]
    assert "{http://schemas.xmlsoap.org/ws/2006/02/devprof}Device" in device["types"]
