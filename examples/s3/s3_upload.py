"""A postscan filter that uploads every page to a bucket of S3, or of a store that speaks its protocol.

The administrator chooses the store, the bucket and the credentials; a scan process chooses the folder in it. An object
appears whole or not at all: the last request of an upload makes it visible, and is sent only after the server's grant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    element,
    hookimpl,
    setting,
)

CHUNK = 5 << 20  # bytes of a part: the least that S3 takes
TIMEOUT = timedelta(seconds=20)  # for one request


@dataclass(frozen=True)
class Instructions:
    """S3Config: where in the bucket the pages go."""

    folder: str = element("Folder", default="", longest=200, help="the begin of the names, as scans/letters")

    def __post_init__(self) -> None:
        """Refuse what a store would take for another name than the one that was meant."""
        parts = self.folder.split("/") if self.folder else []
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"Folder: {self.folder!r} has an empty part, or one that is . or ..")


@dataclass(frozen=True)
class Settings:
    """`[filters.s3]`: the store."""

    bucket: str = setting(help="the name of the bucket")
    endpoint: str = setting("", help="the URL of a store other than Amazon's")
    region: str = setting("us-east-1", help="the region of the bucket")
    access_key: str = setting("", help="the access key; without one, that of the machine's role")
    secret_key: str = setting("", secret=True, help="the secret key")

    def __post_init__(self) -> None:
        """Refuse keys that are not both there."""
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key and secret_key belong together")


class S3Upload(Filter):
    """Upload every page to a bucket."""

    dialect = "https://postscan.example/filter/s3"
    title = "S3"
    grace = 3.0
    Instructions = Instructions
    Settings = Settings

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        """Upload the pages one after the other; what was uploaded before a cancel stays."""
        store = connected(job.settings)
        for document in job.documents:
            name = name_of(job, document)
            destination = f"s3://{job.settings.bucket}/{name}"
            try:
                upload(job, store, document, destination, name, token)
            except (BaseError, OSError) as error:
                raise FilterFailed(detail=f"{destination}: {error}") from error


def name_of(job: FilterContext, document: Document) -> str:
    """Return the name of an object, with the job's token: the same for a run after a crash, another for another job."""
    stem, dot, suffix = document.name.rpartition(".")
    return "/".join(filter(None, (job.instructions.folder, job.user_folder, f"{stem}-{job.job.token}{dot}{suffix}")))


def upload(
    job: FilterContext, store: S3Store, document: Document, destination: str, name: str, token: CancellationToken
) -> None:
    """Send a document in parts, and make it visible when the server has granted it.

    A cancel before that leaves parts that no reader sees, and that a rule of the bucket should remove after a day
    (AbortIncompleteMultipartUpload).
    """
    writer = obstore.open_writer(store, name, buffer_size=CHUNK)
    with document.path.open("rb") as file:
        while chunk := file.read(CHUNK):
            token.check()
            writer.write(chunk)
    with job.publish(document, destination, name.rpartition("/")[2]):
        writer.close()


def connected(settings: Settings) -> S3Store:
    """Return a client of the store; it connects with the first request."""
    keys = (
        {"access_key_id": settings.access_key, "secret_access_key": settings.secret_key} if settings.access_key else {}
    )
    where = {"endpoint": settings.endpoint} if settings.endpoint else {}
    options = {"timeout": TIMEOUT, "allow_http": settings.endpoint.startswith("http://")}
    retries = {"max_retries": 3, "retry_timeout": TIMEOUT}
    return S3Store(
        settings.bucket, region=settings.region, client_options=options, retry_config=retries, **where, **keys
    )


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the filter."""
    return [S3Upload()]
