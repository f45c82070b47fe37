"""Map the UNC paths of scan processes to folders that the administrator configured.

No path of an instruction reaches the network: a share without a folder does not exist.

Source: scan-process.md sections 6.1 and 6.4.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from postscan.core.filters.context import FilterContext
from postscan.core.filters.facts import Document
from postscan.core.filters.results import FilterFailed
from postscan.core.model import file_names
from postscan.core.model.states import FilterReason

LEAST_FREE: Final = 64 << 20
"""Free bytes below which the disk of a share counts as full."""

_REASONS: Final = {
    errno.EACCES: FilterReason.FILE_SHARE_ACCESS_DENIED,
    errno.EPERM: FilterReason.FILE_SHARE_ACCESS_DENIED,
    errno.EROFS: FilterReason.FILE_SHARE_ACCESS_DENIED,
    errno.ENOSPC: FilterReason.FILE_SHARE_OUT_OF_DISK_SPACE,
    errno.EDQUOT: FilterReason.FILE_SHARE_OUT_OF_DISK_SPACE,
}


class Place(NamedTuple):
    """Where a UNC path leads: the mapped folder, and the names of the folders below it."""

    folder: Path
    below: tuple[str, ...]


class Shares:
    r"""The folders of shares.

    `table` maps a UNC prefix (`\\server\share`, or deeper) to a folder with an absolute path; `key` says where in the
    settings it is written, for error messages. Case and trailing backslashes of a UNC do not count, and the longest
    prefix wins. Raises `ValueError` for a table that cannot be used.
    """

    def __init__(self, table: Mapping[str, str], key: str) -> None:
        self._key = key
        self._folders: dict[tuple[str, ...], Path] = {}
        if not isinstance(table, Mapping):
            raise ValueError(f"{key}: {table!r} is not a table; expected lines of UNC prefix = folder")  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
        for unc, folder in table.items():
            self._add(unc, folder)

    def _add(self, unc: str, folder: str) -> None:
        if not isinstance(folder, str | Path) or not Path(folder).is_absolute():
            raise ValueError(f"{self._key}: {unc} = {folder!r} is no folder; expected an absolute path")
        try:
            prefix = _folded(_parts(unc))
        except ValueError as error:
            raise ValueError(f"{self._key}: {error}") from None
        if prefix in self._folders:
            raise ValueError(f"{self._key}: {unc} is there twice; upper and lower case are the same")
        self._folders[prefix] = Path(folder)

    def find(self, unc: str) -> Place:
        """Return where *unc* leads.

        Raises `FilterFailed`: `InvalidArgs` if it is no UNC path, `UnknownError` if nothing is mapped to it or the
        mapped folder is missing.
        """
        try:
            parts = _parts(unc)
        except ValueError as error:
            raise FilterFailed(FilterReason.INVALID_ARGS, str(error)) from None
        for length in range(len(parts), 1, -1):
            folder = self._folders.get(_folded(parts[:length]))
            if folder is None:
                continue
            if not folder.is_dir():
                raise FilterFailed(detail=f"{unc}: there is no folder {folder}; make it, or change {self._key}")
            return Place(folder, parts[length:])
        raise FilterFailed(detail=f"{unc}: no folder stands for it; add it to {self._key}")

    def probe(self, unc: str) -> None:
        """Check that a file can be created below *unc*, with an empty, hidden one that is removed at once.

        Raises `FilterFailed` as `deliver` does, also if the disk is almost full.
        """
        place = self.find(unc)
        where = place.folder.joinpath(*place.below)
        try:
            with tempfile.NamedTemporaryFile(prefix=".postscan-", dir=where):
                free = shutil.disk_usage(where).free
        except OSError as error:
            reason = _REASONS.get(error.errno or 0, FilterReason.UNKNOWN_ERROR)
            raise FilterFailed(reason, f"{unc}: no file can be made in {where}: {error.strerror or error}") from error
        if free < LEAST_FREE:
            detail = f"{unc}: {where} has only {free:,} bytes left; expected at least {LEAST_FREE:,}"
            raise FilterFailed(FilterReason.FILE_SHARE_OUT_OF_DISK_SPACE, detail)

    def deliver(
        self,
        job: FilterContext,
        document: Document,
        unc: str,
        *,
        source: Path | None = None,
        name: str = "",
        destination: str = "",
    ) -> Path:
        """Deliver a file into the user's own folder below *unc*, as `FilterContext.deliver` does; return its path.

        `destination` names the delivery for the server, if a document has several outputs; else *unc*.
        Raises `FilterFailed` with the reason of the protocol.
        """
        try:
            place = self.find(unc)
            below = (*place.below, job.user_folder)
            return job.deliver(
                document, place.folder, below=below, source=source, name=name, destination=destination or unc
            )
        except OSError as error:
            reason = _REASONS.get(error.errno or 0, FilterReason.UNKNOWN_ERROR)
            raise FilterFailed(reason, f"{unc}: {error.strerror or error} ({error.filename})") from error


def _parts(unc: str) -> tuple[str, ...]:
    """Return the components of a UNC path; raise `ValueError` if it is none, or one that could leave its share."""
    parts = tuple(unc[2:].rstrip("\\").split("\\"))
    safe = all(file_names.component(part) == part for part in parts)
    if not unc.startswith("\\\\") or len(parts) < 2 or not safe or "@" in parts[0]:
        raise ValueError(rf"{unc!r} is not a UNC path; expected \\server\share or \\server\share\folder")
    return parts


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts)
