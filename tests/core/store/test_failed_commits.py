"""A COMMIT that the disk refuses: what the store says of it is what a crash right after it would leave."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import databases
import pytest

from campaigns import tracing
from postscan.core.errors import OutcomeUnknown, StoreBusy
from postscan.core.model.job import Job
from postscan.core.store.store import Store

pytestmark = pytest.mark.skipif(not tracing.available(), reason=tracing.NOT_HERE)


@pytest.mark.parametrize(("mode", "name"), [("delete", "data/postscan"), ("wal", "data/postscan"), ("wal", "link")])
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_commit_that_the_disk_refuses_is_not_found_after_a_crash(
    tmp_path: Path, job: Callable[..., Job], mode: str, name: str, call: str
) -> None:
    """Recovery reads the rollback journal, and every whole commit in the write-ahead log, also by a symbolic link."""
    databases.migrated(f"sqlite:///{tmp_path}/data/postscan.sqlite", journal=mode)
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "data" / "postscan.sqlite")
    with contextlib.closing(Store(f"sqlite:///{tmp_path}/{name}.sqlite")) as store:
        store.insert(job(token="before"))
        last = _calls_of(call, tmp_path / "calls", lambda: store.insert(job(token="measured")))
        with (
            tracing.injected(threading.get_native_id(), call, f"error=EIO:when={last}", tmp_path / "calls"),
            pytest.raises(StoreBusy) as caught,
        ):
            store.insert(job(token="refused"))
        shutil.copytree(tmp_path / "data", tmp_path / "crashed")
        store.insert(job(token="after"))

    assert not isinstance(caught.value, OutcomeUnknown)
    with contextlib.closing(Store(f"sqlite:///{tmp_path}/crashed/postscan.sqlite")) as crashed:
        assert sorted(one.token for one in crashed.open_jobs()) == ["before", "measured"]


def _calls_of(call: str, log: Path, change: Callable[[], object]) -> int:
    """Return how many such system calls a change makes in this thread."""
    with tracing.recorded(threading.get_native_id(), log, call):
        change()
    return sum(one.name == call for one in tracing.read(log))
