"""A simulated WSD scanner, and a computer beside it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sample_files import noise, saved
from wsd_computer import WsdComputer, computer

from postscan.cli.device.wsscan import SimulatedScanner, WsdScanner

Begin = Callable[..., tuple[WsdScanner, WsdComputer]]


@pytest.fixture(scope="session")
def paper() -> list[bytes]:
    """Three different pages."""
    return [saved(noise(size=(240, 320), seed=seed), "JPEG", quality=90) for seed in (1, 2, 3)]


@pytest.fixture
def begin(paper: list[bytes]) -> Iterator[Begin]:
    """Switch a scanner on, with three pages if no others are given."""
    with ExitStack() as stack:

        def one(**given: Any) -> tuple[WsdScanner, WsdComputer]:
            scanner = stack.enter_context(SimulatedScanner(given.pop("pages", paper), **given))
            return scanner, stack.enter_context(computer(scanner.service_url))

        yield one
