"""Slow calls of a filter that are stopped by the cancel."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from postscan.core.filters.cancellation import Cancelled


@pytest.mark.usefixtures("cancelled_asleep")
def test_a_slow_call_is_stopped_by_the_cancel(token):
    """`calling` calls the stop while the body blocks, and what comes out is the cancel."""
    released = threading.Event()

    with pytest.raises(Cancelled, match="enough"), token.calling(released.set):
        assert released.wait(60)


@pytest.mark.usefixtures("cancelled_asleep")
def test_a_call_that_breaks_because_it_was_stopped_counts_as_cancelled(token):
    """A socket closed under a read raises; the cancel is the truth of it."""
    stopped = threading.Event()

    with pytest.raises(Cancelled, match="enough"), token.calling(stopped.set):
        assert stopped.wait(60)
        raise ConnectionResetError


def test_a_call_that_breaks_by_itself_keeps_its_error(token):
    """Without a cancel `calling` changes nothing."""
    stopped = threading.Event()

    with pytest.raises(ConnectionResetError), token.calling(stopped.set):
        raise ConnectionResetError
    assert not stopped.is_set()


def test_a_call_that_ends_in_time_is_not_stopped(source, token):
    """A cancel after the body finds nobody to stop."""
    stopped = threading.Event()
    with token.calling(stopped.set):
        pass
    source.cancel("late")
    time.sleep(0.01)

    assert not stopped.is_set()


def test_a_cancelled_filter_does_not_begin_a_slow_call(source, token):
    """`calling` checks before its body."""
    source.cancel("before")

    with pytest.raises(Cancelled), token.calling(lambda: None):
        pytest.fail("the body ran")


@pytest.mark.usefixtures("cancelled_asleep", "unhurried")
def test_a_watched_call_is_stopped_without_polling(token):
    """The thread of `calling` sleeps as well: it records the time when it begins and when it ends."""
    released = threading.Event()

    with pytest.raises(Cancelled), token.calling(released.set):
        assert released.wait(60)


def test_a_watched_call_ends_when_its_body_does(token, unhurried):
    """The thread is woken, and leaves no descriptor behind."""
    before = eventfds()
    began = time.monotonic()
    with token.calling(pytest.fail):
        pass

    assert time.monotonic() - began < 300
    assert eventfds() <= before


def eventfds():
    """Return the descriptors of this process that are eventfds; other threads may open and close the others."""
    found = set()
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if "eventfd" in str(one.readlink()):
                found.add(one.name)
    return found


@pytest.mark.usefixtures("cancelled_asleep")
def test_a_call_is_watched_without_a_free_descriptor(token, monkeypatch):
    """A filter that has opened all that it may is still cancelled."""

    def full(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "eventfd", full)
    released = threading.Event()

    with pytest.raises(Cancelled), token.calling(released.set):
        assert released.wait(60)
