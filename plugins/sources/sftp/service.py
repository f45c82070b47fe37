"""What all connections of an inlet share."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from postscan.plugins import SourceContext
from postscan.plugins.sources.sftp.settings import Settings
from postscan.plugins.sources.uploads.files import Files
from postscan.plugins.sources.uploads.folders import Folders
from postscan.plugins.sources.uploads.intake import Intake
from postscan.plugins.sources.uploads.places import Places
from postscan.plugins.sources.uploads.space import UploadSpace

PASSWORDS: Final = 4
"""Passwords and keys that are looked at at a time; the others wait, and files do not wait for them."""

STORED: Final = 16
"""Files that are examined and stored at a time."""

_TRACE: Final = 1000  # characters of a trace in the log

Result = TypeVar("Result")


@dataclass
class SftpService:
    """The parts that connections share; all of it is for the thread of the loop."""

    inlet: SourceContext
    settings: Settings
    intake: Intake
    folders: Folders
    files: Files
    places: Places
    space: UploadSpace
    is_stopping: bool = False
    connections: dict[Any, None] = field(default_factory=dict)  # the oldest first
    logins: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(PASSWORDS, "sftp-login"))
    storing: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(STORED, "sftp-file"))

    async def checked(self, work: Callable[[], Result]) -> Result:
        """Run *work* about a login, which waits, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.logins, work)

    async def stored(self, work: Callable[[], Result]) -> Result:
        """Run *work* about a file, which waits, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.storing, work)

    def failed(self, message: str) -> None:
        """Log the error that is being handled, with the place where it was raised: one of our own."""
        self.inlet.log(message, "error", reason=traceback.format_exc(limit=-3)[-_TRACE:])
