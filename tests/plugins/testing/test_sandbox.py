"""The processes in which a filter is examined: none outlives the test, and the caller's own stays as it is."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from examined_filters import Does, kinds
from good_filters import deliver
from works import alive, until

from postscan.plugins.testing.defects import DefectKind


def test_a_tool_that_outlives_the_run_is_found_and_ended(examined, tmp_path):
    """Even if it has left session and parent."""

    def leave(job, token):
        tool = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with (tmp_path / "traces").open("a") as file:
            file.write(f"{tool.pid}\n")
        deliver(job, token)

    found = examined(leave, most=1)
    left = [int(line) for line in (tmp_path / "traces").read_text().splitlines()]

    assert DefectKind.LEAVES in kinds(found)
    assert len(left) == found.runs
    until(lambda: not any(alive(one) for one in left), f"for {left} to be gone")


def test_a_filter_that_never_looks_and_never_ends_is_ended(examined):
    """Both are said: the defect, and that the rest could not be tried."""
    found = examined(lambda job, token: time.sleep(600), seconds=0.5)

    assert [one.kind for one in found.defects] == [DefectKind.NEVER_CHECKS]
    assert found.untried == "it had not ended after 0.5 seconds"


def test_the_callers_process_stays_as_it_is(examined, tmp_path, monkeypatch):
    """Whatever the filter does to its own; and no file is left of the trials."""

    def spoil(job, token):
        os.environ["SPOILT"] = "1"
        os.chdir("/")
        os.umask(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        logging.root.handlers.clear()
        deliver(job, token)

    def here():
        return Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGTERM), list(logging.root.handlers)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = here()
    found = examined(spoil, most=2)

    assert kinds(found) == [DefectKind.GLOBAL]
    assert here() == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_filter_that_was_given_can_be_used_afterwards(examined):
    """It is the same object as before, with its own run."""
    seen = []
    filter = Does(lambda job, token: seen.append(token.check()))
    examined(None, lambda what: filter)

    assert seen == []
    assert "run" not in vars(filter)
