"""Whether pages are the ones whose hashes their source has given: the server takes these hashes without a look."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from postscan.core.model.job import JobDocument

_CHUNK: Final = 1 << 20  # bytes between two questions whether to stop: about a millisecond


def first_changed(
    pages: Iterable[JobDocument], path: Callable[[JobDocument], Path], stopped: Callable[[], bool]
) -> int | None:
    """Return the number of the first page whose bytes do not have the hash of its row; None if there is none.

    *path* returns where a page is. Also returns None as soon as *stopped* says so. Raises `OSError` for a page that
    cannot be read.
    """
    for page in pages:
        digest = hashlib.sha256()
        with path(page).open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                if stopped():
                    return None
                digest.update(chunk)
        if digest.hexdigest() != page.sha256:
            return page.id
    return None
