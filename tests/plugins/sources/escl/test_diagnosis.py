"""What `postscan doctor` is told of an inlet: nothing is scanned for it."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from escl_device import EsclDevice, Exchange, capabilities, status

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.context import SourceContext
from postscan.core.filters.source.messages import Destination, InletStarted
from postscan.plugins.sources.escl import Escl
from postscan.plugins.sources.escl.settings import Settings


def found(tmp_path: Path, device: EsclDevice, **settings: Any) -> list[str]:
    """Return the sentences of the diagnosis."""
    table = {"device": device.url, **settings}
    started = InletStarted(
        plugin="escl",
        inlet="inlet",
        settings=table,
        destinations=(Destination(id="d1", label="Scans"),),
        folder=tmp_path,
        workdir=tmp_path,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs, CancelSource() as stop, contextlib.closing(InletConnection(theirs)) as connection:
        return list(Escl().diagnose(SourceContext(connection, started, Settings(**table), stop.token())))


def test_a_device_that_is_ready_has_no_obstacle(tmp_path: Path, device: EsclDevice) -> None:
    """Its capabilities and its status were read, and that was all."""
    assert found(tmp_path, device) == []
    assert [one.method for one in device.requests] == ["GET", "GET"]


@pytest.mark.parametrize(("feeder", "words"), [("ScannerAdfJam", "jammed"), ("ScannerAdfDoorOpen", "door")])
def test_a_feeder_with_a_fault_is_named(tmp_path: Path, device: EsclDevice, feeder: str, words: str) -> None:
    """Somebody has to go there."""
    device.feeder = feeder

    assert words in found(tmp_path, device)[0]


def test_an_input_that_the_device_lacks_is_named(tmp_path: Path, device: EsclDevice) -> None:
    """Before the first scan."""
    text = capabilities()
    begin, end = text.index(b"<s:AdfDuplexInputCaps>"), text.index(b"</s:AdfDuplexInputCaps>")
    device.capabilities = text[:begin] + text[end + len(b"</s:AdfDuplexInputCaps>") :]

    assert "duplex" in found(tmp_path, device, source="duplex")[0]


@pytest.mark.parametrize("code", [401, 403])
def test_a_device_that_asks_for_a_password_says_so(tmp_path: Path, device: EsclDevice, code: int) -> None:
    """And what may be done at the device."""
    device.on("ScannerCapabilities", status(code), always=True)

    assert "user and password" in found(tmp_path, device)[0]


def test_a_device_that_is_away_or_silent_is_told_within_ten_seconds(tmp_path: Path, device: EsclDevice) -> None:
    """The time that a diagnosis has."""

    def hang(exchange: Exchange) -> None:
        exchange.handler.rfile.read(1)

    device.on("ScannerCapabilities", hang, always=True)
    began = time.monotonic()
    silent = found(tmp_path, device)

    assert str(device.port) in silent[0]
    assert time.monotonic() - began < 8
