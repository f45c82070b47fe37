"""DSC-062 to DSC-093: CancelPostScanJob and GetPostScanJobElements."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from acceptance.scanning import good
from conformance.desk import (
    ALL,
    CHIEF,
    UNKNOWN,
    Desk,
    Office,
    asked,
    dsc,
    element_data,
    fault,
    named,
    of_job,
    open_office,
    shape,
    state_of,
    summaries,
    texts,
)
from conformance.wire import content, header
from works import until

CANCELED = ("Canceled", ["PostScanJobCanceled"])
BAD_TOKENS = {
    "": ("JobToken", ""),
    named(""): ("JobToken", ""),
    named("x" * 256): ("JobToken", "x" * 255),
    named(UNKNOWN) * 2: ("JobToken", UNKNOWN),
    "<dsc:JobToken><dsc:a/></dsc:JobToken>": ("JobToken", ""),
    "<dsc:Token>t</dsc:Token>": ("Token", "t"),
}

# --- cancelling ------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DSC-062", "DSC-071")
def test_a_cancel_is_answered_by_an_empty_response(desk: Desk, job: str) -> None:
    """Its action and its body say what it answers."""
    answer = good(desk.cancel(job))

    assert header(answer, "Action").endswith("/configuration/CancelPostScanJobResponse")
    assert (content(answer).tag, shape(content(answer))) == (dsc("CancelPostScanJobResponse"), [])


@pytest.mark.conformance("DSC-062", "DSC-063")
@pytest.mark.parametrize("arguments", BAD_TOKENS)
def test_a_cancel_without_one_good_token_gets_a_fault(desk: Desk, arguments: str) -> None:
    """Missing, empty, too long, twice there, no text, or another argument: it is named."""
    assert fault(desk.ask("CancelPostScanJob", arguments)) == (
        *("soap:Sender", "dsc:InvalidArgs"),
        BAD_TOKENS[arguments],
    )


@pytest.mark.conformance("DSC-066")
@pytest.mark.parametrize("end", ["unknown", "canceled", "completed", "no GUID"])
def test_a_job_that_is_not_being_processed_is_not_found(office: Office, desk: Desk, end: str) -> None:
    """Whether there never was one, or it has ended, or the token is no GUID; the fault repeats the token."""
    token = {"unknown": UNKNOWN, "no GUID": "job 7"}.get(end, "")
    if end == "canceled":
        token = office.scanner.create("copy")
        good(desk.cancel(token))
    elif end == "completed":
        token = office.scanner.start("copy")
        office.scanner.ended(token)

    assert fault(desk.cancel(token)) == ("soap:Sender", "dsc:ClientErrorJobTokenNotFound", ("JobToken", token))


@pytest.mark.conformance("DSC-067", "DSC-068", "DSC-069", "DSC-070")
def test_a_cancel_stops_what_runs_and_what_has_not_begun(office: Office, desk: Desk) -> None:
    """Of whomever the job is: finished filters stay as they are, the others are Canceled and leave nothing."""
    token = office.scanner.start("copy", "sleep 60", "copy")
    office.server.works.await_trace(token, "sleep")
    good(desk.cancel(token))
    status = of_job(desk, token)

    assert state_of(desk, token) == CANCELED
    assert texts(status, "FilterStatuses", "FilterStatus", "FilterState") == [
        *("CompletedSuccessfully", "Canceled", "Canceled"),
    ]
    assert [line[0] for line in office.server.works.trace(token)] == ["copy", "sleep"]


@pytest.mark.conformance("DSC-067")
def test_the_owner_learns_of_it_and_the_audit_trail_knows_who_it_was(office: Office, desk: Desk) -> None:
    """D3: a job of somebody else; the trail has the administrator's name, and how it was proven."""
    owner = office.named_device()
    token = owner.create("copy")
    good(desk.cancel(token))
    told = good(owner.device.elements(token))
    refused = owner.device.end(token).fault()
    lines = office.server.works.core.store.audit(token)

    assert (told.find("JobState"), told.find("JobStateReason")) == ("Canceled", "PostScanJobCanceled")
    assert refused
    assert refused[1] == "dsp:ServerErrorPostScanJobCanceled"
    assert [(line.who, line.proof, line.outcome) for line in lines if line.verb == "cancel"] == [
        (f"user:{CHIEF}", "certificate", "done")
    ]


