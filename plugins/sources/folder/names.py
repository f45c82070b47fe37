"""Names of files: which are left alone, how one is shown, and which is free.

A name is the text that Python makes of its bytes: bytes that are not UTF-8 are lone surrogates in it, and the name
still leads to its file.
"""

from __future__ import annotations

import fnmatch
import os
import secrets
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

LONGEST: Final = 255
"""Most bytes of a name on the file systems of Linux."""

_ASIDE: Final = ".postscan-"
_MARK_BYTES: Final = 4


def is_hidden(name: str) -> bool:
    """Return whether a name begins with a dot.

    Such names have the files of macOS (`._scan.pdf`, `.DS_Store`), what Samba creates before it renames it
    (`.::TMPNAME:`), what NFS and SMB clients keep of removed files (`.nfs0001`, `.smb0001`), and the files that rsync
    and file managers write before they rename them.
    """
    return name.startswith(".")


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name fits one of the patterns, without regard to case."""
    folded = name.casefold()
    return any(fnmatch.fnmatchcase(folded, pattern.casefold()) for pattern in patterns)


def shown(name: str) -> str:
    """Return a name as text that can be stored and shown: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def numbered(name: str) -> str:
    """Return another name for a file whose name is taken, with the same suffix and at most `LONGEST` bytes."""
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    mark = f"-{secrets.token_hex(_MARK_BYTES)}"
    room = LONGEST - len(mark) - len(os.fsencode(suffix))
    return _cut(stem, room) + mark + suffix if room > 0 else _cut(name, LONGEST - len(mark)) + mark


def beside(name: str, suffix: str) -> str:
    """Return the name of a file that belongs to another one: its name with a suffix, at most `LONGEST` bytes."""
    return _cut(name, LONGEST - len(suffix)) + suffix


def aside(name: str) -> str:
    """Return the hidden name that a file has while it is being removed; `put_back_name` returns the first one."""
    return _cut(f"{_ASIDE}{secrets.token_hex(_MARK_BYTES)}-{name}", LONGEST)


def put_back_name(hidden: str) -> str:
    """Return the name that a hidden one of `aside` stands for; "" if it is none."""
    mark = len(_ASIDE) + 2 * _MARK_BYTES
    return hidden[mark + 1 :] if hidden.startswith(_ASIDE) and hidden[mark : mark + 1] == "-" else ""


def _cut(name: str, length: int) -> str:
    return os.fsdecode(os.fsencode(name)[:length])
