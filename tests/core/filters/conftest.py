"""The token of a filter, and its source."""

from __future__ import annotations

import threading

import pytest

from postscan.core.filters import cancellation
from postscan.core.filters.cancellation import CancellationToken, CancelSource


@pytest.fixture
def source():
    """A source that is closed behind the test."""
    with CancelSource() as source:
        yield source


@pytest.fixture
def token(source):
    """Its token."""
    return source.token()


@pytest.fixture
def unhurried(monkeypatch):
    """Look at the page of a sleeping token so seldom that only its descriptor can wake it."""
    monkeypatch.setattr(cancellation, "PULSE", 600.0)
    monkeypatch.setattr(cancellation, "POLL", 600.0)


@pytest.fixture
def cancelled_asleep(source, monkeypatch):
    """Cancel as soon as a token sleeps, which has looked at its page by then; the reason is "enough".

    Calling what this returns waits until the cancel is done: a token may see it a moment before.
    """
    asleep = threading.Event()
    sleep = CancellationToken._sleep

    def fall_asleep(token, *about):
        asleep.set()
        sleep(token, *about)

    def cancel():
        if asleep.wait(60):
            source.cancel("enough")

    monkeypatch.setattr(CancellationToken, "_sleep", fall_asleep)
    cancels = threading.Thread(target=cancel)
    cancels.start()
    yield cancels.join
    asleep.set()
    cancels.join()
