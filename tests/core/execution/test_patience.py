"""A call that is repeated while the database does not answer."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from postscan.core.errors import StoreBusy
from postscan.core.execution.patience import until_stored


@pytest.fixture
def _no_collections() -> Iterator[None]:
    """What refers to itself stays."""
    gc.disable()
    yield
    gc.enable()


class Pauses:
    """Pauses that end at once."""

    def __init__(self) -> None:
        self.lengths: list[float] = []

    def pause(self, seconds: float) -> bool:
        """Note a pause."""
        self.lengths.append(seconds)
        return False


@pytest.mark.usefixtures("_no_collections")
@pytest.mark.parametrize("failures", [0, 2])
def test_what_a_pause_refers_to_is_freed_when_the_call_has_returned(failures: int) -> None:
    """The pause of a run is that of its token, which has a descriptor: many would be open until Python collects it."""
    pauses, fails = Pauses(), [StoreBusy("locked")] * failures
    freed = weakref.ref(pauses)

    def call() -> str:
        if fails:
            raise fails.pop()
        return "stored"

    result = until_stored(call, pauses.pause)
    lengths = [length for length in pauses.lengths if length]
    del pauses

    assert result == "stored"
    assert lengths == [0.1, 0.2][:failures]
    assert freed() is None
