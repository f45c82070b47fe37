"""What a server has done at its last reload, as a file of the data folder that `postscan reload` reads.

It is there while the server handles the signal.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

NAME: Final = "reload.json"


@dataclass(frozen=True)
class ReloadReport:
    """The reload with this number of a server; 0 stands for its start. `server` is the name of its process.

    `taken` are the settings that it has taken over, `restart` those that differ and need a restart. `certificates`
    says that it has read the files of TLS again. `error` is why it has failed. No two reports have the same `id`.
    """

    server: str
    number: int = 0
    taken: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    certificates: bool = False
    error: str = ""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def write(folder: Path, report: ReloadReport) -> None:
    """Replace the report in a data folder. Raises `OSError`."""
    part = folder / f"{NAME}.part"
    part.write_text(json.dumps(asdict(report)), "utf-8")
    part.chmod(0o600)
    part.replace(folder / NAME)


def read(folder: Path) -> ReloadReport | None:
    """Return the report in a data folder; None if there is none that this version has written."""
    try:
        fields = json.loads((folder / NAME).read_text("utf-8"))
        return ReloadReport(**{**fields, "taken": tuple(fields["taken"]), "restart": tuple(fields["restart"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def remove(folder: Path) -> None:
    """Remove the report in a data folder, if there is one. Raises `OSError`."""
    (folder / NAME).unlink(missing_ok=True)
