"""A running inlet of the source, and the device that it calls."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import image_files
import pytest
from escl_device import EsclDevice
from escl_inlet import StartEscl, starting


@pytest.fixture(scope="session")
def pages() -> list[bytes]:
    """Three different JPEGs; the second has the number of its lines at its end, as those of HP's feeders."""
    return [image_files.baseline(), image_files.with_line_count(), image_files.progressive()]


@pytest.fixture
def device(pages: list[bytes]) -> Iterator[EsclDevice]:
    """A device with three sheets in its feeder."""
    with EsclDevice(list(pages)) as device:
        yield device


@pytest.fixture
def start(device: EsclDevice, tmp_path: Path) -> Iterator[StartEscl]:
    """A function that starts an inlet for the device, with settings as its keywords."""
    with contextlib.ExitStack() as stack:
        yield starting(stack, device, tmp_path)