@pytest.mark.conformance("DSC-070")
def test_a_job_that_does_not_stop_at_once_is_terminating_until_it_has(tmp_path: Path) -> None:
    """The deviation: the answer does not wait for ever, and says nothing that is not so yet; then it is Canceled."""
    settings = {"running": {"term_seconds": 60.0, "cancel_answer_seconds": 0.0}}
    with open_office(tmp_path, settings) as office:
        token = office.scanner.start("deaf")
        _, worker, *_ = office.server.works.await_trace(token, "deaf")
        good(office.desk.cancel(token))
        first = state_of(office.desk, token)
        os.kill(int(worker), signal.SIGKILL)
        until(lambda: state_of(office.desk, token)[0] != "Terminating", "for the filter to be gone")
        end = state_of(office.desk, token)

    assert first == ("Terminating", ["PostScanJobCanceled"])
    assert end == CANCELED


# --- asking ----------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DSC-073", "DSC-078", "DSC-079")
@pytest.mark.parametrize("names", [ALL, ALL[1:2], ("dsc:Colour",)])
def test_a_question_about_a_job_gets_one_list_of_elements(desk: Desk, job: str, names: tuple[str, ...]) -> None:
    """In the response message; a name that is unknown is no mistake."""
    answer = good(desk.elements(job, *names))

    assert header(answer, "Action").endswith("/configuration/GetPostScanJobElementsResponse")
    assert content(answer).tag == dsc("GetPostScanJobElementsResponse")
    assert shape(content(answer)) == ["JobElements"]


@pytest.mark.conformance("DSC-073", "DSC-074")
@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        (named(UNKNOWN), ("RequestedElements", "")),
        (asked(*ALL), ("JobToken", "")),
        (named(UNKNOWN) + asked(), ("Name", "")),
        (named(UNKNOWN) + asked("nobody:JobStatus"), ("Name", "nobody:JobStatus")),
        (named("") + asked(*ALL), ("JobToken", "")),
        (named(UNKNOWN) + asked(*ALL) + asked(*ALL), ("RequestedElements", "")),
    ],
)
def test_arguments_that_cannot_be_validated_get_a_fault(desk: Desk, arguments: str, detail: tuple[str, str]) -> None:
    """Before the token is looked for: each is named."""
    assert fault(desk.ask("GetPostScanJobElements", arguments)) == ("soap:Sender", "dsc:InvalidArgs", detail)


@pytest.mark.conformance("DSC-077")
@pytest.mark.parametrize("token", [UNKNOWN, "job 7"])
def test_a_job_that_there_is_not_is_not_found(desk: Desk, token: str) -> None:
    """The fault repeats the token."""
    assert fault(desk.elements(token, *ALL)) == (
        *("soap:Sender", "dsc:ClientErrorJobTokenNotFound"),
        ("JobToken", token),
    )


@pytest.mark.conformance("DSC-078")
def test_a_job_of_any_state_is_told_of(office: Office, desk: Desk) -> None:
    """Also one that has ended: that is how the outcome of a cancel is learned."""
    made, done = office.scanner.create("copy"), office.scanner.start("copy")
    office.scanner.ended(done)
    before = state_of(desk, made)
    good(desk.cancel(made))

    assert (before, state_of(desk, made)) == (("Creating", []), CANCELED)
    assert state_of(desk, done) == ("Completed", ["PostScanJobCompletedSuccessfully"])


@pytest.mark.conformance("DSC-080", "DSC-081", "DSC-082", "DSC-083", "DSC-084")
def test_each_name_gets_its_element_in_order(desk: Desk, job: str) -> None:
    """Also the name that stands there twice, and the one that means nothing."""
    names = (ALL[2], "dsc:Colour", ALL[0], ALL[2])

    assert [one.get(dsc("Name")) for one in element_data(desk.elements(job, *names))] == list(names)


