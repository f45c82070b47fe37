"""Images in an object store.

An image arrives in a local file, and is sent when it is complete: then its hash and size are known, and one slow sender
holds no memory. The store answers that it has the object, and that is when the image counts as durable. What the store
answers is its promise: see docs/administration.md. An object that is fetched is hashed before its path is returned.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final, NoReturn

from postscan.core.errors import ImageDamaged, SpoolAway
from postscan.core.model import file_names
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.spool.image_store.image_writer import PART, ImageWriter, Reserve, disk_errors, new_document
from postscan.core.spool.image_store.lock import SpoolLock
from postscan.core.spool.image_store.object_store.bucket import Bucket, StoredObject
from postscan.core.spool.image_store.object_store.object_logs import ObjectJobLogs
from postscan.core.spool.image_store.object_store.object_pictures import ObjectPictures
from postscan.core.spool.image_store.spool_store import ID, ID_PART, LOGS, LOST, PICTURES, Fetch, SpoolStore

ARRIVING: Final = "arriving"
"""The folder of images that have not arrived completely, below the folder of runs."""

_APART: Final = tuple(f"{folder}/" for folder in (LOST, LOGS, PICTURES))


class ObjectImageWriter(ImageWriter):
    """Writes one image into a local file, and sends it at the commit."""

    def __init__(
        self, bucket: Bucket, part: Path, new: JobDocument, limit: int, reserve: Reserve, *, hash_beside: bool
    ) -> None:
        self._bucket = bucket
        self._is_sent = False
        super().__init__(part, new, limit, reserve, hash_beside=hash_beside)

    def _keep(self, document: JobDocument) -> None:
        self._close()
        self._is_sent = True
        self._bucket.send(document.blob, self._part, document.size)
        self._part.unlink(missing_ok=True)

    def _drop(self) -> None:
        """Remove an object whose PUT has failed, if it is there all the same; one that comes later has no row."""
        if self._is_sent:
            with contextlib.suppress(OSError):
                if self._bucket.size(self._new.blob) is not None:
                    self._bucket.delete([self._new.blob])

    def _start_writeback(self) -> None:
        """Leave it to the kernel: this file need not be on the disk."""


class ObjectFile:
    """An object that is an image or a document."""

    __slots__ = ("_changed", "key")

    def __init__(self, stored: StoredObject) -> None:
        self.key = stored.key
        self._changed = stored.changed

    def changed(self) -> float:
        """Return when it was stored (POSIX time of the store)."""
        return self._changed


class ObjectSpool(SpoolStore):
    """The objects of one bucket and prefix.

    *folder* is a local folder for the logs of runs in progress, *run_dir* one that a server empties at its start.
    """

    checks_when_fetched: ClassVar[bool] = True

    def __init__(self, bucket: Bucket, folder: Path, run_dir: Path) -> None:
        self._bucket = bucket
        self._run_dir = run_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.lock = SpoolLock(folder)
        self.logs = ObjectJobLogs(folder / LOGS, bucket)
        self.pictures = ObjectPictures(bucket)

    @property
    def name(self) -> str:
        """The URL of the bucket and prefix."""
        return self._bucket.name

    def open_image(
        self,
        token: JobToken,
        document_id: int,
        format: str,
        limit: int,
        reserve: Reserve = lambda _size: None,
        *,
        made: bool = False,
        hash_beside: bool = False,
    ) -> ObjectImageWriter:
        """Return the writer of one image of at most *limit* bytes; raise `SpoolFull`, `SpoolAway`."""
        self._bucket.check()
        new = new_document(token, document_id, format, made=made)
        folder = self._run_dir / ARRIVING
        with disk_errors():
            folder.mkdir(mode=0o700, exist_ok=True)
        part = folder / f"{new.blob.replace('/', '-')}{PART}"
        return ObjectImageWriter(self._bucket, part, new, limit, reserve, hash_beside=hash_beside)

    @contextlib.contextmanager
    def fetching(self, stopped: Callable[[], bool] = lambda: False) -> Iterator[Fetch]:
        """Yield a function that fetches a document into a local file and checks its hash; see `SpoolStore`."""
        with tempfile.TemporaryDirectory(prefix="pages-", dir=self._run_dir, ignore_cleanup_errors=True) as folder:
            yield lambda document: self._fetched(document, Path(folder), stopped)

    def copy(self, document: JobDocument, token: JobToken) -> JobDocument:
        """Let the store copy the bytes of a document for another job; return the document with its new key."""
        blob = f"{token}/{Path(document.blob).name}"
        try:
            self._bucket.copy(document.blob, blob)
        except FileNotFoundError:
            raise SpoolAway(f"{self.name} has no {document.blob}") from None
        return replace(document, blob=blob)

    def drop(self, *keys: str) -> None:
        """Remove the objects with these keys."""
        self._bucket.delete(keys)

    def sizes(self, keys: Iterable[str]) -> Iterator[tuple[str, int | None]]:
        """Yield each key with the size of its object in bytes; None if there is none.

        The objects are listed; one that the list lacks is asked for by itself, since a list may be behind.
        """
        wanted = list(keys)
        listed = {one.key: one.size for one in self._bucket.objects()} if len(wanted) > 1 else {}
        for key in wanted:
            size = listed.get(key)
            yield key, self._bucket.size(key) if size is None else size

    def files(self) -> Iterator[ObjectFile]:
        """Yield every object that is an image or a document."""
        for one in self._bucket.objects():
            if one.key not in (ID, ID_PART) and not one.key.startswith(_APART):
                yield ObjectFile(one)

    def quarantine(self, key: str) -> str:
        """Move an object without a row below `lost+found/`, under a free key; return its URL."""
        number = 1
        while self._bucket.size(place := f"{LOST}/{file_names.numbered(key, number)}") is not None:
            number += 1
        self._bucket.copy(key, place)
        self._bucket.delete([key])
        return f"{self.name}/{place}"

    def put_aside(self) -> int:
        """Return how many objects are below `lost+found/`."""
        return sum(1 for _ in self._bucket.objects(LOST))

    def free_bytes(self) -> int:
        """Return the free bytes of the local disk on which images arrive; raise `SpoolFull` if it cannot be read."""
        with disk_errors():
            disk = os.statvfs(self._run_dir)
        return disk.f_bavail * disk.f_frsize

    def read_mark(self, name: str) -> str | None:
        """Return the text of an object; None if there is none."""
        data = self._bucket.read(name)
        return None if data is None else data.decode(errors="replace").strip()

    def write_mark(self, name: str, text: str) -> None:
        """Store a text as an object."""
        self._bucket.store(name, text.encode())

    def rename_mark(self, name: str, new: str) -> None:
        """Store the text of an object under another key, then remove the first."""
        self._bucket.store(new, (self.read_mark(name) or "").encode())
        self._bucket.delete([name])

    def _fetched(self, document: JobDocument, folder: Path, stopped: Callable[[], bool]) -> Path:
        path = folder / Path(document.blob).name
        if path.exists():
            return path
        try:
            digest = self._written(document, path, stopped)
        except FileNotFoundError:
            self._raise_lost(document)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if digest != document.sha256:
            raise ImageDamaged(f"{document.blob} in {self.name} has other bytes than were stored")
        return path

    def _written(self, document: JobDocument, path: Path, stopped: Callable[[], bool]) -> str:
        """Write the bytes of a document into a new file, and return their SHA-256 in hex."""
        digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123  (a descriptor)
            for chunk in self._bucket.stream(document.blob, document.size):
                if stopped():
                    raise SpoolAway(f"{document.blob} was not fetched: the job stops")
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def _raise_lost(self, document: JobDocument) -> NoReturn:
        """Raise `ImageDamaged`; `SpoolAway` if the identifier is not there either: it is another bucket, or empty."""
        if self.read_mark(ID) is None:
            raise SpoolAway(f"{self.name} has no {ID}: it is not the spool of this database, or is not there")
        raise ImageDamaged(f"{document.blob} is missing in {self.name}")
