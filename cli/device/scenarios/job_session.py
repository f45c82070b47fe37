"""One job of the simulated device, from CreatePostScanJob to its end.

The session creates the job, sends its pages, ends or cancels it, and follows it to its end: by events if it has a
subscription, otherwise by polling. Source: ws-dsp.md section 8; dpws.md section 8.3.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postscan.cli.device.client import Device, ReportedJob
from postscan.cli.device.eventing.event_listener import ReceivedEvent
from postscan.cli.device.eventing.events import EndStateEvent, StatusEvent, SubscriptionEnd
from postscan.cli.device.eventing.subscription import DeviceSubscription
from postscan.cli.device.scenarios import progress_log
from postscan.cli.device.scenarios.progress_log import ProgressLog
from postscan.cli.device.transport import BadAnswer, DeviceError, SoapFault, Unreachable
from postscan.core.model import formats

POLL: Final = 0.1  # seconds between two GetPostScanJobElements
QUIET: Final = 2.0  # seconds without an event after which a device polls
OVERDUE: Final = 15.0  # seconds between the end of a job and its end-state event
ABSENCE: Final = 60.0  # seconds that a server may be unreachable: its subscriptions may survive a restart


@dataclass(frozen=True, slots=True)
class Page:
    """One file to send: `format` is the protocol's keyword, `size` in bytes."""

    number: int
    file: Path
    format: str
    size: int

    @classmethod
    def of(cls, number: int, file: Path, format: str = "") -> Page:
        """Return the page of a file, of a detected format if none is given; raise `UnknownFormat`, `OSError`."""
        if not format:
            formats.by_suffix(str(file))  # a wrong name is reported even if there is no such file
            with file.open("rb") as content:
                format = formats.detect(str(file), content)
        return cls(number, file, format, file.stat().st_size)


@dataclass(frozen=True, slots=True)
class ScanJob:
    """The pages to scan, the GUID of the scan process, and its instructions as XML text."""

    pages: Sequence[Page]
    process: str
    instructions: str


@dataclass(frozen=True, slots=True)
class Stop:
    """When to cancel: seconds after EndPostScanJob, or after a number of images instead of it; None is never."""

    seconds: float | None = None
    images: int | None = None


NEVER: Final = Stop()


