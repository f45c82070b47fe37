"""What each service tells its subscribers: which events there are, which of them a filter lets pass, what they say.

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
"""WS-Scan. Published samples spell the events of the processing service in its namespace, and so do some devices."""

_PREFIX: Final = {EventService.PROCESSING: "dsp", EventService.CONFIGURATION: "dsc"}


class Notification(NamedTuple):
    """One message of a happening: its action, and its body as XML."""

    action: str
    body: str


def chosen(port: EventService, listed: Iterable[str]) -> tuple[str, ...]:
    """Return the actions of a service that a list of filters lets pass: URIs that they are or lie below, or names."""
    wanted = tuple(listed)
    return tuple(action for action in EVENTS[port] if any(_lets_pass(one, action) for one in wanted))


def is_name(word: str) -> bool:
    """Return whether *word* is an event's name without its namespace."""
    return any(_name(action) == word for actions in EVENTS.values() for action in actions)


def messages(port: EventService, happening: JobChange) -> list[Notification]:
    """Return what a happening means for the subscribers of a service, in the order in which they are to hear of it."""
    if port is EventService.PROCESSING:
        return _of_job(namespaces.DSP, port, happening)
    told = _of_job(namespaces.DSC, port, happening)
    if happening.filters is not None:
        told.append(
            Notification(f"{namespaces.DSC}/{ELEMENTS_CHANGE}", configuration.write_elements_change(happening.filters))
        )
    if happening.state:
        told.append(
            Notification(f"{namespaces.DSC}/{STATUS_SUMMARY}", configuration.write_status_summary(happening.state))
        )
    return told


def _of_job(namespace: str, port: EventService, happening: JobChange) -> list[Notification]:
    if happening.job is None:
        return []
    told = [Notification(f"{namespace}/{STATUS}", job_elements.status_event(_PREFIX[port], happening.job))]
    if happening.ended:
        told.append(Notification(f"{namespace}/{END}", job_elements.end_event(_PREFIX[port], happening.job)))
    return told


def _lets_pass(asked: str, action: str) -> bool:
    name = _name(action)
    spellings = (action, f"{_WSCN}/{name}") if action in EVENTS[EventService.PROCESSING] else (action,)
    return asked == name or any(is_below(asked, one) for one in spellings)


def _name(action: str) -> str:
    return action.rpartition("/")[2]
