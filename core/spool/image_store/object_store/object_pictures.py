"""Pictures of pages in an object store, under the names that they have in a folder.

They may be missing and are made again, so a store that does not answer is as one that has none.
"""

from __future__ import annotations

import contextlib
import logging
import threading

from postscan.core.model.job import JobToken
from postscan.core.spool.image_store.object_store.bucket import Bucket
from postscan.core.spool.image_store.spool_store import PICTURES
from postscan.core.spool.pictures import (
    LEAST,
    LEFT,
    MOST,
    NAME,
    TOKEN,
    PagePictures,
    PictureKey,
    StoredPicture,
    is_whole,
)

log = logging.getLogger(__name__)


class ObjectPictures(PagePictures):
    """The pictures of all jobs in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._size: int | None = None  # as far as this process knows: others add and remove pictures as well

    def get(self, key: PictureKey) -> StoredPicture | None:
        """Return a picture; None if it is not there, or not whole."""
        with contextlib.suppress(OSError):
            for one in self._bucket.objects(_folder(key.token)):
                found = NAME.fullmatch(one.key.rpartition("/")[2])
                if found is not None and found["key"] == key.stem:
                    data = self._bucket.read(one.key)
                    if data is not None and is_whole(data):
                        return StoredPicture(data, int(found["pages"]))
        return None

    def put(self, key: PictureKey, picture: StoredPicture, reserve: int) -> bool:
        """Keep a picture; return whether it is kept. The disk of this machine has no part in it."""
        with self._lock:
            try:
                self._make_room(len(picture.data))
                self._bucket.store(f"{_folder(key.token)}/{key.stem}-{picture.pages}.webp", picture.data)
            except OSError as error:
                log.warning("picture not kept", extra={"job": key.token, "reason": str(error)})
                return False
        return True

    def remove(self, token: str) -> None:
        """Remove the pictures of a job. Raises `OSError`."""
        self._bucket.delete([one.key for one in self._bucket.objects(_folder(token))])

    def tokens(self) -> list[JobToken]:
        """Return the tokens of the jobs that have pictures. Raises `OSError`."""
        return [JobToken(name) for name in self._bucket.folders(PICTURES) if TOKEN.fullmatch(name)]

    def _make_room(self, size: int) -> None:
        """Count *size* bytes more; remove the oldest pictures if all would be more than `MOST`."""
        if self._size is None or self._size + size > MOST:
            self._size = self._fit(size)
        self._size += max(LEAST, size)

    def _fit(self, size: int) -> int:
        """Remove the oldest pictures if *size* bytes more would be too much; return the bytes of the others."""
        there = sorted(self._bucket.objects(PICTURES), key=lambda one: one.changed)
        total = sum(max(LEAST, one.size) for one in there)
        if total + size <= MOST:
            return total
        removed = []
        for one in there:
            removed.append(one.key)
            total -= max(LEAST, one.size)
            if total <= LEFT:
                break
        self._bucket.delete(removed)
        return total


def _folder(token: str) -> str:
    return f"{PICTURES}/{token}"
