"""Lines of the audit trail about refused requests: how many there are, and what is written about the others."""

from __future__ import annotations

import contextlib
from collections import Counter

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from works import until

from postscan.core import engine
from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.service.refusals import WINDOW, Refusals
from postscan.core.settings import Settings
from postscan.core.settings.engine import LimitSettings
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock


def refusals(store: Store, clock: FakeClock, *, of_caller: int, of_all: int) -> Refusals:
    """Return what records refusals within these limits."""
    return Refusals(store, LimitSettings(bad_tokens=of_caller, refused_lines=of_all), clock)


@pytest.fixture
def clock() -> FakeClock:
    """A clock that a test moves."""
    return FakeClock()


def test_a_caller_has_so_many_lines_in_a_minute(store: Store, clock: FakeClock) -> None:
    """T-O9: at the limit each request has its line; beyond it they are counted. Another caller has its own lines."""
    kept = refusals(store, clock, of_caller=3, of_all=100)
    for _ in range(5):
        kept.record(ANNA, "administer", detail="CancelPostScanJob")
    kept.record(BORIS, "get", "some-job")
    clock.advance(WINDOW)
    kept.record(ANNA, "administer")

    trail = store.audit()
    assert Counter(line.who for line in trail) == {ANNA.name: 4, BORIS.name: 1}
    assert {line.outcome for line in trail} == {"refused"}
    assert trail[0][1:7] == (ANNA.name, "address", "administer", "", "refused", "CancelPostScanJob")


def test_all_callers_together_have_so_many_lines_in_a_minute(store: Store, clock: FakeClock) -> None:
    """T-O9: a thousand addresses do not fill the trail either."""
    kept = refusals(store, clock, of_caller=3, of_all=10)
    for number in range(1000):
        kept.record(Principal(f"device:10.0.{number // 250}.{number % 250}", Proof.ADDRESS), "administer")

    assert len(store.audit(limit=1000)) == 10


def test_the_number_of_the_others_is_written_once(store: Store, clock: FakeClock) -> None:
    """T-O9: by the server, and only if there are any; a busy database does not lose it."""
    kept = refusals(store, clock, of_caller=1, of_all=100)
    kept.record(ANNA, "administer")
    kept.summarize()
    before = len(store.audit())
    for _ in range(4):
        kept.record(ANNA, "administer")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreBusy):
        patch.setattr(store, "record", _busy)
        kept.summarize()
    for _ in range(2):
        kept.summarize()

    assert before == 1
    [line] = store.audit()[1:]
    assert (line.who, line.outcome) == ("server", "refused")
    assert line.detail == "4 more requests were refused and have no line of their own"


def test_a_running_server_writes_the_number_of_the_others(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-O9: again and again while it runs, and not only when a further line is written."""
    monkeypatch.setattr(engine, "WINDOW", 0.1)
    limits = settings.limits.model_copy(update={"bad_tokens": 1})
    databases.migrated(settings.storage.url)
    core = Engine(settings.model_copy(update={"limits": limits}), AnyProcess())
    with contextlib.closing(core), core.running():
        core.service.refuse_administration(ANNA, "CancelPostScanJob")
        for lines in (2, 3):  # one by one, since the server may write at any moment
            core.service.refuse_administration(ANNA, "CancelPostScanJob")
            until(lambda lines=lines: len(core.store.audit()) == lines, "for the number of the others")

        assert [line.who for line in core.store.audit()] == [ANNA.name, "server", "server"]


def _busy(*_records: object) -> None:
    raise StoreBusy("locked")
