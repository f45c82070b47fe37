"""The store of image bytes as a port: what the engine asks of it, wherever the bytes lie.

An adapter keeps each image under the key of its document, `<job>/<name>`. What it has kept is durable before the row of
the image is stored, and the row is stored before the sender gets its answer. No other module knows where the bytes are:
who reads them fetches them (docs/decisions/0092-where-the-bytes-of-images-lie.md).
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final, Protocol

from postscan.core.errors import OutcomeUnknown
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.spool.image_store.image_writer import PART, ImageWriter, Reserve
from postscan.core.spool.image_store.lock import SpoolLock
from postscan.core.spool.job_log import JobLogs
from postscan.core.spool.pictures import PagePictures

LOST: Final = "lost+found"
LOGS: Final = "logs"
PICTURES: Final = "pictures"
ID: Final = "spool-id"
ID_PART: Final = f"{ID}{PART}"

Fetch = Callable[[JobDocument], Path]
"""A function that returns the path of a file with the bytes of a document; see `SpoolStore.fetching`."""


def _never() -> bool:
    return False


class StoredFile(Protocol):
    """A file of the store."""

    @property
    def key(self) -> str:
        """Its key."""

    def changed(self) -> float:
        """Return when it was last changed (POSIX time); raise `FileNotFoundError` if it is gone."""


class SpoolStore(ABC):
    """Keeps the bytes of images and documents. Safe to use from several threads and processes.

    `lock` is for files that have no row yet; `logs` are the logs of the jobs, `pictures` what pages look like. Methods
    that write raise `SpoolFull`, those that read or remove `OSError`; `SpoolAway` is both.
    """

    checks_when_fetched: ClassVar[bool] = False
    """Whether a path that was fetched is of bytes that have the hash of the document."""

    lock: SpoolLock
    logs: JobLogs
    pictures: PagePictures

    @property
    @abstractmethod
    def name(self) -> str:
        """The folder or URL, for people; without a secret."""

    @property
    def place(self) -> str:
        """Where the bytes lie, as machines that share a database compare it: the name, and the machine of a folder."""
        return self.name

    @abstractmethod
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
    ) -> ImageWriter:
        """Return the writer of one image of at most *limit* bytes; raise `SpoolFull`.

        *made* says that it is the work of a filter.
        """

    @abstractmethod
    def fetching(self, stopped: Callable[[], bool] = _never) -> contextlib.AbstractContextManager[Fetch]:
        """Return a context whose value returns the path of a document's bytes, for as long as its body runs.

        It raises `ImageDamaged` if there are none, or others than were stored, as far as the adapter looks; `OSError`,
        `SpoolAway` among them, also as soon as *stopped* returns True.
        """

    @abstractmethod
    def copy(self, document: JobDocument, token: JobToken) -> JobDocument:
        """Keep the bytes of a document for another job as well; return the document with its new key."""

    @abstractmethod
    def drop(self, *keys: str) -> None:
        """Remove the files with these keys; harmless for those that are gone."""

    @abstractmethod
    def sizes(self, keys: Iterable[str]) -> Iterator[tuple[str, int | None]]:
        """Yield each key with the size of its file in bytes; None if there is none."""

    @abstractmethod
    def files(self) -> Iterator[StoredFile]:
        """Yield every file but logs, pictures, what was put aside, and identifiers; files in progress as well."""

    @abstractmethod
    def quarantine(self, key: str) -> str:
        """Put a file without a row aside, under a free name; return where it is."""

    @abstractmethod
    def put_aside(self) -> int:
        """Return how many files were put aside."""

    @abstractmethod
    def free_bytes(self) -> int:
        """Return the free bytes of the disk on which images arrive; raise `SpoolFull` if it cannot be read."""

    # --- identifiers: see postscan.core.spool.identity ------------------------------------------------------------

    @abstractmethod
    def read_mark(self, name: str) -> str | None:
        """Return the text under a name; None if there is none."""

    @abstractmethod
    def write_mark(self, name: str, text: str) -> None:
        """Store a short text under a name, durably."""

    @abstractmethod
    def rename_mark(self, name: str, new: str) -> None:
        """Give a text another name, durably."""

    # --- what is the same for all adapters ------------------------------------------------------------------------

    def discard(self, *documents: JobDocument) -> None:
        """Remove the files of these documents; files of uploads in progress stay."""
        self.drop(*(document.blob for document in documents))

    @contextlib.contextmanager
    def discarded_on_failure(self, documents: Sequence[JobDocument]) -> Iterator[None]:
        """Remove the files of these documents if the body, which stores their rows, raises an error.

        If it is unknown whether the rows are stored, or the process is being ended, the files stay; the next start of
        the server compares them with the rows.
        """
        try:
            yield
        except OutcomeUnknown:
            raise
        except Exception:
            self.discard(*documents)
            raise


def is_incomplete(key: str) -> bool:
    """Return whether this is the file of an upload in progress, or of one that ended with its server."""
    return key.endswith(PART) and key.count("/") == 1  # uploads are written nowhere else


def member_of(key: str) -> str:
    """Return the identifier of the process that writes an incomplete file; "" if its name has none."""
    return key.removesuffix(PART).partition("@")[2]
