"""What a response says of a job: its status, its description and its documents, valid whatever the job holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import messages
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from processing_messages import FILESHARE, MORNING, elements, job, names, status

from postscan.core.model.job import JobDocument
from postscan.core.model.states import FilterReason, FilterState, FilterVerb, JobReason, JobState
from postscan.soap.services import job_elements
from postscan.soap.xml import namespaces

WORD = etree.XMLSchema(
    etree.fromstring(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a"><xs:simpleType>'
        r'<xs:restriction base="xs:string"><xs:pattern value="\w"/></xs:restriction>'
        "</xs:simpleType></xs:element></xs:schema>"
    )
)


def test_what_a_word_is_is_for_xsd_to_say():
    r"""Our `\w` and that of the schema agree; libxml2's tables are older, but not for these (ruling 19)."""
    characters = [*map(chr, range(0x20, 0x7F)), "\u0301", "\u00aa", "é", "×", "«", "一", "\u2028", "\u200b"]
    by_schema = [one for one in characters if WORD.validate(_holding(one))]

    assert [one for one in characters if job_elements.is_word(one)] == by_schema


def _holding(text: str) -> etree._Element:
    """Return an element with this text."""
    element = etree.Element("a")
    element.text = text
    return element


def test_the_status_of_a_new_job():
    """No reasons yet, one status a filter, no time of completion (DSP-057, DSP-058, DSP-062)."""
    (data,) = elements(job(), *names("JobStatus"))
    children = [namespaces.split(one.tag)[1] for one in data[0]]

    assert children == ["JobToken", "JobState", "FilterStatuses", "ImagesReceived", "JobCreatedTime"]
    assert status(job())["JobState"] == "Creating"
    assert [one[0].text for one in data[0][2]] == [namespaces.FILESHARE, namespaces.EMAIL]


def test_the_status_of_a_finished_job():
    """States, reasons and times, all in place (DSP-057, DSP-059, DSP-062)."""
    done = job()
    done.end(MORNING)
    done.claim(MORNING)
    done.start(0, MORNING)
    done.report(0, FilterVerb.FAIL, MORNING, [FilterReason.FILE_SHARE_ACCESS_DENIED, "acme:Quota"])
    done.start(1, MORNING)
    done.report(1, FilterVerb.SUCCEED, MORNING)
    done.finish(MORNING + timedelta(seconds=2))
    (data,) = elements(done, *names("JobStatus"))
    texts = [one.text for one in data.iter() if one.text]

    assert texts == [
        *(messages.TOKEN, "Completed", "PostScanJobCompletedWithErrors"),
        *(namespaces.FILESHARE, "CompletedWithErrors", "FileShareAccessDenied", "acme:Quota"),
        *(namespaces.EMAIL, "CompletedSuccessfully"),
        *("0", "2026-05-04T07:08:09.125Z", "2026-05-04T07:08:11.125Z"),
    ]


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("reason", JobReason)
def test_every_state_and_reason_of_a_job_is_valid(state, reason):
    """What the core can say, the schema knows (DSP-059, DSP-060)."""
    one = job()
    one.state, one.reasons = state, (reason,)

    assert status(one)["JobStateReason"] == reason


@pytest.mark.parametrize("state", FilterState)
def test_every_state_of_a_filter_is_valid(state):
    """What the core can say, the schema knows (DSP-059)."""
    one = job(FILESHARE)
    one.steps[0] = replace(one.steps[0], state=state)

    assert status(one)["FilterState"] == state


@pytest.mark.parametrize("reason", [*FilterReason, "acme:Quota", "a:b-c_d.e", "größe:voll"])
def test_a_keyword_is_a_reason(reason):
    """The protocol's own, or a vendor's (DSP-059)."""
    one = job(FILESHARE)
    one.report(0, FilterVerb.FAIL, MORNING, [reason])

    assert status(one)["FilterStateReason"] == reason


@pytest.mark.parametrize(
    "reason", ["", "Quota", "acme:", ":Quota", "a:b:c", "a b:c", "acme:no room", "a:b" * 99, "<a>:b", "a_b:c"]
)
def test_what_is_no_keyword_is_an_unknown_error(reason):
    """A plugin cannot break our messages (DSP-059, T-P6)."""
    one = job(FILESHARE)
    one.report(0, FilterVerb.FAIL, MORNING, [reason])

    assert status(one)["FilterStateReason"] == "UnknownError"


def test_a_reason_is_said_once():
    """Two bad reasons are one unknown error."""
    one = job(FILESHARE)
    one.report(0, FilterVerb.FAIL, MORNING, ["x", "y", "acme:Quota", "acme:Quota"])
    (data,) = elements(one, *names("JobStatus"))

    assert [reason.text for reason in data.iter(namespaces.dsp("FilterStateReason"))] == ["UnknownError", "acme:Quota"]


def test_the_description_of_a_job():
    """Process, its name, and the user (DSP-055)."""
    (data,) = elements(job(user="o'hara & sons@contoso"), *names("JobDescription"))

    assert [one.text for one in data[0]] == [messages.PROCESS_ID, "Notes <& more>", "o'hara & sons@contoso"]


def test_long_names_are_cut():
    """The directory allows 256 characters, the protocol 255 (DSP-020, PSP-040)."""
    one = job(user="u" * 256)
    one.process_name = "n" * 256
    (data,) = elements(one, *names("JobDescription"))

    assert [len(child.text) for child in data[0][1:]] == [255, 255]


def test_the_documents_of_a_job():
    """By ascending id, with their formats (DSP-055, O-24)."""
    one = job()
    one.receive(JobDocument(9, "png", 1, "00", "b"), MORNING)
    one.receive(JobDocument(2, "image/x-acme", 1, "01", "c"), MORNING)
    (data,) = elements(one, *names("Documents"))

    assert [[leaf.text for leaf in document[0]] for document in data[0]] == [["2", "image/x-acme"], ["9", "png"]]
    assert status(one)["ImagesReceived"] == "2"


def test_times_are_in_utc_to_the_millisecond():
    """Whatever zone they came in (DSP-061)."""
    one = job()
    one.created = datetime(2026, 5, 4, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))

    assert status(one)["JobCreatedTime"] == "2026-05-03T23:02:03.000Z"


@given(st.text(st.characters()), st.text(st.characters(exclude_categories=["Cs"])))
def test_no_name_of_a_user_or_process_can_break_an_answer(user, process):
    """Everything is escaped in one place (T-X11)."""
    one = job(user=user)
    one.process_name = process

    assert len(elements(one)) == 3


def test_a_job_that_is_open_has_no_event_of_its_end() -> None:
    """Such an event would be a promise that the job keeps its state."""
    with pytest.raises(ValueError, match="has not ended"):
        job_elements.end_event("dsp", job())
