"""Cancel a filter: the source that the server sets, and the token that the filter checks.

A `CancelSource` belongs to the server; a `CancellationToken` to the filter, in another process. Both map one page of
shared memory: it needs no lock that a killed worker could leave held, and a check costs a tenth of a microsecond.
The token says that the cancel was requested. Whether the filter has stopped is known when its processes have ended.

A token sleeps on the read end of a pipe whose write end the server alone has, and closes at the cancel: the hang-up
wakes every thread and every forked process that sleeps on it, and nothing that a filter reads takes it back. A filter
that closes its end, or puts another file in its place, only makes its own token poll (decision 67).

The page is an anonymous file in memory whose size is sealed. An access to a mapped page that its file has lost, or that
the disk has no room for, is a SIGBUS for the server; no filter and no full disk can cause that here. A filter can write
to the whole page, so the server decides nothing by it: `CancelSource` remembers the cancel itself.

The page, in native byte order:

    0       1 once cancelled, and never 0 again         (the server writes)
    8..16   the tick at which the process is killed     (the server writes, before byte 0)
    16..24  how often the filter checked                (the filter writes)
    24..32  the longest time between two checks         (the filter writes)
    32..40  the tick of the last check                  (the filter writes)
    64..    the reason, UTF-8, ends with NUL            (the server writes, before byte 0)
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import struct
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Self

PAGE = 4096
PULSE = 0.1  # seconds after which a sleeping token looks at its page in any case
POLL = 0.01  # the same without the pipe: fifty of them cost a tenth of a core

_DOUBLE = struct.Struct("d")
_COUNT = struct.Struct("Q")
_DEADLINE, _CHECKS, _LONGEST, _LAST, _REASON = 8, 16, 24, 32, 64
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_MOST_CHECKS = (1 << 31) - 1  # that are counted


class Cancelled(BaseException):
    """The job was cancelled while its filter was running.

    It is not an `Exception`, so that `except Exception` in a filter does not catch it by accident. A filter may catch
    it to clean up, and raises it again.
    """


class Checks(NamedTuple):
    """How well a run checked its token: how often, and the longest time in seconds between two checks."""

    number: int
    longest: float


class CancellationToken:
    """A filter's view of the cancel, which it can read and not set.

    Call `check` before each document and around each slow call. A token never goes back: once cancelled, every
    later `check` raises again.
    """

    def __init__(self, page: mmap.mmap, wake: int | None = None) -> None:
        self._page = page
        self._wake = wake
        self._shielded = 0
        _DOUBLE.pack_into(page, _LAST, time.monotonic())

    @classmethod
    def open(cls, page: int, wake: int | None = None) -> Self:
        """Attach to the page of a `CancelSource`, given as a descriptor, which stays open.

        *wake* is the descriptor of that name; the token uses it as long as it exists. Without it the token polls.
        """
        return cls(mmap.mmap(page, PAGE), wake)

    @property
    def cancelled(self) -> bool:
        """True once the cancel was requested, and from then on."""
        self._record_check()
        return self._page[0] != 0

    @property
    def reason(self) -> str:
        """Why the filter has to stop; empty until then."""
        text = self._page[_REASON:PAGE] if self._page[0] else b""
        return text.partition(b"\0")[0].decode("utf-8", "replace")

    @property
    def deadline(self) -> float | None:
        """When the process will be killed, on `time.monotonic()`; None until the cancel."""
        if not self._page[0]:
            return None
        at: float = _DOUBLE.unpack_from(self._page, _DEADLINE)[0]
        return at

    def check(self) -> None:
        """Raise `Cancelled` if the cancel was requested."""
        if self.cancelled and not self._shielded:
            raise Cancelled(self.reason)

    def wait(self, seconds: float) -> bool:
        """Sleep for *seconds* or until the cancel, whichever is first; return whether it is cancelled."""
        end = time.monotonic() + seconds
        while not self.cancelled:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._sleep(left)
        return True

    @contextlib.contextmanager
    def calling(self, stop: Callable[[], object]) -> Iterator[None]:
        """Call *stop* from another thread if the cancel comes while the body runs, then raise `Cancelled`.

        For what cannot check a token by itself: a socket, an upload, a child process.
        """
        over = _End()

        def watch() -> None:
            while not over.is_set():
                self._record_time()
                if self._page[0]:
                    stop()
                    return
                self._sleep(PULSE, over)

        watcher = threading.Thread(target=watch, name="postscan-cancel", daemon=True)
        self.check()
        watcher.start()
        try:
            yield
        except Exception:
            self.check()  # the body failed because it was stopped: the cancel is the cause
            raise
        finally:
            over.set()
            watcher.join()
            over.close()
        self.check()

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Let the body finish: `check` does not raise inside it, and raises at the first check after it.

        For a short commit section, at most about two seconds; the kill comes at `deadline` all the same.
        """
        self._shielded += 1
        try:
            yield
        finally:
            self._shielded -= 1

    def _sleep(self, seconds: float, over: _End | None = None) -> None:
        """Sleep until the cancel, until *over* is set, or for at most *seconds*; may return early."""
        end = over.descriptor if over is not None else None
        if self._wake is None or (over is not None and end is None):
            pause = min(seconds, POLL)
            if over is None:
                time.sleep(pause)
            else:
                over.wait(pause)
            return
        poll = select.poll()
        poll.register(self._wake, 0)  # a hang-up is always reported
        if end is not None:
            poll.register(end, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(1000 * min(seconds, PULSE))]
        if self._wake in ready and not self._page[0]:
            self._wake = None  # the filter has closed or replaced it
        if over is not None and end in ready and not over.is_set():
            over.descriptor = None

    def _record_check(self) -> None:
        """Count this check for the receipt."""
        self._record_time()
        _COUNT.pack_into(self._page, _CHECKS, _COUNT.unpack_from(self._page, _CHECKS)[0] + 1)

    def _record_time(self) -> None:
        now = time.monotonic()
        gap = now - _DOUBLE.unpack_from(self._page, _LAST)[0]
        if gap > _DOUBLE.unpack_from(self._page, _LONGEST)[0]:
            _DOUBLE.pack_into(self._page, _LONGEST, gap)
        _DOUBLE.pack_into(self._page, _LAST, now)


