"""A running inlet of the source HP on the double of a device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import source_server
from hp_device import HpDevice
from source_server import SourceServer

from postscan.plugins.sources.hp import HpWalkup

HOST = "scan7"
StartHp = Callable[..., SourceServer]


def starting(stack: contextlib.ExitStack, device: HpDevice, tmp_path: Path) -> StartHp:
    """Return a function that starts an inlet for the device, or for another one, with settings as its keywords."""

    def start(*destinations: str, of: HpDevice = device, **settings: Any) -> SourceServer:
        table = {"device": of.url, "hostname": HOST, "wait_seconds": 5.0, "away_seconds": 0.2, **settings}
        labels = destinations or ("Invoices",)
        run = source_server.running(HpWalkup(), tmp_path, table, destinations=labels, examined=True)
        return stack.enter_context(run)

    return start