@pytest.mark.conformance("DSC-085", "DSC-086", "DSC-093")
def test_an_element_says_whether_it_is_known(desk: Desk, job: str) -> None:
    """What is known has its data, and what is not is empty; the elements of the repository are not known here."""
    data = element_data(desk.elements(job, *ALL, "dsc:RepositoryStatus"))

    assert [(one.get(dsc("Valid")), shape(one)) for one in data] == [
        ("true", ["JobStatus"]),
        ("true", ["JobDescription"]),
        ("true", ["Documents"]),
        ("false", []),
    ]


@pytest.mark.conformance("DSC-087", "DSC-092")
def test_nothing_of_our_own_is_added_unless_it_is_asked_for(desk: Desk, job: str) -> None:
    """Receipts have a name of ours; elements and attributes of the protocol's have none."""
    plain = content(good(desk.elements(job, *ALL)))
    receipts = asked("p:Receipts").replace("<dsc:Name>", '<dsc:Name xmlns:p="urn:postscan:2026">')
    (data,) = element_data(desk.ask("GetPostScanJobElements", named(job) + receipts))

    assert {one.tag.rpartition("}")[0] for one in plain.iter()} == {dsc("").rstrip("}")}
    assert {tuple(one.attrib) for one in plain.iter(dsc("ElementData"))} == {(dsc("Name"), dsc("Valid"))}
    assert (data.get(dsc("Valid")), data[0].tag) == ("true", "{urn:postscan:2026}Receipts")


@pytest.mark.conformance("DSC-088", "DSC-089")
def test_the_status_of_a_job_goes_with_the_job(office: Office, desk: Desk) -> None:
    """State, reasons and filters; when it was made, and in the end when it ended."""
    token = office.scanner.create("copy", "fail FileShareAccessDenied")
    first = of_job(desk, token)
    office.scanner.send(token, 1)
    good(office.scanner.device.end(token))
    office.scanner.ended(token)
    last = of_job(desk, token)

    assert shape(first) == ["JobToken", "JobState", "FilterStatuses", "ImagesReceived", "JobCreatedTime"]
    assert shape(last) == [
        *("JobToken", "JobState", "JobStateReasons", "FilterStatuses", "ImagesReceived"),
        *("JobCreatedTime", "JobCompletedTime"),
    ]
    assert [texts(last, name) for name in ("JobToken", "JobState", "ImagesReceived")] == [[token], ["Aborted"], ["1"]]
    assert texts(last, "FilterStatuses", "FilterStatus", "FilterStateReasons", "FilterStateReason") == [
        "FileShareAccessDenied"
    ]


@pytest.mark.conformance("DSC-088", "DSC-090")
def test_the_description_of_a_job_says_whose_it_is_and_of_which_process(office: Office, desk: Desk) -> None:
    """The user by name."""
    scanner = office.named_device()
    token = scanner.create("copy")
    process_id = office.server.works.core.store.load(token).process_id

    assert [(leaf.tag, leaf.text) for leaf in of_job(desk, token, "JobDescription")] == [
        (dsc("PSP_Identifier"), process_id),
        (dsc("PSP_DisplayName"), "Test process"),
        (dsc("JobOriginatingUserName"), "clerk@fabrikam.example"),
    ]


@pytest.mark.conformance("DSC-088", "DSC-091")
def test_the_documents_of_a_job_are_those_that_were_sent(office: Office, desk: Desk, job: str) -> None:
    """By number, with their formats."""
    office.scanner.send(job, 7, format="jfif")
    office.scanner.send(job, 2, format="png")
    documents = of_job(desk, job, "Documents")

    assert texts(documents, "Document", "DocumentDescription", "DocumentId") == ["2", "7"]
    assert texts(documents, "Document", "DocumentDescription", "Format") == ["png", "jfif"]
    assert texts(summaries(desk.active())[job], "ImagesReceived") == ["2"]
