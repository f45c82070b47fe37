"""What systemd is told of this process: that it is ready, that it stops, and again and again that it works.

One datagram for each message, as sd_notify(3) describes them. Outside of systemd nothing is sent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Final

log = logging.getLogger(__name__)

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"

_SECONDS: Final = 2.0  # for one datagram


class ServiceManager:
    """The socket of systemd, and how often it expects to hear that the process works; see `of_environment`."""

    def __init__(self, address: str, watchdog_seconds: float | None) -> None:
        self._address = address
        self._watchdog_seconds = watchdog_seconds
        self._has_failed = False

    @classmethod
    def of_environment(cls, environment: MutableMapping[str, str] = os.environ) -> ServiceManager:
        """Return what the environment names, and take it out, so that no program that a filter starts gets it."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", str(os.getpid()))
        is_ours = microseconds.isdecimal() and int(microseconds) > 0 and process == str(os.getpid())
        return cls(address, int(microseconds) / 1e6 if is_ours else None)

    def tell(self, *messages: str) -> None:
        """Send the messages; log the first time that it fails."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SECONDS)
                sender.sendto("\n".join(messages).encode(), address)
        except OSError as error:
            if not self._has_failed:
                log.warning("systemd not told", extra={"reason": str(error)})
            self._has_failed = True

    @contextlib.contextmanager
    def watched(self, works: Callable[[], bool]) -> Iterator[None]:
        """Tell that the process works while the body runs, as long as *works* returns True; in a thread of its own.

        systemd ends the process if it hears nothing for the time that its unit sets; it is told three times as often.
        """
        if not self._address or self._watchdog_seconds is None:
            yield
            return
        pause, over = self._watchdog_seconds / 3, threading.Event()

        def loop() -> None:
            while True:
                if works():
                    self.tell(WATCHDOG)
                if over.wait(pause):
                    return

        thread = threading.Thread(target=loop, name="postscan-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
