"""One scanner: a thread that finds it, keeps its subscriptions alive, and ends them at the stop.

    no subscription                        Subscribe
    stored, after a start                  Renew it; a fault: Subscribe
    its destinations or address changed    Unsubscribe, then Subscribe
    two fifths of its time are over        Renew
    Hello of a new run, Bye                Renew at once: a forged message costs one request
    SubscriptionEnd                        Subscribe
    an invalid token at a press            Unsubscribe, then Subscribe

A Subscribe follows the one before after 1, 2, 4 ... 60 s, until a Renew or a press went well; so do attempts to reach a
device that is away. Source: ws-scan.md section 4; WSS-007, WSS-010 to WSS-020.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Final

from postscan.soap.wsscan.devices.device_state import DeviceState
from postscan.soap.wsscan.devices.pace import GrowingPause
from postscan.soap.wsscan.devices.paced_client import PacedClient
from postscan.soap.wsscan.devices.panel import Panel, PanelReports
from postscan.soap.wsscan.devices.parts import InletParts, same_address
from postscan.soap.wsscan.devices.search import DeviceSearch
from postscan.soap.wsscan.devices.subscriber import Subscriber
from postscan.soap.wsscan.event_sink import SinkUnavailable
from postscan.soap.wsscan.faults import CallAborted, CallError, DeviceAway, DeviceFault, InvalidAnswer
from postscan.soap.wsscan.finding.messages import Announcement
from postscan.soap.wsscan.subscriptions.calls import SubscriptionCalls
from postscan.soap.wsscan.subscriptions.messages import JOBS, PRESSES
from postscan.soap.wsscan.subscriptions.record import DeviceRecord

LEAVE_SECONDS: Final = 1.9
"""Seconds for Unsubscribe at the stop (WSS-018)."""

CHECK_SECONDS: Final = 4.0
"""Seconds between two checks because of announcements, which may be forged; they grow while nothing has changed."""

LONGEST_CHECK_SECONDS: Final = 60.0

BYE_SECONDS: Final = 10.0
"""Seconds after which a device that has sent Bye, and still answers, is asked again."""

MOST_DESTINATIONS: Final = 15
"""More destinations may be more than a panel shows (WS-2)."""

_JOBS_AGAIN: Final = 3600.0  # seconds after a device has refused the subscription to events of jobs
_CALM_SECONDS: Final = 300.0


class DeviceLoop:
    """One device from `start` to `join`; *endpoint* is "" for one that is configured and was not found yet."""

    def __init__(self, parts: InletParts, endpoint: str, record: DeviceRecord | None) -> None:
        self.since = time.monotonic()
        """When it was announced, or taken up."""
        self._parts = parts
        self._key = endpoint or parts.settings.device
        self._state = DeviceState(parts.store, record)
        self._subscribing, self._checking = GrowingPause(), GrowingPause()
        self._client = PacedClient(parts.calls, record.host if record is not None else "")
        self._search = DeviceSearch(parts, self._client, endpoint)
        reports = PanelReports(self._on_ended, self._on_stale, self._subscribing.reset)
        self.panel = Panel(parts, self._state, self._key, reports)
        calls = SubscriptionCalls(self._client)
        self._scans = Subscriber(parts, self._state, "scans", PRESSES, calls, self.panel)
        self._jobs = Subscriber(parts, self._state, "jobs", JOBS, calls, self.panel)
        self._offered = tuple((one.id, one.label) for one in parts.inlet.destinations)
        self._subscribe_at = self._check_at = self._jobs_at = 0.0
        self._changed = threading.Condition()  # of what follows
        self._over = False
        self._must_search = record is None
        self._ended: set[str] = set()
        self._stale: set[str] = set()
        self._must_check = False
        self._has_left = False
        self._new_instance: int | None = None
        self._thread = threading.Thread(target=self._run, name="wsscan-device", daemon=True)

    @property
    def endpoint(self) -> str:
        """The endpoint of the device; "" as long as it is not known."""
        record = self._state.record
        return record.endpoint if record is not None else self._search.endpoint

    @property
    def is_found(self) -> bool:
        """Whether the device has answered, now or in an earlier process."""
        return self._state.record is not None

    @property
    def host(self) -> str:
        """The address at which it was found; "" if it was not."""
        record = self._state.record
        return record.host if record is not None else ""

    def start(self) -> None:
        """Begin."""
        self.panel.start()
        self._thread.start()

    def stop(self) -> None:
        """Begin to end: Unsubscribe is sent, and no further press is brought."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._client.stop()

    def join(self, seconds: float) -> None:
        """Wait for the end, at most so many seconds."""
        until = time.monotonic() + seconds
        self._thread.join(seconds)
        self.panel.stop(max(0.0, until - time.monotonic()))

    def announce(self, announcement: Announcement, sender: str) -> None:
        """Take an announcement of this device: it is checked, and nothing in it is believed."""
        record = self._state.record
        is_elsewhere = record is not None and not same_address(sender, record.host)
        if is_elsewhere and self._parts.settings.kind in ("url", "host"):
            is_elsewhere = False  # the scanner stays where the settings say
        elif announcement.kind != "bye":
            self._search.add(announcement, sender)
        with self._changed:
            if record is None or self._must_search:
                self._must_check = announcement.kind != "bye" or self._must_check
            elif announcement.kind == "bye":
                self._must_check = self._has_left = True
            elif announcement.instance not in (-1, record.instance) or is_elsewhere:
                if announcement.instance not in (-1, record.instance):
                    self._new_instance = announcement.instance
                self._must_check = True
            self._changed.notify_all()

    # --- what the panel reports ----------------------------------------------------------------------------------

    def _on_ended(self, path: str) -> None:
        with self._changed:
            self._ended.add(path)
            self._changed.notify_all()

    def _on_stale(self, path: str) -> None:
        with self._changed:
            self._stale.add(path)
            self._changed.notify_all()

    # --- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = GrowingPause()
        while not self._over:
            try:
                seconds = self._step()
                pause.reset()
            except CallAborted:
                continue
            except (CallError, SinkUnavailable, OSError) as error:
                seconds = pause.next()
                self._report_failure(error)
            except Exception as error:  # noqa: BLE001  (a defect must not end the loop in silence)
                seconds = pause.next()
                self._report_failure(error)
                self._log("defect", "error", reason=f"{type(error).__name__}: {error}")
            self._sleep(seconds)
        self._leave()

    def _step(self) -> float:
        """Do what is due, and return the seconds until something is."""
        with self._changed:
            ended, self._ended = self._ended, set()
            stale, self._stale = self._stale, set()
            check = self._must_check and time.monotonic() >= self._check_at
            if check:
                self._must_check = False
                self._check_at = self._next_check()
        record = self._found()
        if not self._offered:
            self._scans.end()
            self._parts.health.set(self._key, "degraded", f"{record.name}: there is no destination to offer")
            return _CALM_SECONDS
        for one in (self._scans, self._jobs):
            if one.subscription is not None and one.subscription.path in ended:
                self._log("the scanner has ended a subscription")
                one.forget()
        if self._scans.subscription is not None and self._scans.subscription.path in stale:
            self._scans.end()
        self._keep_scans(check=check)
        self._report_ready()
        self._keep_jobs()
        return self._until_next()

    def _found(self) -> DeviceRecord:
        """Return the record of the device, after a search if it is not known where it is."""
        record = self._state.record
        if record is not None and not self._must_search:
            self._client.host = record.host
            return record
        found = self._search.find(record)
        self._client.host = found.host
        settings = self._parts.settings
        record = self._state.adopt(
            DeviceRecord(
                endpoint=found.endpoint,
                url=found.url,
                host=found.host,
                service=found.service,
                name=found.name,
                model=found.model,
                configured=settings.device,
            )
        )
        self._search.endpoint = found.endpoint if settings.kind in ("any", "endpoint") else self._search.endpoint
        self._must_search = False
        self._log("scanner found", name=found.name, service=found.service)
        return record

    def _keep_scans(self, *, check: bool) -> None:
        """Have a subscription for presses; renew it if it is due, or if *check* says so."""
        host = self._host()
        if self._scans.is_granted and not self._scans.fits(host, self._offered):
            self._scans.end()
        if self._scans.is_granted and (check or time.monotonic() >= self._scans.renew_at):
            self._renew_scans()
        if not self._scans.is_granted:
            self._subscribe_scans()

    def _renew_scans(self) -> None:
        with self._changed:
            instance, self._new_instance = self._new_instance, None
            has_left, self._has_left = self._has_left, False
        try:
            alive = self._scans.renew()
        except CallError:
            with self._changed:
                self._must_search = True
                self._new_instance = self._new_instance or instance
            raise
        if alive:
            self._subscribing.reset()
        else:
            self._log("a subscription cannot be renewed", "warning")
            self._must_search = True
            self._found()  # another device may have got the address
            if instance is None:
                self._scans.end()
            else:
                self._scans.forget()  # by a device that has started anew
            self._checking.reset()
            self._jobs.renew_at = 0.0
        if has_left:
            self._scans.renew_at = min(self._scans.renew_at, time.monotonic() + BYE_SECONDS)
        if instance is not None:
            self._state.change(lambda record: record.model_copy(update={"instance": instance}))

    def _next_check(self) -> float:
        """Return when the next check may be; announcements that change nothing lead to fewer and fewer."""
        now = time.monotonic()
        if now > self._check_at + _CALM_SECONDS:
            self._checking.reset()
        return now + min(LONGEST_CHECK_SECONDS, CHECK_SECONDS * self._checking.next())

    def _subscribe_scans(self) -> None:
        if (left := self._subscribe_at - time.monotonic()) > 0:
            self._sleep(left, interrupted=False)
        if self._over:
            raise CallAborted
        record = self._found()
        try:
            self._scans.subscribe(record.host, record.service, self._offered)
        except CallError as error:
            self._must_search = not isinstance(error, CallAborted)
            raise
        finally:
            self._subscribe_at = time.monotonic() + self._subscribing.next()
        self._log("subscribed", destinations=len(self._offered))

    def _keep_jobs(self) -> None:
        """Have a subscription for the events of jobs, if the device grants one; scans do without."""
        if not self._parts.settings.job_events:
            if self._jobs.subscription is not None:
                self._jobs.end()
            return
        now = time.monotonic()
        if now < self._jobs_at:
            return
        host = self._host()
        try:
            if self._jobs.is_granted and not self._jobs.fits(host, ()):
                self._jobs.end()
            if self._jobs.is_granted and now >= self._jobs.renew_at and not self._jobs.renew():
                self._jobs.end()
            if not self._jobs.is_granted:
                record = self._found()
                self._jobs.subscribe(record.host, record.service, ())
        except DeviceFault as fault:
            self._jobs_at = now + _JOBS_AGAIN
            self._log("no events of jobs", "info", reason=fault)
        except DeviceAway as error:
            self._jobs_at = now + _CALM_SECONDS
            self._log("no events of jobs", "info", reason=error)

    def _until_next(self) -> float:
        """Return the seconds until a Renew, or a check that waits, is due."""
        times = [self._scans.renew_at]
        if self._parts.settings.job_events:
            times.append(max(self._jobs_at, self._jobs.renew_at if self._jobs.is_granted else 0.0))
        if self._must_check:
            times.append(self._check_at)
        return max(0.0, min(times) - time.monotonic())

    def _sleep(self, seconds: float, *, interrupted: bool = True) -> None:
        """Sleep until the stop, or until something is reported if *interrupted*."""
        until = time.monotonic() + seconds
        with self._changed:
            while not self._over and (left := until - time.monotonic()) > 0:
                check = self._must_check and time.monotonic() >= self._check_at
                if interrupted and (self._ended or self._stale or check):
                    return
                if self._must_check:
                    left = min(left, max(0.01, self._check_at - time.monotonic()))
                self._changed.wait(left)

    def _leave(self) -> None:
        """Unsubscribe, within `LEAVE_SECONDS`; what fails stays stored, and is taken up at the next start."""
        until = time.monotonic() + LEAVE_SECONDS
        self._client.until(until)
        for one in (self._scans, self._jobs):
            if one.subscription is not None and one.subscription.manager:
                with contextlib.suppress(CallError, OSError):
                    one.end(seconds=max(0.1, until - time.monotonic()))

    # --- reports -------------------------------------------------------------------------------------------------

    def _report_ready(self) -> None:
        record, subscription = self._state.record, self._scans.subscription
        if record is None or subscription is None:
            return
        where = f"{record.name} at {record.host}"
        missing = [one.label for one in subscription.destinations if not one.token]
        number = len(subscription.destinations)
        if missing:
            listed = ", ".join(repr(one) for one in missing[:5])
            self._parts.health.set(self._key, "degraded", f"{where} gave no token for {listed}")
        elif number > MOST_DESTINATIONS:
            text = f"{where} offers {number} destinations; its panel may show only the first {MOST_DESTINATIONS}"
            self._parts.health.set(self._key, "degraded", text)
        else:
            text = f"{where} offers {number} destination{'s' if number > 1 else ''}"
            self._parts.health.set(self._key, "ready", text)

    def _report_failure(self, error: Exception) -> None:
        record = self._state.record
        if record is None and self._parts.settings.kind == "any":
            self._log("scanner not found", "info", reason=error)
            return  # its announcement may be forged
        name = f"{record.name} at {record.host}" if record is not None else self._key
        away = isinstance(error, DeviceAway) and not isinstance(error, InvalidAnswer)
        self._parts.health.set(self._key, "away" if away else "degraded", f"{name}: {error}")

    def _log(self, text: str, level: str = "info", **fields: object) -> None:
        self._parts.inlet.log(text, level, scanner=self._key, **fields)

    def _host(self) -> str:
        record = self._state.record
        return record.host if record is not None else ""
