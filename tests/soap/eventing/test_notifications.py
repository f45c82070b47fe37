"""What a happening means for subscribers, and which of it a filter lets pass."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lxml import etree
from schemas import assert_valid

from postscan.core.model.job import JobToken
from postscan.core.model.principal import User
from postscan.core.model.snapshot import FilterSnapshot, JobChange, Snapshot
from postscan.core.model.states import FilterState, JobState
from postscan.core.model.subscription import EventService
from postscan.soap.eventing import notifications
from postscan.soap.xml import writing

DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
DSC = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/configuration"
WSCN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
STATUS, END = "PostScanJobStatusEvent", "PostScanJobEndStateEvent"
BOTH = (f"{DSP}/{STATUS}", f"{DSP}/{END}")
MORNING = datetime(2026, 3, 2, 9, 41, 7, 125_000, tzinfo=UTC)
JOB = Snapshot(
    token=JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935"),
    user=User("S-1-5-21-1-2-3-1001", "mlopez@fabrikam.example"),
    process_id="7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7",
    process_name="Invoices to accounting",
    state=JobState.COMPLETED,
    reasons=("PostScanJobCompletedSuccessfully",),
    steps=(FilterSnapshot("urn:acme:copy", FilterState.SUCCEEDED, ()),),
    images_received=1,
    created=MORNING,
    completed=MORNING,
)


def names(told: list[notifications.Notification]) -> list[str]:
    """Return the actions."""
    return [one.action for one in told]


@pytest.mark.parametrize(("port", "namespace"), [(EventService.PROCESSING, DSP), (EventService.CONFIGURATION, DSC)])
def test_the_end_of_a_job_is_two_messages(port: EventService, namespace: str) -> None:
    """DSP-065: its last status, and then its end, in the words of either service; both are valid."""
    told = notifications.messages(port, JobChange(7, JOB, ended=True))

    assert names(told) == [f"{namespace}/{STATUS}", f"{namespace}/{END}"]
    for action, body in told:
        message = assert_valid(writing.write(action, "x", writing.new_message_id(), body))
        assert message[1][0].tag == f"{{{namespace}}}{action.rpartition('/')[2]}"


def test_a_change_on_the_way_is_one_message() -> None:
    """DSP-063, DSP-064."""
    assert names(notifications.messages(EventService.PROCESSING, JobChange(7, JOB))) == [f"{DSP}/{STATUS}"]


def test_the_repository_is_told_of_to_administrators_only() -> None:
    """ws-dsc.md section 3.1."""
    state, filters = JobChange(8, None, state="Processing"), JobChange(9, None, filters=("urn:acme:copy",))

    assert (
        notifications.messages(EventService.PROCESSING, state)
        == notifications.messages(EventService.PROCESSING, filters)
        == []
    )
    told = notifications.messages(EventService.CONFIGURATION, state) + notifications.messages(
        EventService.CONFIGURATION, filters
    )
    assert names(told) == [f"{DSC}/RepositoryStatusSummaryEvent", f"{DSC}/RepositoryElementsChangeEvent"]
    assert etree.fromstring(assert_sound(told[0])).findtext(f".//{{{DSC}}}RepositoryState") == "Processing"
    assert "urn:acme:copy" in assert_sound(told[1]).decode()


def assert_sound(notice: notifications.Notification) -> bytes:
    """Return a message with this notice; fail if it is not valid."""
    message = writing.write(notice.action, "x", writing.new_message_id(), notice.body)
    assert_valid(message)
    return message


@pytest.mark.parametrize(
    ("listed", "passing"),
    [
        (BOTH, BOTH),
        (BOTH[:1], BOTH[:1]),
        ((BOTH[1], "urn:x"), BOTH[1:]),
        ((DSP,), BOTH),
        ((DSP + "/",), BOTH),
        (("http://schemas.microsoft.com/windows/2008",), BOTH),
        ((f"{WSCN}/{STATUS}",), BOTH[:1]),
        ((f"{WSCN}/{STATUS}", f"{WSCN}/{END}"), BOTH),
        ((STATUS, END), BOTH),
        ((f"{DSP}/PostScanJob",), ()),
        ((f"{WSCN}/ScannerStatusSummaryEvent",), ()),
        ((f"{DSP}/../processing/{STATUS}",), ()),
        ((f"{DSC}/{STATUS}",), ()),
        (("RepositoryStatusSummaryEvent",), ()),
        ((), ()),
    ],
)
def test_a_filter_names_actions_or_what_they_lie_below(listed: tuple[str, ...], passing: tuple[str, ...]) -> None:
    """DPW-058, DPW-059: also in the namespace of WS-Scan, or without any (dpws.md section 8.1)."""
    assert notifications.chosen(EventService.PROCESSING, listed) == passing


def test_the_configuration_service_has_four_events() -> None:
    """ws-dsc.md section 3.1."""
    names = ("RepositoryElementsChangeEvent", "RepositoryStatusSummaryEvent", STATUS, END)

    assert notifications.chosen(EventService.CONFIGURATION, [DSC]) == tuple(f"{DSC}/{name}" for name in names)
    assert notifications.chosen(EventService.CONFIGURATION, [STATUS]) == (f"{DSC}/{STATUS}",)
    assert notifications.chosen(EventService.CONFIGURATION, [f"{DSP}/{STATUS}", f"{WSCN}/{STATUS}"]) == ()
