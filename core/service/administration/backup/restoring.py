"""Return a backup into an empty data folder: checked while it is unpacked, and there as a whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import ValidationError

from postscan.core.errors import PostscanError
from postscan.core.service.administration.backup.manifest import (
    DATA,
    DATABASE,
    FORM,
    NAME,
    PROCESSES,
    SETTINGS,
    BackedUpFile,
    BackupManifest,
)
from postscan.core.settings import Settings

MOST_MANIFEST: Final = 1 << 28
"""Bytes: a million files have a third of that."""

_SQLITE: Final = "sqlite:///"
_CHUNK: Final = 1 << 20


def restore(backup: Path, settings: Settings, settings_file: Path | None = None) -> BackupManifest:
    """Unpack a backup for an installation with these settings, which has no data yet, and return its manifest.

    Its settings are written to *settings_file*, which must be new; without one they are left out. Raises
    `PostscanError` for a file that is no whole backup, and for an installation that has data; then nothing is changed.
    `OSError` as the file system does.
    """
    places = _places(settings, settings_file)
    for place in places.values():
        _check_free(place)
    data = places[DATA]
    data.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{data.name}-", dir=data.parent) as folder, _tar(backup) as tar:
        staged = Path(folder)
        manifest = _manifest(tar, backup)
        for name, entry in manifest.files.items():
            _unpack(tar, name, entry, staged / _safe(name))
        _place(staged, places)
    return manifest


def _places(settings: Settings, settings_file: Path | None) -> dict[str, Path]:
    """Return where each part of a backup goes, the data folder last, since it can have the others."""
    storage = settings.storage
    if not storage.url.startswith(_SQLITE):
        raise PostscanError(f"storage.database is {storage.database}; expected an SQLite file, or none")
    places = {DATABASE: Path(storage.url.removeprefix(_SQLITE)), PROCESSES: settings.processes_dir}
    if settings_file is not None:
        places[SETTINGS] = settings_file
    if settings.spool.store:
        raise PostscanError(f"spool.store is {settings.spool.store}; expected none: a backup has its images with it")
    return {name: path.absolute() for name, path in places.items()} | {DATA: storage.data_dir.absolute()}


def _check_free(place: Path) -> None:
    """Raise `PostscanError` for a file that is there, or for a folder with anything in it."""
    if place.is_dir() and any(place.iterdir()):
        raise PostscanError(f"{place}: is not empty; expected a new or an empty folder")
    if place.exists() and not place.is_dir():
        raise PostscanError(f"{place}: is there already, and is not replaced")


def _place(staged: Path, places: Mapping[str, Path]) -> None:
    """Move the parts to their places; what belongs below the data folder comes there with it, in one step."""
    data = places[DATA]
    (staged / DATA).mkdir(mode=0o700, exist_ok=True)
    for name, place in places.items():
        part = staged / name
        if not part.exists():
            continue
        if place.is_dir():
            place.rmdir()
        goal = staged / DATA / place.relative_to(data) if data in place.parents else place
        goal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.move(part, goal)


@contextlib.contextmanager
def _tar(backup: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(backup, "r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError) as error:
        raise PostscanError(f"{backup}: is no whole backup: {error}") from error


def _safe(name: str) -> PurePosixPath:
    """Return the path of a file below the folder it is unpacked into; raise `PostscanError` for one that leads out."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise PostscanError(f"{name!r}: is not the name of a file in a backup")
    return path


def _manifest(tar: tarfile.TarFile, backup: Path) -> BackupManifest:
    try:
        member = tar.getmember(NAME)
        opened = tar.extractfile(member)
        content = opened.read(MOST_MANIFEST) if opened and member.size <= MOST_MANIFEST else b""
        manifest = BackupManifest.model_validate_json(content)
    except KeyError:
        raise PostscanError(f"{backup}: has no {NAME}; it was cut, or is no backup") from None
    except ValidationError as error:
        raise PostscanError(f"{backup}: its {NAME} cannot be read: {error.errors()[0]['msg']}") from None
    if manifest.form != FORM:
        raise PostscanError(f"{backup}: is a backup of form {manifest.form}; this version reads form {FORM}")
    return manifest


def _unpack(tar: tarfile.TarFile, name: str, entry: BackedUpFile, path: Path) -> None:
    """Write one file, and compare it with the manifest."""
    found = hashlib.sha256()
    try:
        opened = tar.extractfile(name)
    except KeyError:
        opened = None
    if opened is None:
        raise PostscanError(f"{name}: is in the manifest of the backup, and not in the backup")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        while part := opened.read(_CHUNK):
            found.update(part)
            written.write(part)
        written.flush()
        os.fsync(written.fileno())
        size = written.tell()
    if (size, found.hexdigest()) != (entry.size, entry.sha256):
        raise PostscanError(f"{name}: differs from the manifest of the backup, which was changed or damaged")
