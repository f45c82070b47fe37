"""The page of memory that server and worker share: a filter can write anything into it."""

from __future__ import annotations

import fcntl
import os
import select
import struct
from pathlib import Path

import pytest

from postscan.core.filters.cancellation import PAGE


@pytest.mark.parametrize("claim", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_cannot_be_is_the_whole_time_of_the_run(source, token, claim):
    """T-P6: a filter can write anything into its page, and the server stores what it finds."""
    struct.pack_into("Qdd", token._page, 16, 2**64 - 1, claim, -claim)

    number, longest = source.checks

    assert number == 2**31 - 1
    assert 0 <= longest < 600
    assert 0 <= source.unchecked < 600


def test_a_reason_too_long_for_the_page_is_cut(source, token):
    """It cannot write beyond the page."""
    source.cancel("x" * 10_000)

    assert set(token.reason) == {"x"}
    assert 4000 < len(token.reason) < 4096


@pytest.mark.parametrize("size", [0, PAGE - 1, PAGE + 1])
def test_a_filter_cannot_change_the_size_of_the_page(source, size):
    """A mapped page that its file has lost is a SIGBUS for the server."""
    with pytest.raises(PermissionError):
        os.ftruncate(source.page, size)

    assert os.fstat(source.page).st_size == PAGE


def test_the_seals_of_a_page_are_final(source):
    """A filter cannot seal the page against writing either: the server could then set no token."""
    with pytest.raises(PermissionError):
        fcntl.fcntl(source.page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_a_page_needs_no_disk(source):
    """It lies in memory, so no full disk can take it away."""
    assert "/memfd:" in str(Path(f"/proc/self/fd/{source.page}").readlink())


def test_a_filter_that_marks_its_page_as_cancelled_does_not_prevent_the_cancel(source, token):
    """The server decides by what it remembers, not by the page."""
    token._page[0] = 1

    assert not source.cancelled
    source.cancel("by the owner")

    assert source.cancelled_at is not None
    assert select.select([source], [], [], 0)[0] == [source]
