"""A running inlet of the source, and the device whose panel it uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import image_files
import pytest
from hp_device import HpDevice
from hp_inlet import StartHp, starting


@pytest.fixture(scope="session")
def pages() -> list[bytes]:
    """Three different JPEGs."""
    return [image_files.baseline(), image_files.with_line_count(), image_files.progressive()]


@pytest.fixture
def device(pages: list[bytes]) -> Iterator[HpDevice]:
    """A device of the newer interface, with a sheet on its platen."""
    with HpDevice(pages[:1]) as device:
        yield device


@pytest.fixture
def start(device: HpDevice, tmp_path: Path) -> Iterator[StartHp]:
    """A function that starts an inlet for the device, with settings as its keywords."""
    with contextlib.ExitStack() as stack:
        yield starting(stack, device, tmp_path)