class _End(threading.Event):
    """The end of a call, with a descriptor that is readable from then on; None if the process can open no more."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptor: int | None = None
        with contextlib.suppress(OSError):
            self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        """Wake the thread that waits."""
        super().set()
        if self.descriptor is not None:
            with contextlib.suppress(OSError):  # closed by the filter
                os.eventfd_write(self.descriptor, 1)

    def close(self) -> None:
        """Close the descriptor."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self.descriptor)


class CancelSource:
    """The server's end: one per filter run; `patience` is the number of seconds between the cancel and the kill.

    `page` is the descriptor of the page, and `wake` the read end of the pipe, both for the worker. `fileno` becomes
    readable at the cancel, so that a thread that waits for the worker wakes at once. `cancelled_at` is the moment of
    the cancel on `time.monotonic()`; None before.
    """

    def __init__(self, *, patience: float = 7.0) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._made = time.monotonic()
        self.cancelled_at: float | None = None
        with contextlib.ExitStack() as opened:
            self.page = _sealed_page()
            opened.callback(os.close, self.page)
            self._page = mmap.mmap(self.page, PAGE)
            self.wake, held = os.pipe()
            opened.callback(os.close, self.wake)
            self._held = opened.enter_context(os.fdopen(held, "wb", buffering=0))
            self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            opened.callback(os.close, self._wakeup)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable once the cancel was requested."""
        return self._wakeup

    @property
    def cancelled(self) -> bool:
        """True once `cancel` was called."""
        return self.cancelled_at is not None

    @property
    def checks(self) -> Checks:
        """How well the filter has checked its token so far, by what it has written into the page."""
        number: int = _COUNT.unpack_from(self._page, _CHECKS)[0]
        return Checks(min(number, _MOST_CHECKS), self._possible(_DOUBLE.unpack_from(self._page, _LONGEST)[0]))

    @property
    def unchecked(self) -> float:
        """Seconds since the filter last checked its token; 0 if it has not opened one."""
        last: float = _DOUBLE.unpack_from(self._page, _LAST)[0]
        return self._possible(time.monotonic() - last) if last else 0.0

    def cancel(self, reason: str) -> bool:
        """Request the filter to stop; its token has the time of the kill from now on.

        Return whether this call did it: the first one counts, from whichever thread.
        """
        with self._lock:
            if self.cancelled_at is not None:
                return False
            self.cancelled_at = time.monotonic()
        text = reason.encode()[: PAGE - _REASON - 1]
        self._page[_REASON : _REASON + len(text)] = text
        _DOUBLE.pack_into(self._page, _DEADLINE, self.cancelled_at + self._patience)
        self._page[0] = 1
        self._held.close()
        os.eventfd_write(self._wakeup, 1)
        return True

    def wait(self, seconds: float) -> bool:
        """Sleep for *seconds* or until the cancel, whichever is first; return whether it was requested."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        return bool(poll.poll(1000 * seconds))

    def token(self) -> CancellationToken:
        """Return the token of this source for use in this process."""
        return CancellationToken(self._page, self.wake)

    def _possible(self, seconds: float) -> float:
        """Return a time that a filter claims; the age of this source if it is negative, longer than that, or NaN."""
        age = time.monotonic() - self._made
        return seconds if 0.0 <= seconds <= age else age

    def close(self) -> None:
        """Close the descriptors; a worker that has the page mapped can still read it."""
        self._opened.close()


def _sealed_page() -> int:
    """Return the descriptor of a page of memory whose size nothing can change."""
    page = os.memfd_create("postscan-token", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(page, 0, PAGE)
        fcntl.fcntl(page, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(page)
        raise
    return page
