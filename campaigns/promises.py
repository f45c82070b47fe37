"""Check the promises of the server: by requests, and by reading its disk and its database.

Each function returns one sentence for each broken promise. The numbers are those of the invariants (I1 ...) and
faults (F-R1 ...).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Final

from acceptance.server import Server, digest

from campaigns.whole_job import Job
from postscan.core.spool.images import ID

END: Final = {
    "delivered": "Completed",
    "withdrawn": "Canceled",
    "stopped": "Canceled",
    "mailed": "Completed",
    "filling": "Aborted",
}
COPIES: Final = {"delivered": 1, "withdrawn": 0, "stopped": 1, "mailed": 1, "filling": 0}
_BEFORE_END: Final = ("Creating",)


def acknowledged(job: Job) -> list[str]:
    """Compare the acknowledged requests with the stored job (I1, I2, I11, I23), after a restart of the server."""
    if "create" not in job.acknowledged:
        return []
    broken = []
    stored = job.server.works.core.store.load(job.token)
    have = {document.id: document for document in stored.documents}
    for number in job.acknowledged_images():
        if number not in have or have[number].sha256 != _sha256(job.images[number]):
            broken.append(f"image {number} of {job.token} was acknowledged and is lost")
        elif not stored.state.ended and digest(job.server.works.core.spool.path(have[number])) != have[number].sha256:
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


def ended(job: Job) -> list[str]:
    """Check an ended job: its state, and each image once on the share (I8, I19, I20)."""
    broken = []
    if job.state() != END[job.kind]:
        broken.append(f"job {job.token} ({job.kind}) ended {job.state()}; expected {END[job.kind]}")
    files = Counter(map(digest, _files(job.server.share)))
    for number, image in job.images.items():
        copies = files[_sha256(image)]
        if copies != COPIES[job.kind]:
            broken.append(f"image {number} of {job.token} ({job.kind}) is {copies} times on the share")
    return broken


def tidy(server: Server, jobs: list[Job]) -> list[str]:
    """Check disk and database: no incomplete file, files and rows correspond, no job twice (I4, I19, I25)."""
    broken = [f"an incomplete file is left: {path.name}" for path in server.home.rglob("*.part")]
    store, spool = server.works.core.store, server.settings.storage.spool_dir
    rows = {}
    known = {job.token for job in jobs}
    for stored in (*store.open_jobs(), *store.ended_jobs(limit=100_000)):
        if stored.token not in known:
            broken.append(f"job {stored.token} belongs to no device: a repeated Create was stored twice")
        for document in stored.documents:
            rows[spool / document.blob] = document
            if not stored.state.ended and not (spool / document.blob).exists():
                broken.append(f"job {stored.token} is {stored.state}, and its file {document.blob} is missing")
    for path in _files(spool):
        if path.is_relative_to(spool / "lost+found") or path == spool / ID:
            continue
        if path not in rows:
            broken.append(f"no row has the file {path.relative_to(spool)}")
        elif digest(path) != rows[path].sha256:
            broken.append(f"the file {path.relative_to(spool)} is not what its row says")
    sent = {_sha256(image) for job in jobs for image in job.images.values()}
    broken += [
        f"{path.name} on the share is not what was sent" for path in _files(server.share) if digest(path) not in sent
    ]
    return broken


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
