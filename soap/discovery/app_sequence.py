"""The AppSequence of WS-Discovery: the number of the server's run, and the number of a message within the run.

Clients drop messages with lower numbers than they have seen, so neither number decreases, even if the wall clock does.
Source: dpws.md section 6.1; DPW-013, DPW-014.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Final

from postscan.core.errors import SettingsError
from postscan.soap.discovery.messages import SequenceNumber

FILE: Final = "discovery-instance"
LARGEST: Final = 2**32 - 1


class AppSequence:
    """Numbers the messages of one run; *instance* is the number of the run."""

    def __init__(self, instance: int) -> None:
        self.instance = instance
        self._number = 0

    def begin(self, instance: int) -> None:
        """Begin another run, whose number is larger."""
        self.instance, self._number = instance, 0

    def next(self) -> SequenceNumber:
        """Return the number of the next message."""
        self._number += 1
        return SequenceNumber(self.instance, self._number)


def begin(data_dir: Path, now: datetime) -> AppSequence:
    """Begin a run. Its number is *now* in seconds since 1970, or one more than that of the last run if that is larger.

    The caller holds the lock of *data_dir*. Raises `SettingsError` if the file there has another content or cannot be
    written.
    """
    file = data_dir / FILE
    try:
        instance = max(int(now.timestamp()), _last(file) + 1)
        if instance > LARGEST:
            raise SettingsError(f"{file}: no number is left after the last one; delete it")
        _store(file, instance)
    except OSError as error:
        raise SettingsError(f"{file}: the number of this run cannot be stored there: {error.strerror}") from error
    return AppSequence(instance)


def _last(file: Path) -> int:
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return 0
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{file}: holds {text[:64]!r}; expected a number, or no such file") from None


def _store(file: Path, instance: int) -> None:
    temporary = file.with_name(f".{FILE}")
    with temporary.open("w") as writing:
        writing.write(f"{instance}\n")
        writing.flush()
        os.fsync(writing.fileno())
    temporary.replace(file)
