"""Pictures of the pages of a job: who may see them, and where they come from.

A picture may be seen by the owner of a job and by the user whom the job is for, if a proof names that user; not where a
device has named it (D26). Administrators may see those of others, unless the settings
forbid it, and each look is audited (D27).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from postscan.core.clock import Clock
from postscan.core.errors import ImageDamaged, JobNotFound, PicturesRefused, PictureUnavailable
from postscan.core.model.formats import media_type
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof, Right
from postscan.core.model.rate_limit import RateLimit
from postscan.core.model.records import AuditLine
from postscan.core.service.access import is_owned
from postscan.core.service.administration.pictures.maker import PictureMaker
from postscan.core.settings import Settings
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.spool.pictures import PictureKey, StoredPicture
from postscan.core.store.sources import origins
from postscan.core.store.store import Store
from postscan.core.workers.orders.picture import decoders

__all__ = ["JobPictures", "PictureSize", "PictureTile", "Pictures", "StoredPicture"]

SHOWN: Final = 50
"""Most images that are shown together."""

LOOK_SECONDS: Final = 3600.0
"""Seconds in which the looks of one person at one job have one line in the audit trail."""

FAILED_SECONDS: Final = 600.0
"""Seconds for which it is remembered that there is no picture of a page, so that no process tries again."""

_FAILED: Final = 1000  # pages of which that is remembered


class PictureSize(IntEnum):
    """How many pixels a picture is long and wide at most."""

    SMALL = 320
    LARGE = 1600


@dataclass(frozen=True, slots=True)
class PictureTile:
    """An image of a job among others: the number `number` of so many. `document` is its id, `kind` its media type."""

    number: int
    document: int
    kind: str
    size: int
    has_picture: bool


@dataclass(frozen=True, slots=True)
class JobPictures:
    """Some of the images of a job, as the page of the job shows them.

    `refusal` says why the person sees no picture, "" if it may. `is_removed`: the images are. `after` is the number of
    the last tile if more images follow, else 0. `total` is the number of all images.
    """

    token: JobToken
    refusal: str
    is_removed: bool
    total: int
    tiles: tuple[PictureTile, ...]
    after: int


class FindJob(Protocol):
    """Finds the job of a caller, as `PostScanService.job` does."""

    def __call__(self, token: str, by: Principal) -> Job:
        """Return the job; raise `JobNotFound`, `Throttled`."""


class Pictures:
    """The pictures of all jobs. Every method may block; call it from a thread. Raised by all: `StoreBusy`."""

    def __init__(
        self, settings: Settings, store: Store, spool: SpoolStore, find_job: FindJob, maker: PictureMaker, clock: Clock
    ) -> None:
        self._settings = settings
        self._store = store
        self._spool = spool
        self._find_job = find_job
        self._maker = maker
        self._clock = clock
        self._looks = RateLimit(1, LOOK_SECONDS, clock.ticks)
        self._looking = threading.Lock()
        self._failed = _Failures(clock)

    def close(self) -> None:
        """End the worker that is left."""
        self._maker.close()

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on."""
        self._settings = settings

    def refusal(self, job: Job, by: Principal) -> str:
        """Return why the caller, who may see the job, must not see its pictures; "" if they may."""
        if self._is_proven_own(job, by):
            return ""
        if by.may(Right.PICTURES):
            return "" if self._settings.console.pictures_of_others else _FORBIDDEN
        return _UNPROVEN if is_owned(job, by) else _OF_OTHERS

    def overview(self, job: Job, by: Principal, after: int = 0) -> JobPictures:
        """Return the images of the job behind the one with the number *after*, at most `SHOWN`; that is no look."""
        shown = list(enumerate(job.documents, start=1))[after : after + SHOWN]
        tiles = tuple(
            PictureTile(number, one.id, media_type(one.format), one.size, _has_picture(one)) for number, one in shown
        )
        end = after + len(tiles)
        return JobPictures(
            token=job.token,
            refusal=self.refusal(job, by),
            is_removed=not job.images_kept,
            total=len(job.documents),
            tiles=tiles,
            after=end if end < len(job.documents) else 0,
        )

    def picture(self, token: str, by: Principal, document: int, page: int, size: PictureSize) -> StoredPicture:
        """Return the picture of one page of an image of the job; pages count from 1.

        Raises `JobNotFound`, also if the job has no such image; `PicturesRefused` if the caller may see the job and not
        its pictures; `PictureUnavailable`; `Unavailable` if too many are asked for.
        """
        job = self._find_job(token, by)
        refusal = self.refusal(job, by)
        if refusal:
            raise PicturesRefused(refusal)
        image = next((one for one in job.documents if one.id == document), None)
        if image is None:
            raise JobNotFound(token)
        if not self._is_proven_own(job, by):
            self._audit(job, by)
        return self._picture(job, image, PictureKey(job.token, image.id, page, size), by)

    def _picture(self, job: Job, image: JobDocument, key: PictureKey, by: Principal) -> StoredPicture:
        if not job.images_kept:
            raise PictureUnavailable("the images of this job are removed")
        if not _has_picture(image):
            raise PictureUnavailable(f"there are no pictures of the format {image.format}")
        found = self._spool.pictures.get(key)
        if found is not None:
            return found
        self._failed.check(key)
        try:
            with self._spool.fetching() as fetch:
                made = self._maker.make(fetch(image), image.format, key.page, key.side, f"{by.proof}:{by.name}")
        except PictureUnavailable as error:
            self._failed.add(key, str(error))
            raise
        except ImageDamaged as error:
            raise PictureUnavailable(str(error)) from None
        self._keep(key, made)
        return made

    def _keep(self, key: PictureKey, made: StoredPicture) -> None:
        """Keep a picture, but not beyond the images of its job, which may have been removed meanwhile."""
        if self._spool.pictures.put(key, made, self._settings.storage.reserve_bytes):
            try:
                kept = self._store.load(key.token).images_kept
            except JobNotFound:
                kept = False
            if not kept:
                self._spool.pictures.try_to_remove(key.token)
                raise PictureUnavailable("the images of this job are removed")

    def _audit(self, job: Job, by: Principal) -> None:
        """Write a line about a look at a job of another, before anything is shown."""
        key = f"{by.proof}:{by.name}:{job.token}"
        with self._looking:
            if not self._looks.wait(key):
                self._store.record(AuditLine.of(by, "looked", job.token, self._clock.now()))
                self._looks.take(key)

    def _is_proven_own(self, job: Job, by: Principal) -> bool:
        """Return whether the job is the caller's own, and a proof names its user.

        That is a certificate, an account, or a person at the console who made the job. A device, and the account of a
        device, may have named anyone.
        """
        if not is_owned(job, by):
            return False
        if (job.owner.name, job.owner.proof) == (by.name, by.proof) and by.role is not None:
            return True
        if job.owner.proof is not Proof.SOURCE:
            of_user = (job.owner.name, job.owner.proof) == (f"user:{job.user.sid}", Proof.CERTIFICATE)
            return of_user or job.owner.proof is Proof.LOCAL
        with self._store.reading() as db:
            origin = origins.of_job(db, job.token)
        if origin is None or not origin.proof.names_account:
            return False
        inlet = self._settings.sources.get(origin.inlet)
        return inlet is not None and inlet.accounts.get(origin.account, job.user.sid) == job.user.sid


_UNPROVEN: Final = "The device that sent these pages has not proven who its user is, so they are not shown."
_OF_OTHERS: Final = "The right to see the pages of others is missing."
_FORBIDDEN: Final = "The settings forbid to see the pages of others: console.pictures_of_others is false."


def _has_picture(image: JobDocument) -> bool:
    """Return whether pictures can be made of an image of this format."""
    return bool(decoders(image.format))


class _Failures:
    """Pages without a picture, and why, for `FAILED_SECONDS`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: OrderedDict[PictureKey, _Failure] = OrderedDict()

    def add(self, key: PictureKey, reason: str) -> None:
        """Remember why there is no picture."""
        with self._lock:
            self._found[key] = _Failure(reason, self._clock.ticks() + FAILED_SECONDS)
            self._found.move_to_end(key)
            while len(self._found) > _FAILED:
                self._found.popitem(last=False)

    def check(self, key: PictureKey) -> None:
        """Raise `PictureUnavailable` if the page is known to have no picture."""
        with self._lock:
            failure = self._found.get(key)
            if failure is not None and failure.until > self._clock.ticks():
                raise PictureUnavailable(failure.reason)


class _Failure(NamedTuple):
    reason: str
    until: float
