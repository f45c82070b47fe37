"""The log of outages of the database: when a line is written, and which."""

from __future__ import annotations

import pytest

from postscan.core.errors import OutcomeUnknown, StoreBusy, StoreFull
from postscan.core.store.database.outages import OutageLog


@pytest.fixture
def outages() -> OutageLog:
    """The log of a server that runs."""
    log = OutageLog()
    log.start()
    return log


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    """Return the messages that were logged, each with its number of failures or None."""
    return [(one.getMessage(), vars(one).get("failures")) for one in caplog.records]


def test_an_outage_has_one_line_when_it_begins_and_one_when_it_ends(
    outages: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R13: however many transactions fail in between; the next outage has its own two lines."""
    for error in (StoreBusy("locked"), OutcomeUnknown("cut"), StoreBusy("locked")):
        outages.failed(error)
    for _ in range(2):
        outages.recovered(has_room=True)
    outages.failed(StoreBusy("locked"))

    assert lines(caplog) == [
        ("database unavailable", None),
        ("database available again", 3),
        ("database unavailable", None),
    ]


def test_a_shortage_of_space_ends_when_there_is_room_again(
    outages: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R12: one change that still found a place is not the end; another kind of outage ends with it."""
    outages.failed(StoreFull("full"))
    outages.failed(StoreBusy("locked"))
    outages.failed(StoreFull("full"))
    outages.recovered(has_room=False)
    outages.failed(StoreFull("full"))
    outages.recovered(has_room=True)

    assert lines(caplog) == [
        ("database out of space", None),
        ("database unavailable", None),
        ("database available again", 1),
        ("database has space again", 3),
    ]


def test_a_command_that_fails_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its user reads the error itself."""
    outages = OutageLog()
    outages.failed(StoreBusy("locked"))
    outages.recovered(has_room=True)

    assert lines(caplog) == []
