"""The events of each service: their actions, the selection by a filter, and their bodies.

Source: ws-dsp.md sections 2 and 8; ws-dsc.md section 3; dpws.md section 8.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from postscan.core.model.snapshot import JobChange
from postscan.core.model.subscription import EventService
from postscan.soap.services import configuration, job_elements
from postscan.soap.xml import namespaces
from postscan.soap.xml.uris import is_below

STATUS: Final = "PostScanJobStatusEvent"
END: Final = "PostScanJobEndStateEvent"
ELEMENTS_CHANGE: Final = "RepositoryElementsChangeEvent"
STATUS_SUMMARY: Final = "RepositoryStatusSummaryEvent"

EVENTS: Final = {
    EventService.PROCESSING: (f"{namespaces.DSP}/{STATUS}", f"{namespaces.DSP}/{END}"),
    EventService.CONFIGURATION: tuple(
        f"{namespaces.DSC}/{name}" for name in (ELEMENTS_CHANGE, STATUS_SUMMARY, STATUS, END)
    ),
}
"""The action of every event, by service."""

_WSCN: Final = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
"""WS-Scan. Published samples, and some devices, name the events of the processing service in this namespace."""

_PREFIX: Final = {EventService.PROCESSING: "dsp", EventService.CONFIGURATION: "dsc"}


class Notification(NamedTuple):
    """One event as a message: its action, and its body as XML."""

    action: str
    body: str


def chosen(port: EventService, listed: Iterable[str]) -> tuple[str, ...]:
    """Return the actions of a service that are in a filter's list: by their URI, a URI above it, or their name."""
    wanted = tuple(listed)
    return tuple(action for action in EVENTS[port] if any(_selects(one, action) for one in wanted))


def is_name(word: str) -> bool:
    """Return whether *word* is the name of an event without its namespace."""
    return any(_name(action) == word for actions in EVENTS.values() for action in actions)


def messages(port: EventService, change: JobChange) -> list[Notification]:
    """Return the messages to subscribers of a service about a change, in the order in which they are sent."""
    if port is EventService.PROCESSING:
        return _of_job(namespaces.DSP, port, change)
    found = _of_job(namespaces.DSC, port, change)
    if change.filters is not None:
        found.append(
            Notification(f"{namespaces.DSC}/{ELEMENTS_CHANGE}", configuration.write_elements_change(change.filters))
        )
    if change.state:
        found.append(
            Notification(f"{namespaces.DSC}/{STATUS_SUMMARY}", configuration.write_status_summary(change.state))
        )
    return found


def _of_job(namespace: str, port: EventService, change: JobChange) -> list[Notification]:
    if change.job is None:
        return []
    found = [Notification(f"{namespace}/{STATUS}", job_elements.status_event(_PREFIX[port], change.job))]
    if change.ended:
        found.append(Notification(f"{namespace}/{END}", job_elements.end_event(_PREFIX[port], change.job)))
    return found


def _selects(listed: str, action: str) -> bool:
    name = _name(action)
    spellings = (action, f"{_WSCN}/{name}") if action in EVENTS[EventService.PROCESSING] else (action,)
    return listed == name or any(is_below(listed, one) for one in spellings)


def _name(action: str) -> str:
    return action.rpartition("/")[2]
