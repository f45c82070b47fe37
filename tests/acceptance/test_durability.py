"""What is acknowledged is durable first: seen from the kernel's side, and with a disk that fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance.scanning import Scanner
from acceptance.server import SHARE, Server, running
from command_line import postscan, settings_file
from conftest import ANNA
from typer.testing import Result
from works import Works

from campaigns import tracing
from campaigns.crash_points import SETTINGS
from campaigns.disk_faults import Failure, Faults, Tally
from campaigns.tracing import Call
from campaigns.whole_job import Job
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import AuditLine
from postscan.plugins import CancellationToken, Filter, FilterContext
from postscan.plugins.testing.runner import run_filter

__all__ = ["postscan", "settings_file"]  # fixtures

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)

pytestmark = pytest.mark.skipif(not tracing.available(), reason=tracing.NOT_HERE)


def calls_of_one_image(server: Server) -> list[Call]:
    """Return what the server calls from the first byte of a SendImage to the last of its answer."""
    scanner = Scanner(server)
    token = scanner.create(f"share {SHARE}")
    scanner.send(token, 1)
    log = server.home / "image.log"
    with tracing.recorded(server.pid, log):
        scanner.send(token, 2)
    return tracing.read(log)


def test_an_image_is_durable_before_its_answer_leaves(tmp_path: Path) -> None:
    """F-R1, I1: file, name, folder and row are synced in this order, by any thread, and only then it is answered."""
    with running(tmp_path, SETTINGS) as server:
        Job(server, "delivered").go_on()  # so that all threads are there
        calls = calls_of_one_image(server)
        loop = tracing.roles(server.pid)["loop"]
    about = [one.touches(server.settings.storage.data_dir) for one in calls]

    def place(name: str, of: str, behind: int = -1) -> int:
        """Return where this call is made for the first time, behind another one."""
        return next(at for at, one in enumerate(calls) if at > behind and (one.name, about[at]) == (name, of))

    file = place("fsync", "spool file")
    named = place("rename", "spool file", behind=file)
    folder = place("fsync", "spool folder", behind=named)
    written = place("pwrite64", "journal", behind=folder)
    synced = place("fdatasync", "journal", behind=written)
    answered = min(
        at
        for at, one in enumerate(calls)
        if one.thread in loop and one.name in ("write", "writev", "sendto") and "<socket:" in one.rest
    )
    assert synced < answered


@contextlib.contextmanager
def calls_of_this_process(log: Path) -> Iterator[list[Call]]:
    """Yield a list that has, after the body, the calls of it that change files."""
    calls: list[Call] = []
    with tracing.recorded(os.getpid(), log, "mkdir", "mkdirat", "link", "linkat", "unlink", "fsync", "fdatasync"):
        yield calls
    calls += tracing.read(log)


def test_the_images_of_a_released_job_are_durable_before_its_row_and_the_old_names_go_last(
    core: Engine, tmp_path: Path
) -> None:
    """F-R2, I1: folder and links are synced, then the row is, and only then the links of the old job are removed."""
    works = Works(core, ANNA)
    token = works.create("copy")
    works.send(token)
    with core.store.change(token) as job:
        job.expire(core.clock.now())
    spool = core.settings.storage.spool_dir
    with calls_of_this_process(tmp_path / "calls.log") as calls:
        released = works.service.release(token, ADMIN)

    def places(name: str, *words: str) -> list[int]:
        """Return where a call is made whose arguments have these words."""
        return [at for at, one in enumerate(calls) if one.name.startswith(name) and all(w in one.rest for w in words)]

    [made], [linked] = places("mkdir", f"{spool}/{released}"), places("link", f"{spool}/{released}/")
    [parent], [folder] = places("fsync", f"{spool}>"), places("fsync", f"{spool}/{released}>")
    row = max(places("fdatasync", "postscan.sqlite"))
    [removed] = places("unlink", f"{spool}/{token}/")
    assert made < parent < linked < folder < row < removed
    assert folder < min(places("fdatasync", "postscan.sqlite"))


def test_an_exported_file_is_durable_before_its_lines_are_dropped(
    core: Engine, postscan: Callable[..., Result], tmp_path: Path
) -> None:
    """T-Q4: a power cut leaves each line in the file, in the audit trail, or in both."""
    core.store.record(AuditLine.of(ADMIN, "cancel", "job", core.clock.now()))
    folder = tmp_path / "exports"
    folder.mkdir()
    file = folder / "audit.jsonl"
    with calls_of_this_process(tmp_path / "export.log") as exporting:
        assert postscan("audit", "export", "--before", "9999-01-01", "--to", file).exit_code == 0
    with calls_of_this_process(tmp_path / "drop.log") as dropping:
        assert postscan("audit", "drop", file).exit_code == 0

    def about(calls: list[Call], path: Path) -> list[str]:
        """Return the calls that name the path."""
        return [one.name.removesuffix("at") for one in calls if str(path) in one.rest]

    assert about(exporting, folder) == ["fsync", "link", "fsync"]
    dropped = [one for one in dropping if "sync" in one.name]
    assert [str(folder) in one.rest for one in dropped[:3]] == [True, True, False]
    assert (f"{file}>" in dropped[0].rest, f"{folder}>" in dropped[1].rest) == (True, True)
    assert "postscan.sqlite" in dropped[2].rest


def test_a_delivered_file_and_the_folder_made_for_it_are_durable_when_the_filter_goes_on(tmp_path: Path) -> None:
    """F-R2, I20: the folder's name, the file's bytes and its name, each before what needs it."""
    page, share = tmp_path / "page.png", tmp_path / "share"
    page.write_bytes(b"page")
    share.mkdir()
    with calls_of_this_process(tmp_path / "calls.log") as calls:
        run_filter(Deliver(share, "new"), [page])

    order = [(one.name.removesuffix("at"), one.rest) for one in calls if str(share) in one.rest]
    assert [name for name, _ in order] == ["mkdir", "fsync", "fsync", "link", "fsync"]
    assert f"{share}>" in order[1][1]
    assert f"{share}/new>" in order[4][1]


def test_a_delivery_that_a_killed_run_has_left_is_durable_when_it_is_recognised(tmp_path: Path) -> None:
    """F-R2: that run was perhaps killed before it could sync."""
    page, share = tmp_path / "page.png", tmp_path / "share"
    page.write_bytes(b"page")
    share.mkdir()
    first = run_filter(Deliver(share, "new"), [page])
    with calls_of_this_process(tmp_path / "calls.log") as calls:
        run_filter(Deliver(share, "new"), [page], earlier=first.published)

    synced = [one.rest for one in calls if one.name == "fsync"]
    assert any(f"{share}>" in rest for rest in synced)
    assert any(f"{share}/new>" in rest for rest in synced)
    assert not [one for one in calls if one.name.startswith("link")]


class Deliver(Filter):
    """Deliver every document into a folder, or into one below it."""

    dialect = "urn:test:deliver"
    title = "Deliver"

    def __init__(self, folder: Path, *below: str) -> None:
        self.folder, self.below = folder, below

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        for document in job.documents:
            job.deliver(document, self.folder, below=self.below)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """The failures of one server's disk, and what came of them."""
    with running(tmp_path_factory.mktemp("disk"), SETTINGS) as server:
        yield Faults(server, Tally())


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(
    ("call", "number"),
    [("write", 3), ("fsync", 2), ("fsync", 3), ("rename", 1), ("fdatasync", 2), ("fdatasync", 3), ("pwrite64", 30)],
)
def test_a_disk_that_fails_once_costs_no_image(faults: Faults, call: str, number: int, error: str) -> None:
    """F-R3, F-R10, F-R12: an honest fault, nothing half left, and the identical request works afterwards."""
    assert faults.reach(Failure("delivered", "requests", call, number, error))
    assert faults.tally.violations == []
