"""Install the files for systemd below a root folder: the unit, its user, and who may read its settings."""

from __future__ import annotations

import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from postscan.core.errors import SettingsError

FILES: Final = {
    "postscan.service.in": "etc/systemd/system/postscan.service",
    "sysusers.conf.in": "etc/sysusers.d/postscan.conf",
    "tmpfiles.conf.in": "etc/tmpfiles.d/postscan.conf",
}
"""The shipped files, and where each is installed below the root folder. They are those of the administrator: `/etc`."""

HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  (none of them is written to)
"""Folders that the unit hides from the server, or of which it has its own."""

_MODE: Final = 0o644
_PROGRAM: Final = "@postscan@"


class InstalledFile(NamedTuple):
    """A file below the root folder; `is_changed` tells whether this installation has written it."""

    path: Path
    is_changed: bool


def install(root: Path, program: Path, *, overwrite: bool = False) -> list[InstalledFile]:
    """Write the files below *root*; return them. *program* is the path of `postscan` when the unit runs.

    A file that has its text already stays as it is. Raises `SettingsError`, and writes nothing, if a file is there with
    another text, unless *overwrite* is true; and for a program whose path a unit cannot name. Raises `OSError`.
    """
    if not program.is_absolute() or any(character in str(program) for character in " \t\n\"'\\%$;"):
        raise SettingsError(f"{program}: a unit cannot name this path; install postscan in another folder")
    if any(program.is_relative_to(folder) for folder in HIDDEN):
        raise SettingsError(f"{program}: the unit hides this path; install postscan elsewhere, such as /opt/postscan")
    texts = {root / place: _text(name, program) for name, place in FILES.items()}
    found = {path: _read(path) for path in texts}
    others = [str(path) for path, text in found.items() if text is not None and text != texts[path]]
    if others and not overwrite:
        raise SettingsError(f"{', '.join(others)}: differs from what is shipped; --overwrite replaces it")
    for path, text in texts.items():
        if found[path] != text:
            _write(path, text)
    return [InstalledFile(path, found[path] != text) for path, text in texts.items()]


def _text(name: str, program: Path) -> str:
    text = resources.files("postscan.cli.systemd").joinpath(name).read_text("utf-8")
    return text.replace(_PROGRAM, str(program))


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Replace a file in one step: systemd may read it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
