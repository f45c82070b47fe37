"""The manifest of a backup: what is in it, with sizes and hashes. It is the last entry of the file.

A file that was cut has no manifest, and is no backup.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

NAME: Final = "manifest.json"
DATABASE: Final = "database.sqlite"
SETTINGS: Final = "settings.toml"
DATA: Final = "data/"
"""Before the names of files of the data folder."""

PROCESSES: Final = "processes/"
"""Before the names of scan processes, wherever their folder is."""

FORM: Final = 1


class BackedUpFile(BaseModel):
    """One file: its size in bytes, and its SHA-256 as 64 hexadecimal digits."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class BackupManifest(BaseModel):
    """The files of a backup by their names in it, when it was begun (UTC), and the version that has made it."""

    model_config = ConfigDict(frozen=True)

    form: int = FORM
    version: str
    created: datetime
    files: dict[str, BackedUpFile]
