"""An event sink for the tests of WS-Eventing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from listeners import Listener


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A sink that answers 202."""
    with Listener() as listener:
        yield listener
