"""Check the promises of the server: by requests, and by reading its disk and its database.

Each function returns one sentence for each broken promise. The numbers are those of the invariants (I1 ...) and
faults (F-R1 ...).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from acceptance.server import Server, digest

from campaigns.source_job import SourceJob, has_failed
from campaigns.whole_job import Job
from postscan.core.model.job import JobDocument
from postscan.core.spool.image_store.spool_store import ID, LOGS, LOST, PICTURES

END: Final = {
    "delivered": "Completed",
    "withdrawn": "Canceled",
    "stopped": "Canceled",
    "mailed": "Completed",
    "filling": "Aborted",
}
COPIES: Final = {"delivered": 1, "withdrawn": 0, "stopped": 1, "mailed": 1, "filling": 0}
_BEFORE_END: Final = ("Creating",)


def acknowledged(job: Job | SourceJob) -> list[str]:
    """Compare what was acknowledged with the stored job (I1, I2, I11, I23, F-R32), after a restart of the server."""
    if isinstance(job, SourceJob):
        return _page_acknowledged(job) if job.acknowledged else []
    if "create" not in job.acknowledged:
        return []
    broken = []
    stored = job.server.works.core.store.load(job.token)
    have = {document.id: document for document in stored.documents}
    for number in job.acknowledged_images():
        if number not in have or have[number].sha256 != _sha256(job.images[number]):
            broken.append(f"image {number} of {job.token} was acknowledged and is lost")
        elif not stored.state.ended and _kept(job, have[number]) != have[number].sha256:
            broken.append(f"the file of image {number} of {job.token} is not what was sent")
    for number, document in have.items():
        if document.sha256 != _sha256(job.images[number]):
            broken.append(f"image {number} of {job.token} is stored incompletely")
    state = job.state()
    if "end" in job.acknowledged and state in _BEFORE_END:
        broken.append(f"the end of {job.token} was acknowledged, and it is {state}")
    if "cancel" in job.acknowledged and state not in ("Canceled", "Terminating"):
        broken.append(f"the cancel of {job.token} was acknowledged, and it is {state}")
    return broken


def ended(job: Job | SourceJob) -> list[str]:
    """Check an ended job: its state, and each image once on the share (I8, I19, I20)."""
    if isinstance(job, SourceJob):
        return _page_delivered(job)
    broken = []
    if job.state() != END[job.kind]:
        broken.append(f"job {job.token} ({job.kind}) ended {job.state()}; expected {END[job.kind]}")
    files = Counter(map(digest, _files(job.server.share)))
    for number, image in job.images.items():
        copies = files[_sha256(image)]
        if copies != COPIES[job.kind]:
            broken.append(f"image {number} of {job.token} ({job.kind}) is {copies} times on the share")
    return broken


def tidy(server: Server, jobs: Sequence[Job | SourceJob]) -> list[str]:
    """Check disk and database: no incomplete file, files and rows correspond, no job twice (I4, I19, I25).

    A job that failed at its origin is no second one. It may have the page: for an administrator, and whole.
    """
    broken = [f"an incomplete file is left: {path.name}" for path in server.home.rglob("*.part")]
    store, spool = server.works.core.store, server.settings.storage.spool_dir
    rows = {}
    known = {job.token for job in jobs}
    sent = {_sha256(image) for job in jobs for image in job.images.values()}
    for stored in (*store.open_jobs(), *store.ended_jobs(limit=100_000)):
        if has_failed(stored):
            halves = [one.id for one in stored.documents if one.sha256 not in sent]
            broken += [f"page {number} of {stored.token}, which has failed, is not what was sent" for number in halves]
        elif stored.token not in known:
            broken.append(f"job {stored.token} belongs to no device: what was repeated was stored twice")
        for document in stored.documents:
            rows[spool / document.blob] = document
            if not stored.state.ended and not (spool / document.blob).exists():
                broken.append(f"job {stored.token} is {stored.state}, and its file {document.blob} is missing")
    for path in _files(spool):
        if path == spool / ID or any(path.is_relative_to(spool / folder) for folder in (LOST, LOGS, PICTURES)):
            continue
        if path not in rows:
            broken.append(f"no row has the file {path.relative_to(spool)}")
        elif digest(path) != rows[path].sha256:
            broken.append(f"the file {path.relative_to(spool)} is not what its row says")
    broken += [
        f"{path.name} on the share is not what was sent" for path in _files(server.share) if digest(path) not in sent
    ]
    left = [path.name for path in server.settings.storage.run_dir.glob("source-*")]
    if len(left) > len(server.settings.sources):
        broken.append(f"the work folder of a source that has ended is left: {', '.join(left)}")
    return broken


def _kept(job: Job | SourceJob, document: JobDocument) -> str:
    """Return the hash of what the spool has of a document."""
    with job.server.works.core.spool.fetching() as fetch:
        return digest(fetch(document))


def _page_acknowledged(job: SourceJob) -> list[str]:
    """Check that one job has the page, which takes no more pages, and its file until it has ended."""
    found = job.stored()
    if len(found) != 1:
        return [f"{job.name} ({job.kind}) was acknowledged, and {len(found)} jobs have it"]
    [stored] = found
    broken = []
    if stored.state in _BEFORE_END or stored.state in ("Canceled", "Aborted"):
        broken.append(f"{job.name} ({job.kind}) was acknowledged, and its job {stored.token} is {stored.state}")
    if not stored.state.ended and _kept(job, stored.documents[0]) != _page(job):
        broken.append(f"the file of {job.name} ({job.kind}) is not what was sent")
    return broken


def _page_delivered(job: SourceJob) -> list[str]:
    """Check that one job has the page, that it is Completed, and that the page is once on the share."""
    broken = []
    ends = [str(stored.state) for stored in job.stored()]
    if ends != ["Completed"]:
        broken.append(f"the jobs of {job.name} ({job.kind}) are {ends}; expected one, Completed")
    copies = Counter(map(digest, _files(job.server.share)))[_page(job)]
    if copies != 1:
        broken.append(f"{job.name} ({job.kind}) is {copies} times on the share")
    return broken


def _page(job: SourceJob) -> str:
    return _sha256(job.images[1])


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
