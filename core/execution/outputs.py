"""Copy the documents that a filter made from its folder into the spool, for the filters after it.

The filter's processes have ended by then, so nothing can change a file any more. The folder is not trusted all the
same: the name of a file is a number, and only regular files are accepted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from postscan.core.errors import InvalidArgument
from postscan.core.filters.delivery import changes
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.settings.engine import LimitSettings
from postscan.core.spool.image_store.image_writer import ImageWriter, Reserve
from postscan.core.spool.image_store.spool_store import SpoolStore

CHUNK: Final = 1 << 20


def take_over(
    entries: Any,
    given: Sequence[JobDocument],
    token: JobToken,
    spool: SpoolStore,
    workdir: Path,
    limits: LimitSettings,
    room: Callable[[], Reserve],
) -> tuple[JobDocument, ...]:
    """Return the new list of documents, every new file durable in the spool.

    *entries* is the list that the worker sent, *given* what the filter got. *room* is called if there is a new file,
    and returns what reserves room for all of them. Raises `ValueError` for an invalid list or file, `SpoolFull`; then
    nothing new is left in the spool.
    """
    before = {document.id: document for document in given}
    decoded = changes.decode(entries, before) or []
    if len(decoded) > limits.images_per_job:
        raise ValueError(f"{len(decoded)} documents; expected at most {limits.images_per_job}")
    ids = _free_ids(before)
    documents: list[JobDocument] = []
    new: list[JobDocument] = []
    reserve: Reserve | None = None
    try:
        for entry in decoded:
            if entry.made is None:
                documents.append(before[entry.id or 0])
                continue
            id = next(ids) if entry.id is None else entry.id
            reserve = reserve or room()
            open_image = partial(spool.open_image, token, id, entry.format, limits.image_bytes, reserve, made=True)
            new.append(_kept(workdir / changes.FOLDER / str(entry.made), open_image))
            documents.append(new[-1])
    except BaseException:
        spool.discard(*new)
        raise
    return tuple(documents)


def _free_ids(taken: Collection[int]) -> Iterator[int]:
    """Yield ids for new documents: those behind the last one, and when there are no more, those that are left out."""
    last = max(taken, default=0)
    yield from range(last + 1, changes.LAST_ID + 1)
    yield from (id for id in range(1, last) if id not in taken)


def _kept(path: Path, open_image: Callable[[], ImageWriter]) -> JobDocument:
    """Copy one file into the spool."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"{path.name}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as reader:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        try:
            with open_image() as writer:
                while chunk := _read(reader):
                    writer.write(chunk)
        except InvalidArgument as error:
            raise ValueError(f"a file of {error.value or 'no'} bytes; expected {error.expected}") from None
    return writer.document


def _read(reader: BinaryIO) -> bytes:
    try:
        return reader.read(CHUNK)
    except OSError as error:
        raise ValueError(f"a file that cannot be read: {error.strerror}") from None
