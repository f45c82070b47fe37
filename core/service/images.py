"""SendImage: one image from a front end into the spool, with its row.

Order of the checks: repeated request, owner, state of the job, number of images, room; all before the first byte.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from postscan.core.clock import Clock
from postscan.core.cluster.arriving_images import ArrivingImages
from postscan.core.errors import InvalidArgument, StoreBusy, WrongState
from postscan.core.model.job import Job, JobDocument
from postscan.core.model.principal import Principal, inlet_of
from postscan.core.model.records import RequestKey, StoredResponse
from postscan.core.model.states import Verb
from postscan.core.service.access import JobAccess, check_same
from postscan.core.settings import Settings
from postscan.core.spool.image_store.image_writer import HashingSink, ImageSink, ImageWriter
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.spool.quota import Quota, Reservation
from postscan.core.spool.uploads import Uploads
from postscan.core.store.store import DuplicateRequest, Store

__all__ = ["Examine", "ImageReceiver", "ImageSink", "ImageUpload"]

Examine = Callable[[Path], str]
"""Returns the format of an image whose bytes have all come, before it is durable; raises an error to refuse it."""


class ImageReceiver:
    """Opens images of jobs in Creating, and records them."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        spool: SpoolStore,
        quota: Quota,
        uploads: Uploads,
        access: JobAccess,
        clock: Clock,
        arriving: ArrivingImages,
    ) -> None:
        self._arriving = arriving
        self._limits = settings.limits
        self._sources = settings.sources
        self._store = store
        self._spool = spool
        self._quota = quota
        self._uploads = uploads
        self._access = access
        self._clock = clock

    def use(self, settings: Settings) -> None:
        """Work with the limits of these settings from now on."""
        self._limits = settings.limits

    def open(
        self,
        token: str,
        by: Principal,
        document_id: int,
        format: str,
        request: RequestKey | None,
        examine: Examine | None = None,
    ) -> ImageSink:
        """Return the sink for one image: see `PostScanService.open_image`."""
        response = self._access.stored_response(by, "send", request)
        if response is not None:
            return RepeatedImage(response)
        job = self._access.load(token, by, "send")
        try:
            self._check_takes_images(job, document_id)
        except WrongState:
            response = self._access.stored_response(by, "send", request)
            if response is None:
                raise
            return RepeatedImage(response)  # a concurrent duplicate was recorded, and the job ended after it
        try:
            return self._open_new(job, by, document_id, format, request, examine)
        except StoreBusy:
            raise  # a deadline cannot be stored now
        except BaseException:
            self.extend_deadline(job)
            raise

    def deadline(self, owner: Principal) -> float:
        """Return the tick at which a job of this owner that receives nothing more is expired."""
        source = self._sources.get(inlet_of(owner) or "")
        return self._clock.ticks() + (source.job_seconds if source else self._limits.silence_seconds)

    def extend_deadline(self, job: Job) -> None:
        """Set the deadline of a job whose image was not recorded."""
        self._store.extend_deadline(job.token, self.deadline(job.owner))

    def record(self, job: Job, by: Principal, document: JobDocument, request: RequestKey | None) -> None:
        """Store the document with its job; remove its file if it is not stored, or known already."""
        with self._spool.discarded_on_failure([document]):
            if not self._is_new(job, by, document, request):
                self._spool.discard(document)

    def _is_new(self, job: Job, by: Principal, document: JobDocument, request: RequestKey | None) -> bool:
        """Store the document with its job; return False if it was stored before."""
        records = self._access.records(by, "send", job.token, request, document.sha256)
        try:
            with self._store.change(job.token, *records, most_bytes=self._quota.share) as changed:
                self._check_takes_images(changed, document.id)  # again: others may have been recorded meanwhile
                changed.deadline = self.deadline(changed.owner)
                new = changed.receive(document, self._clock.now())
        except (DuplicateRequest, WrongState):
            response = self._access.stored_response(by, "send", request)
            if response is None:
                raise
            check_same(response, document.sha256)  # a concurrent duplicate has stored the same bytes
            return False
        return new

    def _open_new(
        self,
        job: Job,
        by: Principal,
        document_id: int,
        format: str,
        request: RequestKey | None,
        examine: Examine | None,
    ) -> ImageUpload:
        with contextlib.ExitStack() as resources:
            resources.enter_context(self._uploads.one(job.token))
            row = resources.enter_context(self._arriving.upload(job.token, job.owner.name))
            room = self._quota.open(job.owner.name, row)
            resources.callback(room.release)
            most, beside = self._limits.image_bytes, examine is not None
            writer = self._spool.open_image(job.token, document_id, format, most, room.reserve, hash_beside=beside)
            resources.callback(writer.abort)
            return ImageUpload(self, job, by, request, examine, writer, room, resources.pop_all())

    def _check_takes_images(self, job: Job, document_id: int) -> None:
        job.check(Verb.RECEIVE)
        known = {document.id for document in job.documents}
        if len(known) >= self._limits.images_per_job and document_id not in known:
            expected = f"at most {self._limits.images_per_job} images in a job"
            raise InvalidArgument("DocumentId", str(document_id), expected)


class ImageUpload(ImageSink):
    """A new image of a job. Its commit makes the bytes durable and records the document.

    While it is open, the job's End waits for it and the job does not expire. *resources* holds all that it has taken.
    """

    def __init__(
        self,
        receiver: ImageReceiver,
        job: Job,
        by: Principal,
        request: RequestKey | None,
        examine: Examine | None,
        writer: ImageWriter,
        room: Reservation,
        resources: contextlib.ExitStack,
    ) -> None:
        self._receiver = receiver
        self._job = job
        self._by = by
        self._request = request
        self._examine = examine
        self._writer = writer
        self._room = room
        self._resources = resources
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes; raise `SpoolFull`, or `InvalidArgument` (ImageData) if they are too many."""
        self._writer.write(data)

    def take(self, move: Callable[[Path], bool], sha256: str = "") -> bool:
        """Let *move* put a file in the place of the image; return False if it could not. Raises as `write` does."""
        return self._writer.take(move, sha256)

    def commit(self) -> str:
        """Make the image durable, record it, and return its SHA-256 in hex."""
        try:
            # Another thread hashes the image meanwhile, and the disk writes it.
            format = None if self._examine is None else self._examine(self._writer.written())
            digest = self._writer.commit()
            self._room.release()
            document = self._writer.document
            if format is not None:
                document = replace(document, format=format)
            self._receiver.record(self._job, self._by, document, self._request)
        except StoreBusy:
            self._close()
            raise  # a deadline cannot be stored now
        except BaseException:
            self.abort()
            raise
        self._close()
        return digest

    def abort(self) -> None:
        """Drop the image, and extend the deadline of its job."""
        if self._closed:
            return
        try:
            self._close()
        finally:
            self._receiver.extend_deadline(self._job)

    def _close(self) -> None:
        self._closed = True
        self._resources.close()


class RepeatedImage(HashingSink):
    """An image whose request has a stored response: its bytes are compared with the recorded ones, and not kept."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__()
        self._response = response

    def commit(self) -> str:
        """Return the image's SHA-256 in hex; raise `RequestReused` if it is another image."""
        digest = super().commit()
        check_same(self._response, digest)
        return digest
