"""A server and its source are killed at every step of a job: each origin is acknowledged, and is one job.

The source is `deliver` of `tests/outside/inlets`: an origin is a file, and acknowledged when it is moved.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from acceptance.scanning import instructions
from acceptance.server import Server, none_alive
from errands import OUTSIDE
from messages import INSTRUCTIONS, PROCESS
from sourced import ADMIN, ANNA, GUID, picture
from works import alive, until

from postscan.core.model.job import Job
from postscan.core.model.states import JobReason, JobState
from postscan.core.store.sources.tables import ORIGIN

STEPS = (
    "before open",
    "opened",
    "before page 1",
    "page 1 stored",
    "before page 2",
    "page 2 stored",
    "ended",
    "acknowledged",
)
"""Where the source is when it or its server is killed: in front of each request, and behind its reply."""


class Delivery:
    """A server with an inlet whose origins are files."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "inlet"
        self.inbox = self.folder / "inbox"
        self.acked = self.folder / "acked"
        self.inbox.mkdir(parents=True)
        self.acked.mkdir()
        self.server = Server(
            home,
            {
                "storage": {"busy_seconds": 60},
                "destinations.invoices": {"label": "Invoices (Anna)", "process": GUID, "user": ANNA},
                "sources.desk": {"plugin": "errand", "folder": str(self.folder), "behaviour": "deliver"},
            },
        )
        xml = PROCESS.replace(INSTRUCTIONS, instructions("copy"))
        self.server.processes.add(xml.encode(), display_name="Invoices", identifier=GUID)
        self.origins: list[str] = []

    def put(self, name: str) -> None:
        """Let an origin come."""
        self.origins.append(name)
        (self.folder / "new").write_bytes(picture(len(self.origins) % 255))
        (self.folder / "new").rename(self.inbox / name)

    def pause_at(self, step: str) -> None:
        """Let the source stand still in the next step of this name, and wait until it does."""
        paused = self.folder / "paused"
        paused.unlink(missing_ok=True)
        (self.folder / "pause").write_text(step)

    def await_pause(self) -> None:
        """Wait until the source stands still."""
        until((self.folder / "paused").exists, f"for the source to stand still: {self.server.log()[-2000:]}")

    def go_on(self) -> None:
        """Let no step last any more."""
        (self.folder / "pause").unlink(missing_ok=True)
        (self.folder / "paused").unlink(missing_ok=True)

    def forget_ends(self) -> None:
        """Let the ends of the source count no more: five within ten minutes are a quarantine."""
        self.server.works.core.inlets.start("desk", ADMIN)

    @property
    def process(self) -> int:
        """The process of the source."""
        return int((self.folder / "process").read_text())

    def await_all(self) -> None:
        """Wait until all origins are acknowledged and all jobs have ended."""
        until(
            lambda: not list(self.inbox.iterdir()),
            f"for {sorted(path.name for path in self.inbox.iterdir())} to be acknowledged: {self.server.log()[-3000:]}",
        )
        until(lambda: all(job.state.ended for job in self.jobs()), "for all jobs to end")

    def jobs(self) -> list[Job]:
        """Return all jobs."""
        return self.server.works.service.active_and_ended(ADMIN, 10_000)

    def check(self) -> None:
        """Each origin is one job with two pages; what else began has failed; nothing is left behind."""
        core = self.server.works.core
        jobs = {job.token: job for job in self.jobs()}
        done = [job for job in jobs.values() if job.state is JobState.COMPLETED]
        others = [job for job in jobs.values() if job.state is not JobState.COMPLETED]
        with core.store.reading() as db:
            keys = {row.token: row.key_hash for row in db.execute(sa.select(ORIGIN))}
        held = Counter(keys[job.token] for job in done)

        assert not (self.folder / "wrong").exists()
        assert sorted(path.name for path in self.acked.iterdir()) == sorted(self.origins)
        assert len(done) == len(self.origins)
        assert set(held.values()) == {1}
        assert None not in held
        assert all(len(job.documents) == 2 for job in done)
        assert {(job.state, job.reasons, keys[job.token]) for job in others} <= {
            (JobState.ABORTED, (JobReason.SEND_IMAGE_FAILED,), None)
        }
        assert len([name for name in self.server.works.delivered() if "." in name]) == 2 * len(done)
        self.check_folders()

    def check_folders(self) -> None:
        """Files and rows agree; no folder of a process that has gone is left."""
        found = self.server.works.core.compare_spool()
        workdirs = list(self.server.settings.storage.run_dir.glob("source-*"))

        assert (found.unknown, found.incomplete, dict(found.damaged)) == ({}, {}, {})
        assert len(workdirs) <= 1


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivery]:
    """A server that runs when a test begins, with the jobs of the tests before: every check is of all of them."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", f"{OUTSIDE}{os.pathsep}{os.environ['PYTHONPATH']}")
        delivery = Delivery(tmp_path_factory.mktemp("delivery"))
        delivery.server.start()
        yield delivery
        delivery.server.close()


@pytest.mark.parametrize("step", STEPS)
def test_a_source_that_is_killed_leaves_its_origin_one_job(delivery: Delivery, step: str) -> None:
    """T-S2, T-S3, T-S5, F-R32: what was not acknowledged comes again; what was stored is taken then."""
    delivery.pause_at(step)
    delivery.put(f"source {step}")
    delivery.await_pause()
    acked = (delivery.acked / f"source {step}").exists()
    killed = delivery.process
    delivery.go_on()
    os.kill(killed, signal.SIGKILL)
    delivery.put(f"source {step}, next")
    delivery.await_all()

    assert acked == (step == "acknowledged")
    assert delivery.process != killed
    delivery.check()
    delivery.forget_ends()


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_is_killed_leaves_its_origin_one_job(delivery: Delivery, step: str) -> None:
    """T-S2, T-S3, T-S5, F-R32: its source dies with it; the next one fails what it left open before any source runs."""
    delivery.pause_at(step)
    delivery.put(f"server {step}")
    delivery.await_pause()
    source = delivery.process
    delivery.server.kill()
    until(lambda: not alive(source), "for the source to die with its server")
    delivery.go_on()
    delivery.put(f"server {step}, next")
    delivery.server.start()
    delivery.await_all()

    delivery.check()


def test_kills_at_any_moment_leave_each_origin_one_job(delivery: Delivery) -> None:
    """T-S2, T-S3, T-S5: also in the middle of a request, of the server as of the source."""
    chance = random.Random(75)
    for number in range(12):
        delivery.put(f"origin-{number:02}")
        delivery.put(f"other-{number:02}")
        until((delivery.folder / "process").exists)
        time.sleep(chance.uniform(0.0, 0.4))
        if number % 2:
            family = delivery.server.family()
            delivery.server.kill()
            until(lambda family=family: none_alive(family), "for all to die with the server")
            delivery.server.start()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(delivery.process, signal.SIGKILL)
        if number % 4 == 3:
            delivery.forget_ends()
    delivery.await_all()

    lost = delivery.server.settings.storage.spool_dir / "lost+found"
    for path in [one for one in lost.rglob("*") if one.is_file()] if lost.exists() else []:
        path.unlink()  # a page that was durable and had no row yet: its origin has come again
    delivery.check()


def test_a_server_that_stops_lets_an_open_job_get_its_last_page(delivery: Delivery) -> None:
    """The source is stopped first; the origin is acknowledged, and its job goes on with the next server."""
    delivery.put("before the stop")
    delivery.await_all()
    source = delivery.process
    delivery.server.stop()
    ended = alive(source)
    delivery.put("after the stop")
    delivery.server.start()
    delivery.await_all()

    assert not ended
    delivery.check()
