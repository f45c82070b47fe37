"""The limit on wrong tokens is one of all servers together."""

from __future__ import annotations

import contextlib

import pytest
import sqlalchemy as sa

from postscan.core.errors import Throttled
from postscan.core.service.throttle import WINDOW, SharedThrottle
from postscan.core.store.cluster.tables import MISS
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock


def test_two_servers_count_together_and_each_caller_alone(postgres_url: str, clock: FakeClock) -> None:
    """T-O4: else a caller had the limit once for each server; what is refused is not counted again."""
    with contextlib.closing(Store(postgres_url)) as one, contextlib.closing(Store(postgres_url)) as two:
        throttles = [SharedThrottle(store, 3, clock) for store in (one, two)]
        for throttle in (*throttles, throttles[0]):
            throttle.miss("mallory")
            clock.advance(1)
        for throttle in throttles:
            with pytest.raises(Throttled) as refused:
                throttle.miss("mallory")
            assert refused.value.seconds == WINDOW - 3
        throttles[1].miss("anna")
        with one.reading() as db:
            assert db.scalar(sa.select(sa.func.count()).select_from(MISS)) == 4

        clock.advance(WINDOW - 2.5)
        throttles[1].miss("mallory")
        throttles[0].forget()
        with one.reading() as db:
            assert db.scalar(sa.select(sa.func.count()).select_from(MISS)) == 4
