"""The token of a filter, and its source."""

from __future__ import annotations

import pytest

from postscan.core.filters import cancellation
from postscan.core.filters.cancellation import CancelSource


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