class Deadline:
    """A number of seconds that starts with the first call of `is_over`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    @property
    def has_started(self) -> bool:
        """True after the first call of `is_over`."""
        return self._until is not None

    def is_over(self) -> bool:
        """Return whether the seconds have passed; start them if they have not started."""
        self._until = self._until or time.monotonic() + self._seconds
        return time.monotonic() > self._until

    def reset(self) -> None:
        """Let the next call of `is_over` start the seconds again."""
        self._until = None


class JobSession:
    """The device's side of one job. `events` has the events of this job, in order of arrival.

    Ctrl-C is the Stop button: the first one cancels the job, the second one is raised.
    """

    def __init__(self, device: Device, job: ScanJob, progress: ProgressLog, stop: Stop = NEVER) -> None:
        self._device = device
        self._job = job
        self._progress = progress
        self._stop = stop
        self._cancel_at: float | None = None
        self._stopped = False
        self._subscription_ended = False
        self._ended: ReportedJob | None = None
        self.token = ""
        self.events: list[ReceivedEvent] = []

    def run(self, subscription: DeviceSubscription | None = None) -> ReportedJob:
        """Scan, and return how the job ended, according to its last event or, without events, to polling."""
        self.send(subscription)
        return self._follow(subscription)

    def send(self, subscription: DeviceSubscription | None = None) -> None:
        """Create the job, send its pages, and end or cancel it; cancel it if that fails."""
        with cancelled_on_error(self._device) as tokens:
            self.token = self._device.create(self._job.process, self._job.instructions)
            tokens.append(self.token)
            self._progress.write(f"Job {self.token} created at {self._device.url}")
            try:
                self._send_pages(subscription)
            except KeyboardInterrupt:
                self._press_stop()

    def _send_pages(self, subscription: DeviceSubscription | None) -> None:
        for page in self._job.pages[: self._stop.images]:
            with self._progress.upload(page.file, page.size) as sent:
                self._device.send_image(self.token, page.number, page.format, page.file, sent)
            self._print_pending(subscription)
            self._progress.write(f"SendImage {page.number}: {page.file.name} ({page.format}, {page.size:,} bytes)")
        if self._stop.images is not None:
            self._cancel()
            return
        self._device.end(self.token)
        self._print_pending(subscription)
        self._progress.write(f"EndPostScanJob: {progress_log.images(len(self._job.pages))} sent")
        if self._stop.seconds is not None:
            self._cancel_at = time.monotonic() + self._stop.seconds

    def _follow(self, subscription: DeviceSubscription | None) -> ReportedJob:
        while True:
            try:
                ended = self._follow_events(subscription) if subscription is not None else None
                return ended or self._follow_by_polling()
            except KeyboardInterrupt:
                if self._stopped:
                    raise
                self._press_stop()

    def _follow_events(self, subscription: DeviceSubscription) -> ReportedJob | None:
        """Print events until the job has ended; return None if there will be no more events."""
        end_event, absence = Deadline(OVERDUE), Deadline(ABSENCE)
        while self._ended is None and not self._subscription_ended:
            self._cancel_if_due()
            event = subscription.listener.next(self._seconds_to_cancel(QUIET))
            if event is not None:
                self._print(event)
                continue
            if subscription.renew_error:
                self._progress.write(f"Renew: {subscription.renew_error}")
                return None
            try:
                now = self._device.status(self.token)
            except Unreachable as error:
                if not absence.has_started:
                    self._progress.write(f"The server is unreachable: {error}")
                if absence.is_over():
                    raise
                continue
            absence.reset()
            if now.ended and end_event.is_over():
                refused = "".join(f"; {why}" for why in subscription.listener.refused)
                raise BadAnswer(f"the job is {now.state}, but no PostScanJobEndStateEvent came{refused}")
        if self._subscription_ended:
            subscription.mark_ended()
        return self._ended

    def _follow_by_polling(self) -> ReportedJob:
        """Poll until the job has ended; print each change."""
        before: list[str] = []
        while True:
            self._cancel_if_due()
            status = self._device.status(self.token)
            now = progress_log.lines(status)
            for line in now:
                if line not in before:
                    self._progress.write(line)
            if status.ended:
                return status
            before = now
            time.sleep(self._seconds_to_cancel(POLL))

    def _print_pending(self, subscription: DeviceSubscription | None) -> None:
        """Print the events that have arrived so far."""
        while subscription is not None and (event := subscription.listener.next(0)) is not None:
            self._print(event)

    def _print(self, event: ReceivedEvent) -> None:
        """Print an event, and keep it if it is about this job."""
        content = event.content
        if isinstance(content, SubscriptionEnd):
            self._subscription_ended = True
            self.events.append(event)
            self._progress.write(f"SubscriptionEnd: {content.status} {content.reason}".rstrip(), event.at)
        elif content.token != self.token:
            self._progress.write(f"{type(content).__name__} of another job, {content.token}", event.at)
        else:
            self.events.append(event)
            name = "PostScanJobStatusEvent" if isinstance(content, StatusEvent) else "PostScanJobEndStateEvent"
            self._progress.write(f"{name}: {progress_log.sentence(content.status)}", event.at)
            if isinstance(content, EndStateEvent):
                self._ended = self._ended or content.status  # the first one counts: there should be only one

    def _press_stop(self) -> None:
        self._stopped = True
        self._progress.write("Stop pressed")
        self._cancel()

    def _seconds_to_cancel(self, limit: float) -> float:
        """Return the seconds until the cancel is due, *limit* at most."""
        return limit if self._cancel_at is None else max(0.0, min(limit, self._cancel_at - time.monotonic()))

    def _cancel_if_due(self) -> None:
        if self._cancel_at is not None and time.monotonic() >= self._cancel_at:
            self._cancel()

    def _cancel(self) -> None:
        self._cancel_at = None
        start = time.monotonic()
        try:
            self._device.cancel(self.token)
        except SoapFault as fault:
            self._progress.write(f"CancelPostScanJob refused: {fault}")
        else:
            self._progress.write(f"CancelPostScanJob answered after {time.monotonic() - start:.2f} s")


@contextlib.contextmanager
def cancelled_on_error(device: Device) -> Iterator[list[str]]:
    """Cancel the jobs whose tokens the body appends to the list if it fails; raise the body's error."""
    tokens: list[str] = []
    try:
        yield tokens
    except BaseException:
        for token in tokens:
            with contextlib.suppress(DeviceError):
                device.cancel(token)
        raise


def wait_for_end(device: Device, token: str) -> ReportedJob:
    """Poll until the job has ended; return its last status."""
    while not (status := device.status(token)).ended:
        time.sleep(POLL)
    return status
