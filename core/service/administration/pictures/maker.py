"""Make pictures of stored images, each in a worker process of its own, one at a time.

The workers are not those of the filters: a process that makes pictures takes no slot from a server's jobs. One image
costs at most one process, with these limits, whatever is in it.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Final

from postscan.core.errors import PictureUnavailable, Unavailable
from postscan.core.filters.cancellation import CancelSource
from postscan.core.service.administration.pictures.caller_turns import CallerTurns
from postscan.core.spool.pictures import LARGEST, StoredPicture, is_whole
from postscan.core.workers.pool import Workers
from postscan.core.workers.protocol import PICTURE, OrderBroken, OrderFailed, PictureMade, PictureOrder
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Closed, Limits, RunEnd

SECONDS: Final = 10.0
"""For one picture."""

MEMORY: Final = 512 << 20
"""Bytes for one picture."""

OF_CALLER: Final = 6
"""Pictures that one caller may wait for: as many as a browser asks for together."""

OF_ALL: Final = 12
"""Pictures that all callers together may wait for; each of them holds a thread of the console."""

WAIT_SECONDS: Final = 20.0
"""Longest wait for a turn."""

_START_SECONDS: Final = 15.0  # for a process to get the processor and to load Pillow
_RESOURCES: Final = Resources(memory=MEMORY, processor=SECONDS, file=LARGEST, open_files=64)
_LIMITS: Final = Limits(SECONDS, grace=0.1, term=0.1, resources=_RESOURCES, start=_START_SECONDS)


class PictureMaker:
    """Makes pictures; starts no process before the first one. Close it when done."""

    def __init__(self, run_dir: Path, limits: Limits = _LIMITS) -> None:
        self._run_dir = run_dir
        self._limits = limits
        self._workers = Workers()
        self._turns = CallerTurns(OF_CALLER, OF_ALL, WAIT_SECONDS)

    def close(self) -> None:
        """End the worker that is left; pictures that are waited for are not made any more."""
        self._workers.close()

    def make(self, image: Path, format: str, page: int, side: int, caller: str) -> StoredPicture:
        """Return a picture of one page of an image, at most *side* pixels long and wide.

        Raises `PictureUnavailable`; `Unavailable` if too many are waited for, or if no process can be started.
        """
        try:
            with (
                self._turns.turn(caller),
                tempfile.TemporaryDirectory(prefix="picture-", dir=self._run_dir, ignore_cleanup_errors=True) as folder,
                CancelSource() as source,
                self._workers.slot() as slot,
            ):
                order = PictureOrder(workdir=Path(folder), image=image, format=format, page=page, side=side)
                end = slot.run(order, source, self._limits, lambda _message: None)
                made = self._made(end)
                return StoredPicture(_read(Path(folder) / PICTURE), made.pages)
        except (Closed, OSError, EOFError, MemoryError) as error:
            raise Unavailable(f"no picture can be made now: {_text(error)}") from None

    def _made(self, end: RunEnd) -> PictureMade:
        """Return the result of a worker; raise `PictureUnavailable`, or `Unavailable` if it has not begun."""
        if isinstance(end.result, PictureMade):
            return end.result
        if not end.begun:
            raise Unavailable("no picture can be made now: no process could begin in time")
        if end.late or end.exit_code == -signal.SIGXCPU:
            raise PictureUnavailable(f"it takes longer than {self._limits.seconds:g} s to read")
        if isinstance(end.result, OrderFailed | OrderBroken):
            raise PictureUnavailable(end.result.error)
        raise PictureUnavailable("the process that read it did not come to its end")


def _read(path: Path) -> bytes:
    """Return what the worker has written, if it is a picture: the image may have taken over the worker."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor)
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST or not is_whole(data):
        raise PictureUnavailable("the process that read it wrote no picture")
    return data


def _text(error: BaseException) -> str:
    """Return the reason of an error, without the path of a file."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
