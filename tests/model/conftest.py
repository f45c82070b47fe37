"""What the model's tests share: a silent log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from model.engine import unheard


@pytest.fixture(autouse=True)
def _silent_log() -> Iterator[None]:
    with unheard():
        yield
