"""Write a backup: database, images, scan processes, what sources keep, and the settings, as one tar file.

The server and its devices go on meanwhile. The images are copied first, then the database, then the images that have
come in between: a row of the copied database has its file, unless the file was removed meanwhile, and then the database
is copied once more. A file that is still written has no row yet, and is left out.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from typing import BinaryIO, Final

from postscan.core.clock import Clock
from postscan.core.errors import PostscanError
from postscan.core.model.principal import Principal
from postscan.core.model.records import AuditLine
from postscan.core.service.administration.backup.manifest import (
    DATA,
    DATABASE,
    NAME,
    PROCESSES,
    SETTINGS,
    BackedUpFile,
    BackupManifest,
)
from postscan.core.settings import Settings
from postscan.core.store.callers import audit
from postscan.core.store.store import Store

LEFT_OUT: Final = frozenset({"run", "ballast", "reload.json"})
"""Entries of the data folder that each server makes anew; so are locks, and the pictures of pages."""

MOST_COPIES: Final = 5
"""Most copies of the database that are made for one backup."""

_VOLATILE: Final = (".lock", ".write-lock", ".write-turn", "-wal", "-shm", "-journal", ".part")
_PICTURES: Final = f"{DATA}spool/pictures/"


class Backup:
    """Makes backups of one installation."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock

    def write(self, target: Path, settings_file: Path | None, by: Principal) -> BackupManifest:
        """Write a backup to *target*, which must be new, and return its manifest; a line of the audit trail has it.

        It can be read by the user of this process alone. *settings_file* is the file that the settings were read from.
        Raises `PostscanError` if the database is not SQLite, or the images lie elsewhere; `StoreBusy`, and `OSError` as
        the file system does; then there is no file.
        """
        if self._store.file is None:
            raise PostscanError(
                f"{self._store.name} is not SQLite; make a copy with pg_dump, and behind it one of the data folder"
            )
        if self._settings.spool.store:
            raise PostscanError(
                f"spool.store is {self._settings.spool.store}; its images are in no backup of this command: copy the "
                "database first, and behind it what the store has"
            )
        with _new_file(target) as opened, tempfile.TemporaryDirectory(dir=target.absolute().parent) as folder:
            with tarfile.open(fileobj=opened, mode="w", format=tarfile.PAX_FORMAT) as tar:
                writing = _BackupTar(tar)
                self._add_all(writing, Path(folder) / DATABASE, settings_file)
                manifest = BackupManifest(
                    version=metadata.version("postscan"), created=self._clock.now(), files=dict(writing.files)
                )
                writing.add_bytes(NAME, manifest.model_dump_json(indent=1).encode())
            with self._store.writing() as db:
                line = AuditLine.of(by, "backup", "installation", self._clock.now(), detail=str(target))
                audit.write_audit(db, line)
        return manifest

    def _add_all(self, writing: _BackupTar, copy: Path, settings_file: Path | None) -> None:
        storage, processes = self._settings.storage, self._settings.processes_dir
        own = frozenset({Path(self._store.file or "").resolve(), processes.resolve()})
        if settings_file is not None:
            writing.add(SETTINGS, settings_file)
        for _ in range(MOST_COPIES):
            _add_folder(writing, DATA, storage.data_dir, own)
            copy.unlink(missing_ok=True)
            self._store.copy_to(copy)
            _add_folder(writing, DATA, storage.data_dir, own)
            if not (missing := _missing(copy, writing)):
                break
        else:
            raise PostscanError(f"images are removed faster than they can be copied: {missing}")
        writing.add(DATABASE, copy)
        _add_folder(writing, PROCESSES, processes, frozenset())


def _missing(database: Path, writing: _BackupTar) -> str:
    """Return an image of an open job in a copied database that was not copied; empty if there is none."""
    with contextlib.closing(Store(f"sqlite:///{database}")) as copied:
        for blob in copied.open_blobs():
            entry = writing.files.get(f"{DATA}spool/{blob.key}")
            if entry is None or entry.size != blob.size:
                return blob.key
    return ""


def _add_folder(writing: _BackupTar, prefix: str, root: Path, own: Collection[Path]) -> None:
    """Add the files below a folder that are new since the last call; *own* are those that are added elsewhere.

    What a server makes anew is left out.
    """
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        left_out = LEFT_OUT if here == root else frozenset()
        folders[:] = [name for name in folders if name not in left_out and (here / name).resolve() not in own]
        for name in sorted(set(names) - left_out):
            path = here / name
            key = prefix + path.relative_to(root).as_posix()
            volatile = name.endswith(_VOLATILE) or key.startswith(_PICTURES) or path.resolve() in own
            if not volatile and not writing.has(key, path):
                writing.add(key, path)


class _BackupTar:
    """Adds files to a tar file, and keeps their sizes and hashes. A later one of the same name replaces the earlier."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._stamps: dict[str, tuple[int, int]] = {}
        self.files: dict[str, BackedUpFile] = {}

    def has(self, name: str, path: Path) -> bool:
        """Return whether a file was added as it is now, by its size and the time of its last change."""
        with contextlib.suppress(OSError):
            found = path.lstat()
            return self._stamps.get(name) == (found.st_size, found.st_mtime_ns)
        return False

    def add(self, name: str, path: Path) -> None:
        """Add a file, as many bytes of it as it has now; leave out links, sockets, and what was removed."""
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return
            opened = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        except (FileNotFoundError, NotADirectoryError):
            return
        with opened:
            found = os.fstat(opened.fileno())
            self._add(name, opened, found.st_size)
            self._stamps[name] = (found.st_size, found.st_mtime_ns)

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add a file with this content."""
        self._add(name, io.BytesIO(content), len(content))

    def _add(self, name: str, content: BinaryIO, size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        hashed = _HashedReading(content)
        self._tar.addfile(entry, hashed)  # type: ignore[arg-type]  # it reads, and nothing else
        self.files[name] = BackedUpFile(size=size, sha256=hashed.hash.hexdigest())


class _HashedReading:
    """A file that hashes what is read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Read at most *size* bytes."""
        part = self._file.read(size)
        self.hash.update(part)
        return part


def _name(part: Path, target: Path) -> None:
    """Give a file its name, which must be free; raise `FileExistsError`."""
    try:
        os.link(part, target)
    except PermissionError:  # a file system without links, as a mounted SMB share
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        part.rename(target)


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    """Yield a file beside the target; on leaving, make it durable, and give it the target's name, if that is free."""
    part = target.with_name(f".{target.name}.part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        _name(part, target)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(target.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
