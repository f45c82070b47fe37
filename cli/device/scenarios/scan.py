"""One scan: the images go out, somebody may press Stop, and the job is watched until it has ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postscan.cli.device.client import Device, DeviceError, ReportedJob, SoapFault
from postscan.cli.output import terminal
from postscan.core.model.process import short_name

if TYPE_CHECKING:
    from rich.console import Console

POLL: Final = 0.1  # seconds between two GetPostScanJobElements


@dataclass(frozen=True, slots=True)
class Page:
    """One file to send: `format` is the protocol's keyword, `size` in bytes."""

    number: int
    file: Path
    format: str
    size: int


@dataclass(frozen=True, slots=True)
class Stop:
    """When to cancel: so many seconds after the end of the images, or after so many images; None is never."""

    seconds: float | None = None
    images: int | None = None


class Scan:
    """The device's side of one job, told line by line with the seconds since it began."""

    def __init__(self, device: Device, token: str, console: Console) -> None:
        self._device = device
        self._token = token
        self._console = console
        self._begun = time.monotonic()
        self._stopped = False
        self._say(f"Job {token} created at {device.url}")

    def run(self, pages: Sequence[Page], stop: Stop, *, wait: bool) -> ReportedJob | None:
        """Send the pages and return how the job ended; None if nobody waits for that."""
        cancel_at = None
        try:
            with self._withdrawn_on_error():
                cancel_at = self._deliver(pages, stop)
        except KeyboardInterrupt:
            self._press_stop()
        return self._follow(cancel_at) if wait else None

    def _deliver(self, pages: Sequence[Page], stop: Stop) -> float | None:
        """Send what is to be sent before the end or the cancel; return when to cancel later on."""
        for page in pages[: stop.images]:
            self._send(page)
        if stop.images is not None:
            self._cancel()
            return None
        self._device.end(self._token)
        self._say(f"EndPostScanJob: {len(pages)} image{'' if len(pages) == 1 else 's'} sent")
        return None if stop.seconds is None else time.monotonic() + stop.seconds

    def _send(self, page: Page) -> None:
        with _bar(self._console, page) as sent:
            self._device.send_image(self._token, page.number, page.format, page.file, sent)
        self._say(f"SendImage {page.number}: {page.file.name} ({page.format}, {page.size:,} bytes)")

    def _follow(self, cancel_at: float | None) -> ReportedJob:
        """Show each change until the job has ended, and cancel it when it is time."""
        seen: list[tuple[str, str]] = []
        while True:
            try:
                if cancel_at is not None and time.monotonic() >= cancel_at:
                    cancel_at = None
                    self._cancel()
                status = self._device.status(self._token)
                now = _lines(status)
                for line in now:
                    if line not in seen:
                        self._say(f"{line[0]:<24} {line[1]}")
                seen = now
                if status.ended:
                    return status
                time.sleep(POLL)
            except KeyboardInterrupt:
                if self._stopped:
                    raise
                self._press_stop()

    def _press_stop(self) -> None:
        self._stopped = True
        self._say("Stop pressed")
        self._cancel()

    def _cancel(self) -> None:
        asked = time.monotonic()
        try:
            self._device.cancel(self._token)
        except SoapFault as fault:
            self._say(f"CancelPostScanJob refused: {fault}")
        else:
            self._say(f"CancelPostScanJob answered after {time.monotonic() - asked:.2f} s")

    @contextlib.contextmanager
    def _withdrawn_on_error(self) -> Iterator[None]:
        """Cancel the job if the body fails: nothing half remains on the server, and the first error is the news."""
        try:
            yield
        except (DeviceError, OSError):
            with contextlib.suppress(DeviceError):
                self._device.cancel(self._token)
            raise

    def _say(self, text: str) -> None:
        self._console.print(f"{time.monotonic() - self._begun:6.2f} s  {terminal.plain(text)}", soft_wrap=True)


def _lines(status: ReportedJob) -> list[tuple[str, str]]:
    """Return who is in which state: the filters in their order, and the job last."""
    filters = [
        (f"  filter {number} {short_name(one.dialect)}", _state(one.state, one.reasons))
        for number, one in enumerate(status.filters, start=1)
    ]
    return [*filters, ("job", _state(status.state, status.reasons))]


def _state(state: str, reasons: Sequence[str]) -> str:
    return f"{state} ({', '.join(reasons)})" if reasons else state


@contextlib.contextmanager
def _bar(console: Console, page: Page) -> Iterator[Callable[[int], None]]:
    """Show how many bytes of a page are out, while it is going; only on a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(terminal.plain(page.file.name), total=page.size)
        yield lambda count: progress.update(task, completed=count)
