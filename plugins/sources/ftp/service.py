"""What all sessions of an inlet share, and what they do in threads of their own."""

from __future__ import annotations

import ssl
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from postscan.plugins import SourceContext
from postscan.plugins.sources.ftp.settings import Settings
from postscan.plugins.sources.uploads.files import Files
from postscan.plugins.sources.uploads.folders import Folders
from postscan.plugins.sources.uploads.intake import Intake
from postscan.plugins.sources.uploads.places import Places
from postscan.plugins.sources.uploads.space import UploadSpace

READ_BYTES: Final = 256 * 1024
"""Most bytes of one read of a file."""

_TRACE: Final = 1000  # characters of a trace in the log

Result = TypeVar("Result")


@dataclass
class FtpService:
    """The parts that sessions share; `call` runs a function in the thread of the loop, from any other.

    All data connections read into the same `memory`: what one has read is written before the next one reads.
    """

    inlet: SourceContext
    settings: Settings
    context: ssl.SSLContext | None
    intake: Intake
    folders: Folders
    files: Files
    places: Places
    space: UploadSpace
    call: Callable[[Callable[[], object]], bool]
    is_stopping: bool = False
    sessions: dict[Any, None] = field(default_factory=dict)  # the oldest first
    memory: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)), repr=False)

    @property
    def ports(self) -> range | None:
        """The ports for passive connections; None for any."""
        return self.settings.data_ports()

    def failed(self, message: str = "session failed") -> None:
        """Log the error that is being handled: one of our own."""
        log_failure(self.inlet, message)

    def in_thread(self, work: Callable[[], Result], done: Callable[[Result | BaseException], object]) -> None:
        """Run *work*, which waits, in a thread; call *done* in the loop with what it returned or raised.

        A session has one such thread at a time and keeps its place for it, so their number is that of the sessions.
        The thread is a daemon: it cannot hold up the end of the process.
        """

        def run() -> None:
            try:
                result: Result | BaseException = work()
            except BaseException as error:  # noqa: BLE001  (`Cancelled` too is for the session)
                result = error
            self.call(lambda: done(result))

        try:
            threading.Thread(target=run, name="postscan-ftp", daemon=True).start()
        except RuntimeError as error:  # no room for a further thread
            no_room = error
            self.call(lambda: done(no_room))


def log_failure(inlet: SourceContext, message: str = "session failed") -> None:
    """Log the error that is being handled, with the place where it was raised."""
    inlet.log(message, "error", reason=traceback.format_exc(limit=-3)[-_TRACE:])
