"""What is acknowledged is durable first: seen from the kernel's side, and with a disk that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.scanning import Scanner
from acceptance.server import SHARE, Server, running

from campaigns import tracing
from campaigns.crash_points import SETTINGS
from campaigns.disk_faults import Failure, Faults, Tally
from campaigns.tracing import Call
from campaigns.whole_job import Job, send_query
from postscan.core.store.database import journal_mode

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
    """F-R1, I1: file, name, folder, journal, rows are synced in this order, and only then something is answered."""
    with running(tmp_path, SETTINGS) as server:
        Job(server, "delivered").go_on()  # so that all threads are there
        calls = calls_of_one_image(server)
        roles = {thread: role for role, thread in tracing.roles(server.pid, lambda: send_query(server)).items()}
    about = [one.touches(server.settings.storage.data_dir) for one in calls]

    def places(role: str, *names: str) -> list[int]:
        """Return where a thread makes these calls."""
        return [at for at, one in enumerate(calls) if roles.get(one.thread) == role and one.name in names]

    made = places("requests", "fsync", "fdatasync", "rename")
    order = [(calls[at].name, about[at]) for at in made if about[at] != "data folder"]
    told = next(at for at in places("requests", "write") if at > made[-1])
    answers = [at for at in places("loop", "write", "writev", "sendto") if "<socket:" in calls[at].rest]
    journal = [("fdatasync", "journal")] * 2 if journal_mode() == "DELETE" else []

    assert order[:3] == [("fsync", "spool file"), ("rename", "spool file"), ("fsync", "spool folder")]
    assert order[3:] == [*journal, ("fdatasync", "database")]
    assert made[-1] < told < min(answers)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """The failures of one server's disk, and what came of them."""
    with running(tmp_path_factory.mktemp("disk"), SETTINGS) as server:
        yield Faults(server, Tally())


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(
    ("call", "number"),
    [("write", 3), ("fsync", 2), ("fsync", 3), ("rename", 1), ("fdatasync", 6), ("fdatasync", 8), ("pwrite64", 90)],
)
def test_a_disk_that_fails_once_costs_no_image(faults: Faults, call: str, number: int, error: str) -> None:
    """F-R3, F-R10, F-R12: an honest fault, nothing half left, and the identical request works afterwards."""
    met = faults.inject(Failure("delivered", "requests", call, number, error))

    assert met
    assert faults.tally.violations == []
