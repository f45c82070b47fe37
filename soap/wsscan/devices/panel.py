"""The panel of one scanner: its events are checked, and each press becomes one scan, in the order of the presses.

An event counts if it comes from the device to the path of a live subscription, with the identifier and a ClientContext
that were issued for it; all others are ignored. A press is stored before its event is answered, and marked when its
job is there and the scanner was not asked for anything yet: after a crash a press that waited is brought, and no scan
is asked for twice.
Source: ws-scan.md sections 5 and 11; WSS-025 to WSS-029.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from lxml import etree

from postscan.plugins import Busy, Destination, Refused
from postscan.soap.eventing.messages import SUBSCRIPTION_END
from postscan.soap.wsscan.devices.device_state import DeviceState
from postscan.soap.wsscan.devices.parts import InletParts, same_address
from postscan.soap.wsscan.devices.press_queue import PressQueue
from postscan.soap.wsscan.faults import NOT_ACCEPTING, StaleToken
from postscan.soap.wsscan.messages import envelope, events
from postscan.soap.wsscan.messages.device_xml import text
from postscan.soap.wsscan.messages.events import ElementsChangeEvent, JobEndStateEvent, ScanAvailableEvent
from postscan.soap.wsscan.model import Press, Scanner
from postscan.soap.wsscan.scan_job.elements_cache import ElementsCache
from postscan.soap.wsscan.scan_job.outcome import OutcomeKind, ScanOutcome
from postscan.soap.wsscan.scan_job.quirks import quirks_of
from postscan.soap.wsscan.scan_job.scan_jobs import ScanJobs
from postscan.soap.wsscan.subscriptions.record import DeviceRecord, StoredPress, StoredSubscription
from postscan.soap.wsscan.transfer import bring
from postscan.soap.xml import namespaces

PRESS_SECONDS: Final = 60.0
"""Seconds after which a press that waits is dropped: its device has given up by then."""

GRANT_SECONDS: Final = 15.0
"""Seconds for which a press waits for its token: its event may come before the answer to Subscribe."""

SOURCES: Final = ("Platen", "ADF", "ADFDuplex", "Film")

_WENT_WELL: Final = (OutcomeKind.STORED, OutcomeKind.TAKEN, OutcomeKind.CANCELLED)
_IDENTIFIER: Final = f"{{{namespaces.WSE}}}Identifier"


class PanelReports(NamedTuple):
    """What a panel reports: the path of a subscription that the device ends, and of one whose token it does not know at
    a press; and a press that went well."""

    ended: Callable[[str], None]
    stale: Callable[[str], None]
    brought: Callable[[], None]


class Panel:
    """The events and presses of one device; an `EventReceiver`. *key* names the device in the health of the inlet."""

    def __init__(self, parts: InletParts, state: DeviceState, key: str, reports: PanelReports) -> None:
        self._parts = parts
        self._state = state
        self._key = key
        self._reports = reports
        self._scanning = threading.Lock()
        self._jobs, self._elements = ScanJobs(), ElementsCache()
        self._queue = PressQueue(self._bring_press)

    def start(self) -> None:
        """Bring presses from now on; first those that waited when the process before ended."""
        self._queue.start()
        record = self._state.record
        for press in record.presses if record is not None else ():
            if press.state == "waiting":
                self._queue.put(press)

    def stop(self, seconds: float) -> None:
        """Bring no further press; wait at most so many seconds for the scan that runs."""
        self._queue.stop(seconds)

    # --- events --------------------------------------------------------------------------------------------------

    def admits(self, address: str) -> bool:
        """Return whether *address* is the device's."""
        record = self._state.record
        return record is not None and same_address(record.host, address)

    def receive(self, path: str, root: etree._Element) -> bool:
        """Take the event in an envelope; return False if there is no room. Raises `InvalidAnswer`."""
        subscription = self._state.subscription(path)
        if subscription is None or not self._is_meant(subscription, root):
            return True
        body = envelope.body_of(root)
        if body.tag == f"{{{namespaces.WSE}}}{SUBSCRIPTION_END.rpartition('/')[2]}":
            self._reports.ended(path)
            return True
        event = events.read_event(body)
        match event:
            case ScanAvailableEvent():
                return self._press(subscription, event)
            case JobEndStateEvent(job_id=job_id, state=state, reasons=reasons):
                self._jobs.ended(job_id, state, reasons)
            case ElementsChangeEvent():
                self._elements.clear()
        return True

    def _is_meant(self, subscription: StoredSubscription, root: etree._Element) -> bool:
        found = (text(one).lower() for one in envelope.headers_of(root) if one.tag == _IDENTIFIER)
        if subscription.identifier.lower() in found:
            return True
        self._log("event ignored: its identifier is not the one of its subscription", "warning")
        return False

    def _press(self, subscription: StoredSubscription, event: ScanAvailableEvent) -> bool:
        chosen = next((one for one in subscription.destinations if one.context == event.client_context), None)
        if chosen is None or (subscription.manager and not chosen.token):
            self._log("press ignored: its destination is not one of the subscription", "warning")
            return True
        source = event.input_source if event.input_source in SOURCES else ""
        press = StoredPress(
            scan_identifier=event.scan_identifier,
            path=subscription.path,
            destination=chosen.id,
            input_source=source,
            at=time.time(),
        )
        if not self._queue.has_room:
            self._note("a press was refused: as many wait as may")
            return False
        try:
            if not self._state.begin_press(press):
                self._log("press ignored: it was reported before", scan=event.scan_identifier)
                return True
        except OSError as error:
            self._note(f"a press was refused: it cannot be stored: {error.strerror or error}")
            return False
        self._queue.put(press)
        return True

    # --- scans ---------------------------------------------------------------------------------------------------

    def pull(self, destination: Destination) -> None:
        """Fetch what lies in the scanner, because an administrator asks for it; raise `Busy` or `Refused`."""
        scanner = self._scanner()
        if scanner is None:
            raise Busy(why="the scanner was not found yet")
        if not self._scanning.acquire(timeout=PRESS_SECONDS):
            raise Busy(why=f"{scanner.name} is scanning")
        try:
            outcome = self._bring(scanner, Press(destination))
        except StaleToken as error:
            raise Refused(str(error)) from None
        finally:
            self._scanning.release()
        if outcome.kind is OutcomeKind.BUSY:
            raise Busy(why=outcome.reason)
        if outcome.kind is not OutcomeKind.STORED:
            remedy = "; it may scan only when it is started at its panel" if NOT_ACCEPTING in outcome.reason else ""
            raise Refused(outcome.reason + remedy)

    def _bring_press(self, press: StoredPress) -> None:
        """Bring one press, whatever comes of it."""
        try:
            with self._scanning:
                self._bring_waiting(press)
        except StaleToken as error:
            self._note(f"a press failed: {error}")
            self._reports.stale(press.path)
        except Exception as error:  # noqa: BLE001  (the next press must be brought)
            self._note(f"a press failed: {type(error).__name__}: {error}")

    def _bring_waiting(self, press: StoredPress) -> None:
        record, scanner = self._state.wait_for(_is_granted, GRANT_SECONDS), self._scanner()
        chosen = next((one for one in self._parts.inlet.destinations if one.id == press.destination), None)
        subscription = record.scans if record is not None else None
        if subscription is None or subscription.path != press.path:
            subscription = None
        offered = subscription.destinations if subscription is not None else ()
        token = next((one.token for one in offered if one.id == press.destination), "")
        is_late = time.time() - press.at > PRESS_SECONDS
        if scanner is None or chosen is None or not token or is_late:
            self._mark_begun(press)
            why = "it waited too long" if is_late else "its destination is not offered any more"
            self._note(f"a press was dropped: {why}")
            return
        whole = Press(chosen, press.scan_identifier, token, press.input_source)
        try:
            outcome = self._bring(scanner, whole, lambda: self._mark_begun(press))
        finally:
            self._mark_begun(press)
        if outcome.kind in _WENT_WELL:
            self._note("")
            self._reports.brought()
        elif outcome.kind is OutcomeKind.BUSY:
            self._note(f"a press was refused, there is no room: {outcome.reason}")
        else:
            self._note(f"a press failed: {outcome.reason}")

    def _bring(self, scanner: Scanner, press: Press, opened: Callable[[], object] = lambda: None) -> ScanOutcome:
        inlet = self._parts.inlet
        return bring(inlet, scanner, press, inlet.token, jobs=self._jobs, elements=self._elements, opened=opened)

    def _mark_begun(self, press: StoredPress) -> None:
        """Store that a press is not to be brought again; raise `OSError`."""
        self._state.change(lambda record: record.with_press(press.model_copy(update={"state": "begun"})))

    def _scanner(self) -> Scanner | None:
        record = self._state.record
        if record is None:
            return None
        quirks = quirks_of(f"{record.name} {record.model}") | frozenset(self._parts.settings.quirks)
        return Scanner(record.endpoint, record.host, record.service, record.name, quirks)

    def _note(self, text: str) -> None:
        record = self._state.record
        name = record.name if record is not None else ""
        self._parts.health.note(self._key, f"{name}: {text}" if text else "")
        if text:
            self._log(text, "warning")

    def _log(self, text: str, level: str = "info", **fields: object) -> None:
        record = self._state.record
        where = {"scanner": record.endpoint, "source": record.host} if record is not None else {}
        self._parts.inlet.log(text, level, **where, **fields)


def _is_granted(record: DeviceRecord) -> bool:
    """Return whether no answer to a Subscribe is missing."""
    return record.scans is None or bool(record.scans.manager)
