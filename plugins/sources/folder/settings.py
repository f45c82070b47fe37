"""The settings of the source Folder."""

from __future__ import annotations

import math
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from postscan.plugins import setting

TEMPORARY: Final = ("*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.uploading", "~*")
"""Names under which programs write a file before they rename it."""

IGNORED: Final = ("thumbs.db", "ehthumbs.db", "desktop.ini")
"""Files that Windows makes in every folder; those of macOS and Samba have names that begin with a dot."""


@dataclass(frozen=True)
class Settings:
    """`[sources.<name>]` with `plugin = "folder"`: what is watched, and when a file has ended."""

    folder: str = setting(help="the folder, an absolute path; files in it or in one subfolder for each destination")
    end_mark: Literal["content", "rename"] = setting(
        "content",
        help="how a file ends: content, it is whole and has not changed for quiet_seconds; "
        "rename, it is complete when it gets a name that is not temporary",
    )
    quiet_seconds: float = setting(5.0, help="seconds without a change before a file is read, with content")
    temporary: tuple[str, ...] = setting(
        TEMPORARY, help="patterns of names under which a file only arrives; names that begin with a dot always are"
    )
    ignored: tuple[str, ...] = setting(IGNORED, help="patterns of names that are left alone")
    refused: str = setting("refused", help="name of the subfolder for files that are refused")
    owners: tuple[str, ...] = setting((), help="users whose files are taken; empty: those of all")
    most_bytes: int = setting(2 << 30, help="most bytes of a file")
    poll: bool = setting(
        False, help="do not ask the kernel for changes; it is not asked on network file systems either"
    )
    poll_seconds: float = setting(10.0, help="seconds between two looks at the folder if nothing tells of a change")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a value that cannot be used."""
        if not isinstance(self.folder, str) or not Path(self.folder).is_absolute():
            raise ValueError(f"folder: {self.folder!r}; expected an absolute path")
        if self.end_mark not in ("content", "rename"):
            raise ValueError(f"end_mark: {self.end_mark!r}; expected content or rename")
        for name in ("quiet_seconds", "poll_seconds", "most_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name}: {value!r}; expected a number above 0")
        for name in ("temporary", "ignored", "owners"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(one, str) and one for one in value):
                raise ValueError(f"{name}: expected a list of texts")
        if not self.refused or "/" in self.refused or self.refused.startswith("."):
            raise ValueError(f"refused: {self.refused!r}; expected a name without / that begins with no dot")
        _ = self.owner_ids

    @property
    def owner_ids(self) -> frozenset[int]:
        """The numbers of the users whose files are taken; empty for all. Raises `ValueError` for an unknown name."""
        return frozenset(_user_id(one) for one in self.owners)


def _user_id(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ValueError(f"owners: this machine has no user {name!r}") from None
