"""A cancel during a delivery to a library on premises: whole files stay, nothing else, and no server is waited for."""

from __future__ import annotations

import itertools
import shutil
import time

import pytest
import webdav
from cancelled import run_until
from webdav_runs import FOLDER, run, settings, stored

from postscan.core.model.states import FilterState
from postscan.plugins.filters.sharepoint import Instructions, Settings, SharePoint


def test_a_cancel_at_any_check_leaves_whole_files_and_nothing_else(dav, pages):
    """Delivered stays, half is never visible, and nothing is beside (promises 3 and 6)."""
    seen = set()
    for number in itertools.count(1):
        result = run(dav, pages, cancel_at=number)
        files = stored(dav)
        seen.add(len(files))

        assert set(files.values()) <= {page.read_bytes() for page in pages}
        assert len(files) == len(result.published)
        if result.outcome is not FilterState.CANCELED:
            break
        shutil.rmtree(dav.root / FOLDER, ignore_errors=True)

    assert seen == {0, 1, 2}


@pytest.mark.parametrize("method", ["PROPFIND", "MKCOL", "PUT", "HEAD", "MOVE"])
def test_a_cancel_ends_a_call_to_a_silent_server(dav, pages, tmp_path, method):
    """The run does not wait for the server's time to be over, and nothing appears (promise 9)."""
    dav.faults[method].append(webdav.hangs)
    table = Settings(**settings(dav, seconds=60))
    began = time.monotonic()
    published = run_until(dav.hanging, SharePoint(), pages, Instructions(False, (dav.library,)), table, tmp_path)

    assert time.monotonic() - began < 30
    assert published == []
    assert stored(dav) == {}


def test_a_cancel_ends_the_wait_for_a_busy_server(dav, pages, tmp_path):
    """However long it wants to be left alone."""

    def busy(server, app, environ, start):
        server.hanging.set()
        return webdav.answers("503 Busy", ("Retry-After", "50"))(server, app, environ, start)

    dav.faults["PUT"].append(busy)
    table = Settings(**settings(dav, seconds=60))
    began = time.monotonic()
    run_until(dav.hanging, SharePoint(), pages, Instructions(False, (dav.library,)), table, tmp_path)

    assert time.monotonic() - began < 30
    assert stored(dav) == {}
