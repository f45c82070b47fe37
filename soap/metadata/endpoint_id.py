"""The endpoint name of the server: a UUID that is generated once and stored in the data folder.

Metadata and discovery send it to devices, which recognise the server by it after a restart or a change of address.
Source: dpws.md sections 4 and 6.3 (R0004 to R0006).
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import uuid
from pathlib import Path
from typing import Final

from postscan.core.errors import SettingsError

FILE: Final = "endpoint-id"

_ID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def endpoint_id(data_dir: Path) -> str:
    """Return the server's name, `urn:uuid:` and a GUID in lower case; generate it if there is none.

    Processes that call this at the same time get the same name. Raises `SettingsError` if the file in *data_dir* has
    another content, or can be neither read nor written.
    """
    file = data_dir / FILE
    try:
        if not file.exists():
            _create(file)
        text = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: the name of this server cannot be stored there: {error}") from error
    if not _ID.fullmatch(text):
        raise SettingsError(
            f"{file}: holds {text[:64]!r}; expected urn:uuid: and a GUID in lower case, or no such file"
        )
    return text


def adopt(data_dir: Path, name: str) -> None:
    """Let the servers of one database have one name: store *name* unless it is this server's already.

    Raises `SettingsError` if it cannot be stored.
    """
    if endpoint_id(data_dir) == name:
        return
    file = data_dir / FILE
    try:
        with tempfile.NamedTemporaryFile("w", prefix=f".{FILE}-", dir=data_dir, encoding="ascii", delete=False) as new:
            new.write(f"{name}\n")
            new.flush()
            os.fsync(new.fileno())
        Path(new.name).replace(file)
        _sync(data_dir)
    except OSError as error:
        raise SettingsError(f"{file}: the name of this server cannot be stored there: {error}") from error


def _create(file: Path) -> None:
    """Create the file with all of its content, unless another process has created it."""
    with tempfile.NamedTemporaryFile("w", prefix=f".{FILE}-", dir=file.parent, encoding="ascii") as temporary:
        temporary.write(f"urn:uuid:{uuid.uuid4()}\n")
        temporary.flush()
        os.fsync(temporary.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary.name, file)
    _sync(file.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
