"""Move a file that is refused into a subfolder beside it, with a text that says why; count the files that are there.

The subfolder is in the folder where the file was, and has its rights: who could see the file there still can, and no
one else. Nothing is removed from it: a refused file may be all that is left of a document.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from postscan.plugins.sources.folder import names
from postscan.plugins.sources.folder.files import FileGone, FileVersion, look_at, put_back

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE_OF_TEXT: Final = 0o666
_TEXT: Final = ".txt"

MOST_COUNTED: Final = 10_000
"""Most entries of a subfolder that are counted."""


class RefusedFiles(NamedTuple):
    """How many refused files there are, without the texts beside them, and their bytes.

    `is_all` is False if there are more, which were not counted.
    """

    number: int = 0
    size: int = 0
    is_all: bool = True

    def __str__(self) -> str:
        """Return a text for people; "" if there is none."""
        if not self.number:
            return ""
        files = "1 file" if self.number == 1 else f"{self.number:,} files"
        least = "" if self.is_all else "at least "
        return f"{least}{files} refused, {self.size / 2**20:,.1f} MiB"

    @classmethod
    def total(cls, counts: Iterable[RefusedFiles]) -> RefusedFiles:
        """Return the files of several subfolders together."""
        found = list(counts)
        return cls(sum(one.number for one in found), sum(one.size for one in found), all(one.is_all for one in found))


def refuse(folder: int, subfolder: str, name: str, version: FileVersion, why: str, now: datetime) -> str:
    """Move the file of this version, and return its name there. Raises `FileGone` if it is another one by now.

    Raises `OSError` if it cannot be moved; a text that cannot be written is left out.
    """
    target_folder = _opened_subfolder(folder, subfolder)
    try:
        target = name if _is_free(target_folder, name) else names.numbered(name)
        # Not exclusive, since network file systems cannot do that: a file that gets this name just now is replaced.
        try:
            os.rename(name, target, src_dir_fd=folder, dst_dir_fd=target_folder)
        except FileNotFoundError:
            raise FileGone from None
        if not FileVersion.of(look_at(target_folder, target)).has_content_of(version):
            put_back(target_folder, target, folder, name)
            raise FileGone
        with contextlib.suppress(OSError):
            _write_text(target_folder, target, name, why, now)
        return target
    finally:
        os.close(target_folder)


def count_refused(folder: int, subfolder: str, most: int = MOST_COUNTED) -> RefusedFiles:
    """Count the files among at most *most* entries of the subfolder; there are none if it is missing."""
    try:
        opened = os.open(subfolder, _FOLDER, dir_fd=folder)
    except OSError:
        return RefusedFiles()
    sizes: dict[str, int] = {}
    is_all = False
    try:
        with contextlib.suppress(OSError), os.scandir(opened) as entries:  # a share that goes away now
            for entry in itertools.islice(entries, most):
                with contextlib.suppress(OSError):  # a file that is gone
                    if not entry.is_dir(follow_symlinks=False):
                        sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
            is_all = next(entries, None) is None
    finally:
        os.close(opened)
    texts = {names.beside(name, _TEXT) for name in sizes}
    found = [size for name, size in sizes.items() if name not in texts]
    return RefusedFiles(len(found), sum(found), is_all)


def _opened_subfolder(folder: int, subfolder: str) -> int:
    """Return the descriptor of the subfolder, which is made if it is missing, with the rights of its folder."""
    made = False
    with contextlib.suppress(FileExistsError):
        os.mkdir(subfolder, 0o700, dir_fd=folder)
        made = True
    opened = os.open(subfolder, _FOLDER, dir_fd=folder)
    if made:
        rights = os.fstat(folder)
        with contextlib.suppress(OSError):  # a file system without owners, or a group that this process may not give
            os.fchown(opened, -1, rights.st_gid)
        with contextlib.suppress(OSError):
            os.fchmod(opened, stat.S_IMODE(rights.st_mode))
    return opened


def _is_free(folder: int, name: str) -> bool:
    """Return whether neither a file nor its text has this name."""
    for one in (name, names.beside(name, _TEXT)):
        with contextlib.suppress(FileGone):
            look_at(folder, one)
            return False
    return True


def _write_text(folder: int, target: str, name: str, why: str, now: datetime) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = stat.S_IMODE(os.fstat(folder).st_mode) & _MODE_OF_TEXT
    text = os.open(names.beside(target, _TEXT), flags, 0o600, dir_fd=folder)
    with os.fdopen(text, "w", encoding="utf-8", newline="\r\n") as file:
        with contextlib.suppress(OSError):
            os.fchmod(text, mode)
        file.write(f"{names.shown(name)} did not become a job ({now:%Y-%m-%d %H:%M:%S %Z}): {why}.\n")
        file.write("postscan removes nothing from this folder.\n")
