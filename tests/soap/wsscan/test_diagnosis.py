"""What `postscan doctor` finds about a scanner, which it asks and leaves as it is."""

from __future__ import annotations

import contextlib
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from postscan.cli.device.wsscan.scanner import WsdScanner
from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.messages import Destination
from postscan.soap.wsscan import WsScanSource
from postscan.soap.wsscan.settings import WsScanSettings

LOOPBACK = ("127.0.0.1",)


def diagnosed(device: str, *, devices: tuple[str, ...] = (), destinations: int = 1, **settings: Any) -> list[str]:
    """Return what is wrong with these settings."""
    with CancelSource() as source:
        inlet: Any = SimpleNamespace(
            settings=WsScanSettings(device=device, **settings),
            started=SimpleNamespace(devices=devices),
            destinations=[Destination(id=f"d{n}", label=f"D{n}") for n in range(destinations)],
            is_device=lambda address: address in devices,
            token=source.token(),
            log=lambda *_a, **_k: None,
        )
        return list(WsScanSource(LOOPBACK).diagnose(inlet))


@pytest.fixture
def port() -> int:
    """A UDP port that was free."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_scanner_that_works_is_well() -> None:
    """It is asked for its metadata and its status, and for nothing else."""
    with WsdScanner() as scanner:
        assert diagnosed(scanner.url) == []

        asked = {one.what.rpartition("/")[2] for one in scanner.requests}
        assert asked == {"Probe", "Get", "GetScannerElements"}


def test_a_scanner_that_is_off_is_found() -> None:
    """With its address."""
    with WsdScanner() as scanner:
        url = scanner.url
    (problem,) = diagnosed(url)

    assert "127.0.0.1" in problem


def test_a_scanner_that_cannot_scan_is_found() -> None:
    """With the reason that it gives."""
    with WsdScanner() as scanner:
        scanner.open()
        (problem,) = diagnosed(scanner.url)

    assert "Stopped" in problem
    assert "CoverOpen" in problem


def test_another_program_at_the_address_is_found() -> None:
    """As one that answers with HTML."""
    with WsdScanner(misbehaviours=["html=Get"]) as scanner:
        assert len(diagnosed(scanner.url)) == 1


def test_a_scanner_of_the_network_is_looked_for(port: int) -> None:
    """One that `devices` does not have is named."""
    with WsdScanner(announce=True, discovery_port=port):
        assert diagnosed("", devices=("127.0.0.1",), discovery_port=port) == []
        (problem,) = diagnosed("", devices=("127.0.0.2",), discovery_port=port)

    assert "others answer, at 127.0.0.1" in problem


def test_settings_without_any_limit_are_found() -> None:
    """And the lack of destinations, or too many of them."""
    assert "'devices'" in diagnosed("")[0]
    with WsdScanner() as scanner:
        assert "no destination" in diagnosed(scanner.url, destinations=0)[0]
        assert "16 destinations" in diagnosed(scanner.url, destinations=16)[0]


def test_a_name_without_an_address_is_found() -> None:
    """Before anything is sent."""
    assert "no.such.host.invalid" in diagnosed("no.such.host.invalid")[0]
