"""Measure the start of a server on the data of 10,000 jobs, as a killed server leaves them.

    python -m campaigns recovery [JOBS]

Nine of ten jobs have ended; the others are in creation, waiting or in processing. Each has an image in the spool, and
a hundred files belong to no job. The server must be ready in 5 seconds (F-R1).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil
import sqlalchemy as sa
from acceptance.server import DEVICE, Server
from works import SID, instructions

from postscan import migrations
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import User
from postscan.core.model.process import ScanProcess
from postscan.core.model.states import FilterVerb
from postscan.core.store.jobs import job_row, step_row
from postscan.core.store.schema import DOCUMENT, JOB, STEP

MOST_SECONDS: Final = 5.0
UNKNOWN_FILES: Final = 100
_IMAGE: Final = b"\x89PNG a page" * 300
_BEGAN: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def run(*arguments: str) -> int:
    """Create the data, start the server three times, print the times; return the exit code."""
    jobs = int(arguments[0]) if arguments else 10_000
    with tempfile.TemporaryDirectory(prefix="recovery-") as home:
        server = Server(Path(home), {})
        _fill(server, jobs)
        seconds, worked = [], []
        for _ in range(3):
            begun = time.monotonic()
            server.start()
            seconds.append(time.monotonic() - begun)
            spent = psutil.Process(server.pid).cpu_times()
            worked.append(spent.user + spent.system)
            server.kill()
        aside = sum(path.is_file() for path in (server.settings.storage.spool_dir / "lost+found").rglob("*"))
    print(f"{jobs} jobs, from start to ready: {_shown(seconds)} s, of the processor: {_shown(worked)} s")
    print(f"moved to lost+found: {aside} of {UNKNOWN_FILES} files; load of this machine: {os.getloadavg()[0]:.1f}")
    return 0 if max(seconds) <= MOST_SECONDS and aside == UNKNOWN_FILES else 1


def _shown(seconds: list[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in seconds)


def _fill(server: Server, jobs: int) -> None:
    """Write the rows in one transaction and the files without syncing; this is not measured."""
    migrations.upgrade(server.settings.storage.url)
    spool = server.settings.storage.spool_dir
    made = [_job(number) for number in range(jobs)]
    with sa.create_engine(server.settings.storage.url).begin() as db:
        db.execute(sa.insert(JOB), [job_row(job) for job in made])
        db.execute(sa.insert(STEP), [{"token": job.token, **step_row(step)} for job in made for step in job.steps])
        documents = [{"token": job.token, **asdict(document)} for job in made for document in job.documents]
        db.execute(sa.insert(DOCUMENT), documents)
    for job in made:
        _write(spool / job.documents[0].blob)
    for number in range(UNKNOWN_FILES):
        _write(spool / f"unknown-{number}" / "1-unknown")


def _job(number: int) -> Job:
    """Create an old job; every tenth is open, in one of four states."""
    at = _BEGAN + timedelta(seconds=number)
    process = ScanProcess("P", "Test process", "", instructions("copy"))
    token = JobToken(f"{number:08x}-0000-4000-8000-000000000000")
    job = Job.create(token, DEVICE, User(SID, SID), process, process.instructions, at)
    document = JobDocument(1, "png", len(_IMAGE), hashlib.sha256(_IMAGE).hexdigest(), f"{token}/1-page")
    job.receive(document, at)
    depth = number // 10 % 4 if number % 10 == 0 else 9
    for verb in (job.end, job.claim, lambda at: job.start(0, at), lambda at: _finish(job, at))[:depth]:
        verb(at)
    return job


def _finish(job: Job, at: datetime) -> None:
    job.report(0, FilterVerb.SUCCEED, at)
    job.finish(at)


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_IMAGE)
