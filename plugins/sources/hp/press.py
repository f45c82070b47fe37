"""One press at the panel: wait until the person starts the scan, and fetch it, with further sheets of the platen.

Source: escl.md section 8; ESCL-053 to ESCL-055.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from postscan.plugins import CancellationToken, Destination, SourceJob
from postscan.plugins.sources.escl.device.session import EsclSession
from postscan.plugins.sources.escl.errors import DeviceBusy, ScanBrokenOff, ScannerAway
from postscan.plugins.sources.escl.messages.status import LOADED
from postscan.plugins.sources.escl.scan import EsclPuller, PullOutcome
from postscan.plugins.sources.hp.client import WalkupClient
from postscan.plugins.sources.hp.documents import (
    PanelChoice,
    ScanEvent,
    WalkupKind,
    WalkupLimits,
    WalkupPressState,
    is_same,
)
from postscan.plugins.sources.hp.event_table import EventTable

LOOK_SECONDS: Final = 1.0
"""Seconds between two looks at what the person does at the panel."""

_LONGEST_BUSY: Final = 5.0  # seconds between two tries while the server has no room
_CHOICE_SECONDS: Final = 20.0  # for which the older interface may have no choice
_PDF: Final = ("SavePDF", "EmailPDF", "SaveDocument1")
_JPEG: Final = ("SaveJPEG", "EmailJPEG", "SavePhoto1")


@dataclass(frozen=True)
class HpPanel:
    """The panel of a device: its interface and limits, and the requests to it."""

    client: WalkupClient
    table: EventTable
    kind: WalkupKind
    limits: WalkupLimits


@dataclass(frozen=True)
class HpPress:
    """A press: its event, and the destination that was chosen."""

    event: ScanEvent
    destination: Destination


class PressScan:
    """What one press starts; *token* is that of the source. For one thread."""

    def __init__(self, panel: HpPanel, puller: EsclPuller, press: HpPress, token: CancellationToken) -> None:
        self._panel, self._puller, self._press, self._token = panel, puller, press, token
        self._client = panel.client
        self._has_changed = True  # since the last sheet: what the person asks for now is not what is scanned already

    def bring(self) -> PullOutcome | None:
        """Bring a job and return what became of it; None if no scan was asked for. Raises `ScannerError`."""
        if not self._is_requested():
            return None
        chosen = self._chosen()
        destination = _with_format(self._press.destination, chosen)
        choice = self._puller.choice
        if chosen.plex == "Duplex" and choice.source == "auto" and self._has_paper():
            choice = replace(choice, source="duplex")
        key = f"{self._puller.scanner.id}/{self._press.event.key}"
        until = time.monotonic() + self._panel.limits.action_seconds
        while True:
            outcome = self._puller.pull(destination, key=key, choice=choice, another=self._another)
            if outcome.state != "busy" or outcome.job or time.monotonic() >= until:
                return outcome
            if self._token.wait(min(outcome.seconds, _LONGEST_BUSY)) or not self._is_requested():
                return outcome

    # --- before the scan -----------------------------------------------------------------------------------------

    def _is_requested(self) -> bool:
        """Wait until the person has started the scan (ESCL-054); return False if that does not happen."""
        if self._panel.kind is not WalkupKind.TO_COMP:
            return True
        until = time.monotonic() + self._panel.limits.action_seconds
        while True:
            state = self._client.press_state(self._press.event.state)
            if state in (WalkupPressState.REQUESTED, WalkupPressState.NEW_PAGE):
                self._has_changed = state == WalkupPressState.REQUESTED
                return True
            if state == WalkupPressState.COMPLETE or time.monotonic() >= until or self._token.wait(LOOK_SECONDS):
                return False

    def _chosen(self) -> PanelChoice:
        """Return what was chosen beside the destination; with the older interface, wait until it is."""
        until = time.monotonic() + _CHOICE_SECONDS
        while True:
            found = self._client.choice(self._panel.kind, self._press.event.destination)
            if found.shortcut or self._panel.kind is WalkupKind.TO_COMP or time.monotonic() >= until:
                return found
            if self._token.wait(LOOK_SECONDS):
                raise ScanBrokenOff("the source is being stopped")

    def _has_paper(self) -> bool:
        with EsclSession(self._puller.scanner) as session, self._token.calling(session.stop):
            return session.status().feeder == LOADED

    # --- behind a sheet of the platen ----------------------------------------------------------------------------

    def _another(self, job: SourceJob) -> bool:
        """Wait for the next sheet (ESCL-055); return False if there is none.

        Raises `ScannerAway` if the device does not say it any more, `ScanBrokenOff` at the stop, and what a job raises
        that has ended.
        """
        limits = self._panel.limits
        if self._panel.kind is not WalkupKind.TO_COMP or not limits.several_sheets:
            return False
        until = time.monotonic() + limits.action_seconds
        while True:
            job.leave(0)  # the server would take a person who turns sheets for silence
            try:
                further = self._is_further()
            except (ScannerAway, DeviceBusy):
                if time.monotonic() >= until:
                    raise
                further = None
            if further is not None:
                return further
            if time.monotonic() >= until:
                return False
            if self._token.wait(LOOK_SECONDS):
                raise ScanBrokenOff("the source is being stopped, and the device waits for a further sheet")

    def _is_further(self) -> bool | None:
        """Return whether there is a further sheet; None while the person has not said so.

        The state stays the same from one further sheet to the next. That it was asked for again is known by its event,
        or by another state between.
        """
        state = self._client.press_state(self._press.event.state)
        self._has_changed |= any(
            is_same(one.destination, self._press.event.destination) for one in self._panel.table.look()
        )
        if state == WalkupPressState.COMPLETE:
            return False
        if state != WalkupPressState.NEW_PAGE:
            self._has_changed = True
            return None
        is_new, self._has_changed = self._has_changed, False
        return True if is_new else None


def _with_format(destination: Destination, chosen: PanelChoice) -> Destination:
    """Return the destination with the format that was chosen at the panel, unless its ticket has one."""
    ticket = destination.ticket
    formats = ("pdf-a",) if chosen.shortcut in _PDF else ("jfif",) if chosen.shortcut in _JPEG else ()
    if ticket.formats or not formats:
        return destination
    return Destination(
        id=destination.id, label=destination.label, ticket=ticket.model_copy(update={"formats": formats})
    )
