"""One job of a simulated device from Create to its end, told as it goes: by the server's events, or by asking.

Source: ws-dsp.md section 8; dpws.md section 8.3.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from postscan.cli.device.client import Device, ReportedJob
from postscan.cli.device.event_listener import ReceivedEvent
from postscan.cli.device.events import EndStateEvent, StatusEvent, SubscriptionEnd
from postscan.cli.device.scenarios.scan import Page
from postscan.cli.device.transport import BadAnswer, DeviceError, SoapFault, Unreachable
from postscan.cli.output import terminal
from postscan.core.model.process import short_name

if TYPE_CHECKING:
    from rich.console import Console

    from postscan.cli.device.subscription import DeviceSubscription

POLL: Final = 0.1  # seconds between two GetPostScanJobElements of a device without events
QUIET: Final = 2.0  # seconds without an event after which a device asks
OVERDUE: Final = 15.0  # seconds that an end-state event may come later than the end
ABSENCE: Final = 60.0  # seconds that a server may be away: its subscriptions may outlive a restart


@dataclass(frozen=True, slots=True)
class ScanJob:
    """What is to be scanned: pages, into the process with this GUID, with its instructions as XML text."""

    pages: Sequence[Page]
    process: str
    instructions: str


class ProgressLog:
    """What happens, line by line with the seconds since it began; without a console nobody hears it."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._begun = time.monotonic()

    def since(self, at: float) -> float:
        """Return the seconds from the beginning to *at*, which are steady seconds."""
        return at - self._begun

    def say(self, text: str, at: float | None = None) -> None:
        """Tell what happens now, or what happened *at* some time."""
        if self._console is not None:
            seconds = self.since(time.monotonic() if at is None else at)
            self._console.print(f"{seconds:6.2f} s  {terminal.plain(text)}", soft_wrap=True)


class Deadline:
    """So many seconds from when they are first asked for."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    @property
    def has_begun(self) -> bool:
        """Whether they were asked for."""
        return self._until is not None

    def is_over(self) -> bool:
        """Return whether they are over; the first question begins them."""
        self._until = self._until or time.monotonic() + self._seconds
        return time.monotonic() > self._until

    def renew(self) -> None:
        """Let them begin anew with the next question."""
        self._until = None


class JobSession:
    """The device's side of one job. `heard` is all that it was told of this job, in order."""

    def __init__(self, device: Device, errand: ScanJob, story: ProgressLog) -> None:
        self._device = device
        self._errand = errand
        self._story = story
        self._stopped = False
        self._deserted = False
        self._ended: ReportedJob | None = None
        self.token = ""
        self.heard: list[ReceivedEvent] = []

    def run(self, subscription: DeviceSubscription | None = None) -> ReportedJob:
        """Scan, and return how the job ended: as its last event says or, without events, as the server answers."""
        with withdrawn_on_error(self._device) as open_jobs:
            self.token = self._device.create(self._errand.process, self._errand.instructions)
            open_jobs.append(self.token)
            self._story.say(f"CreatePostScanJob: job {self.token}")
            try:
                self._deliver(subscription)
            except KeyboardInterrupt:
                self._press_stop()
            return self._follow(subscription)

    def _deliver(self, subscription: DeviceSubscription | None) -> None:
        for page in self._errand.pages:
            self._device.send_image(self.token, page.number, page.format, page.file)
            self._catch_up(subscription)
            self._story.say(f"SendImage {page.number}: {page.file.name} ({page.format}, {page.size:,} bytes)")
        self._device.end(self.token)
        self._catch_up(subscription)
        self._story.say("EndPostScanJob")

    def _follow(self, subscription: DeviceSubscription | None) -> ReportedJob:
        while True:
            try:
                ended = self._listen(subscription) if subscription is not None else None
                return ended or self._ask_on()
            except KeyboardInterrupt:
                if self._stopped:
                    raise
                self._press_stop()

    def _listen(self, subscription: DeviceSubscription) -> ReportedJob | None:
        """Hear until the job has ended; return None if there will be no more events."""
        ended = Deadline(OVERDUE)
        absent = Deadline(ABSENCE)
        while self._ended is None and not self._deserted:
            heard = subscription.ear.next(QUIET)
            if heard is not None:
                self._tell(heard)
                continue
            if subscription.trouble:
                self._story.say(f"Renew: {subscription.trouble}")
                return None
            try:
                now = self._device.status(self.token)
            except Unreachable as error:
                if not absent.has_begun:
                    self._story.say(f"The server is away: {error}")
                if absent.is_over():
                    raise
                continue
            absent.renew()
            if now.ended and ended.is_over():
                strange = "".join(f"; {why}" for why in subscription.ear.strange)
                raise BadAnswer(f"the job is {now.state}, but no PostScanJobEndStateEvent came{strange}")
        if self._deserted:
            subscription.forget()
        return self._ended

    def _catch_up(self, subscription: DeviceSubscription | None) -> None:
        """Tell what was heard meanwhile."""
        while subscription is not None and (heard := subscription.ear.next(0)) is not None:
            self._tell(heard)

    def _tell(self, heard: ReceivedEvent) -> None:
        """Tell what was heard, and remember it if it is about this job."""
        notice = heard.notice
        if isinstance(notice, SubscriptionEnd):
            self._deserted = True
            self.heard.append(heard)
            self._story.say(f"SubscriptionEnd: {notice.status} {notice.reason}".rstrip(), heard.at)
        elif notice.token != self.token:
            self._story.say(f"{type(notice).__name__} of another job, {notice.token}", heard.at)
        else:
            self.heard.append(heard)
            name = "PostScanJobStatusEvent" if isinstance(notice, StatusEvent) else "PostScanJobEndStateEvent"
            self._story.say(f"{name}: {sentence(notice.status)}", heard.at)
            if isinstance(notice, EndStateEvent):
                self._ended = self._ended or notice.status  # there is to be one only

    def _ask_on(self) -> ReportedJob:
        """Ask until the job has ended, and tell what has changed."""
        for status in asked(self._device, self.token):
            self._story.say(f"GetPostScanJobElements: {sentence(status)}")
        return status

    def _press_stop(self) -> None:
        self._stopped = True
        self._story.say("Stop pressed")
        try:
            self._device.cancel(self.token)
        except SoapFault as fault:
            self._story.say(f"CancelPostScanJob refused: {fault}")
        else:
            self._story.say("CancelPostScanJob")


@contextlib.contextmanager
def withdrawn_on_error(device: Device) -> Iterator[list[str]]:
    """Cancel the jobs whose tokens the body puts in the list if it fails: the first error is the news."""
    tokens: list[str] = []
    try:
        yield tokens
    except BaseException:
        for token in tokens:
            with contextlib.suppress(DeviceError):
                device.cancel(token)
        raise


def asked(device: Device, token: str) -> Iterator[ReportedJob]:
    """Ask how the job stands until it has ended; yield what is new, its end last."""
    before = None
    while True:
        status = device.status(token)
        if status != before:
            yield status
        if status.ended:
            return
        before = status
        time.sleep(POLL)


def sentence(status: ReportedJob) -> str:
    """Return how a job and its filters stand, as one line."""
    filters = (f"{short_name(one.dialect)} {_state(one.state, one.reasons)}" for one in status.filters)
    images = f"{status.images} image{'' if status.images == 1 else 's'}"
    return "; ".join((_state(status.state, status.reasons), *filters, images))


def _state(state: str, reasons: Sequence[str]) -> str:
    return f"{state} ({', '.join(reasons)})" if reasons else state
