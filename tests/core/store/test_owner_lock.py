"""What is counted before it may grow: two transactions at once do not both take the last place."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from works import until

from postscan.core.errors import Unavailable
from postscan.core.model.job import Job
from postscan.core.store import store as store_module
from postscan.core.store.store import Store

WAITING = sa.text("select count(*) from pg_locks where locktype = 'advisory' and not granted")


def test_of_two_creates_at_two_servers_one_gets_the_last_place(
    postgres_url: str, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`limits.open_jobs`: the second one sees what the first one has not committed yet only after it has waited."""
    refused: list[Unavailable] = []
    count = store_module._count_open

    def second(store: Store) -> None:
        try:
            store.insert(job(token="second"), most_open=1)
        except Unavailable as error:
            refused.append(error)

    with contextlib.closing(Store(postgres_url)) as one, contextlib.closing(Store(postgres_url)) as two:
        thread = threading.Thread(target=second, args=(two,))

        def count_first(db: sa.Connection, owner: str) -> int:
            """Let the second one come as far as it can before this one commits."""
            monkeypatch.setattr(store_module, "_count_open", count)
            found = count(db, owner)
            thread.start()
            until(lambda: db.scalar(WAITING) or not thread.is_alive(), "for the second one to wait")
            return found

        monkeypatch.setattr(store_module, "_count_open", count_first)
        one.insert(job(token="first"), most_open=1)
        thread.join()

        assert [one.token for one in one.open_jobs()] == ["first"]
        assert len(refused) == 1
