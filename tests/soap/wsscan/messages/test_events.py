"""The events of a device as values."""

from __future__ import annotations

import pytest
from lxml import etree
from scripted_scanner import envelope

from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import envelope as messages
from postscan.soap.wsscan.messages.events import (
    ElementsChangeEvent,
    JobEndStateEvent,
    JobStatusEvent,
    OtherEvent,
    ScanAvailableEvent,
    read_event,
)


def body(xml: str) -> etree._Element:
    """Return the element in the Body of an event."""
    return messages.body_of(messages.read_envelope(envelope(xml)))


def test_a_press_has_context_identifier_and_source() -> None:
    """The source may be missing."""
    xml = "<w:ClientContext> c </w:ClientContext><w:ScanIdentifier>7</w:ScanIdentifier>"

    assert read_event(body(f"<w:ScanAvailableEvent>{xml}</w:ScanAvailableEvent>")) == ScanAvailableEvent("c", "7")
    xml += "<w:InputSource>ADF</w:InputSource>"
    assert read_event(body(f"<w:ScanAvailableEvent>{xml}</w:ScanAvailableEvent>")) == ScanAvailableEvent(
        "c", "7", "ADF"
    )


@pytest.mark.parametrize(
    "xml",
    [
        "<w:ScanIdentifier>7</w:ScanIdentifier>",
        "<w:ClientContext>c</w:ClientContext>",
        f"<w:ClientContext>c</w:ClientContext><w:ScanIdentifier>{'7' * 256}</w:ScanIdentifier>",
        f"<w:ClientContext>{'c' * 256}</w:ClientContext><w:ScanIdentifier>7</w:ScanIdentifier>",
    ],
)
def test_a_press_without_its_names_is_refused(xml: str) -> None:
    """Or with names that are too long."""
    with pytest.raises(InvalidAnswer):
        read_event(body(f"<w:ScanAvailableEvent>{xml}</w:ScanAvailableEvent>"))


@pytest.mark.conformance("WSS-062")
def test_the_end_of_a_job_has_its_state_and_reasons() -> None:
    """As the published example has it."""
    xml = (
        "<w:JobEndStateEvent><w:JobEndState><w:JobId>253</w:JobId><w:JobCompletedState>Canceled</w:JobCompletedState>"
        "<w:JobCompletedStateReasons><w:JobStateReason>JobCanceledAtDevice</w:JobStateReason>"
        "</w:JobCompletedStateReasons></w:JobEndState></w:JobEndStateEvent>"
    )

    assert read_event(body(xml)) == JobEndStateEvent(253, "Canceled", ("JobCanceledAtDevice",))


def test_other_events_are_recognised() -> None:
    """A job in another state, changed elements, and the rest by name."""
    status = "<w:JobStatus><w:JobId>1</w:JobId><w:JobState>Processing</w:JobState></w:JobStatus>"

    assert read_event(body(f"<w:JobStatusEvent>{status}</w:JobStatusEvent>")) == JobStatusEvent(1, "Processing")
    assert read_event(body("<w:ScannerElementsChangeEvent/>")) == ElementsChangeEvent()
    assert read_event(body("<w:ScannerStatusSummaryEvent/>")) == OtherEvent("ScannerStatusSummaryEvent")


@pytest.mark.parametrize("xml", ["", "<w:JobEndState/>", "<w:JobEndState><w:JobId>x</w:JobId></w:JobEndState>"])
def test_the_end_of_no_job_is_refused(xml: str) -> None:
    """It cannot be related to anything."""
    with pytest.raises(InvalidAnswer):
        read_event(body(f"<w:JobEndStateEvent>{xml}</w:JobEndStateEvent>"))
