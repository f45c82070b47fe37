"""DSP-052 to DSP-062: what a device is told of its job."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import Server
from conformance.wire import content, dsp, element_data, invalid, query
from device import DSP

from postscan.core.model.states import JobReason

JOB_STATES = {
    *("Creating", "Pending", "Pending-Held", "Started", "Processing", "Terminating"),
    *("Completed", "Aborted", "Canceled"),
}
JOB_REASONS = {
    *("None", "NoValidPostScanInstructionsFound", "CreatePostScanJobFailed", "SendImageFailed", "PostScanJobCanceled"),
    *("PostScanJobProcessingFailed", "PostScanJobTimedOut", "PostScanJobCompletedSuccessfully"),
    *("PostScanJobCompletedWithErrors", "PostScanJobCompletedWithWarnings"),
}
FILTER_STATES = {
    *("Pending", "Processing", "Canceled"),
    *("CompletedSuccessfully", "CompletedWithErrors", "CompletedWithWarnings"),
}
FILTER_REASONS = {
    *("InvalidArgs", "OutOfDiskSpace", "ServerOutOfMemory", "FileShareAccessDenied", "FileShareOutOfDiskSpace"),
    *("SharePointAccessDenied", "SharePointOutOfDiskSpace", "InvalidSMTPServer", "UnableToSendEmail", "UnknownError"),
}
VENDOR = re.compile(r"\w+:[\w_\-.]+")


@pytest.mark.conformance("DSP-052")
def test_there_is_one_element_data_for_each_name_in_order(scanner: Scanner, token: str) -> None:
    """A name that comes twice is answered twice."""
    asked = ["dsp:Documents", "dsp:Cost", "dsp:JobStatus", "dsp:JobDescription", "dsp:JobStatus", "dsp:Cost"]
    found = element_data(scanner.device.elements(token, *asked))

    assert [one.get(dsp("Name")) for one in found] == asked


@pytest.mark.conformance("DSP-053")
def test_name_and_valid_are_qualified(scanner: Scanner, token: str) -> None:
    """Both are attributes of the namespace of WS-DSP, and there are no others."""
    found = element_data(scanner.device.elements(token, "dsp:JobStatus", "dsp:Cost"))

    assert [one.attrib for one in found] == [
        {dsp("Name"): "dsp:JobStatus", dsp("Valid"): "true"},
        {dsp("Name"): "dsp:Cost", dsp("Valid"): "false"},
    ]


@pytest.mark.conformance("DSP-054")
@pytest.mark.parametrize("name", ["dsp:Cost", "dsp:jobStatus", "wsa:JobStatus", "psp:Filter"])
def test_an_unknown_name_is_not_valid_and_has_no_content(scanner: Scanner, token: str, name: str) -> None:
    """It is no fault, either."""
    (data,) = element_data(scanner.device.elements(token, name))

    assert (data.get(dsp("Valid")), len(data), data.text) == ("false", 0, None)


@pytest.mark.conformance("DSP-055")
def test_status_description_and_documents_are_known(scanner: Scanner, token: str) -> None:
    """Each with the content of its own name, filled with what is true of the job."""
    scanner.send(token, 3, format="jfif")
    names = ("JobStatus", "JobDescription", "Documents")
    answer = scanner.device.elements(token, *(f"dsp:{name}" for name in names))

    assert [[child.tag for child in data] for data in element_data(answer)] == [[dsp(name)] for name in names]
    assert (answer.find("JobToken"), answer.find("JobState")) == (token, "Creating")
    assert (answer.find("PSP_DisplayName"), answer.find("JobOriginatingUserName")) == (
        "Test process",
        scanner.device.user,
    )
    assert (answer.find("DocumentId"), answer.find("Format")) == ("3", "jfif")


SCOPES = {
    f'<dsp:Name xmlns:q="{DSP}">q:JobStatus</dsp:Name>': "true",
    f'<dsp:Name xmlns="{DSP}">JobStatus</dsp:Name>': "true",
    "<dsp:Name>JobStatus</dsp:Name>": "true",
    '<dsp:Name xmlns="urn:other">JobStatus</dsp:Name>': "false",
    '<dsp:Name xmlns:q="urn:other">q:JobStatus</dsp:Name>': "false",
    f'<d:Name xmlns:d="{DSP}" xmlns:dsp="urn:other">dsp:JobStatus</d:Name>': "false",
}


@pytest.mark.conformance("DSP-056")
@pytest.mark.parametrize(("name", "valid"), SCOPES.items())
def test_a_name_means_what_its_prefix_means_where_it_stands(
    scanner: Scanner, token: str, name: str, valid: str
) -> None:
    """The letters of the prefix say nothing; a bare name takes the default namespace, or else that of WS-DSP."""
    (data,) = element_data(scanner.device.post(query(scanner.device, token, name)))

    assert data.get(dsp("Valid")) == valid


@pytest.mark.conformance("DSP-056")
def test_a_prefix_that_is_not_declared_is_refused(scanner: Scanner, token: str) -> None:
    """Such a name means nothing at all."""
    assert invalid(scanner.device.elements(token, "acme:Cost")) == ("Name", "acme:Cost")


@pytest.mark.conformance("DSP-057")
def test_children_stand_in_the_order_of_the_digest(scanner: Scanner) -> None:
    """Written out here again from ws-dsp.md section 5; the test beside it validates the message by our schema."""
    token = scanner.start("fail OutOfDiskSpace", go_on="true")
    scanner.ended(token)
    answer = scanner.device.elements(token, "dsp:JobStatus", "dsp:JobDescription", "dsp:Documents")
    children = {
        one.tag.rpartition("}")[2]: [child.tag.rpartition("}")[2] for child in one]
        for one in content(good(answer)).iter()
    }

    assert children["JobStatus"] == [
        *("JobToken", "JobState", "JobStateReasons", "FilterStatuses", "ImagesReceived"),
        *("JobCreatedTime", "JobCompletedTime"),
    ]
    assert children["FilterStatus"] == ["Dialect", "FilterState", "FilterStateReasons"]
    assert children["JobDescription"] == ["PSP_Identifier", "PSP_DisplayName", "JobOriginatingUserName"]
    assert children["Document"] == ["DocumentDescription"]
    assert children["DocumentDescription"] == ["DocumentId", "Format"]


@pytest.mark.conformance("DSP-058")
def test_there_is_a_filter_status_for_each_filter(scanner: Scanner) -> None:
    """In the order of the instructions, from the first moment to the last."""
    token = scanner.create("warn", "copy")
    first = scanner.device.elements(token)
    good(scanner.device.end(token))
    scanner.ended(token)
    last = scanner.device.elements(token)

    assert first.find_all("Dialect") == last.find_all("Dialect") == ["urn:acme:warn", "urn:acme:copy"]
    assert [len(content(answer).findall(f".//{dsp('FilterStatuses')}/*")) for answer in (first, last)] == [2, 2]


@pytest.mark.conformance("DSP-059")
def test_every_value_is_of_the_enumerations(scanner: Scanner) -> None:
    """Or of a vendor's form; whatever a filter says, and in every state on the way."""
    said = ("OutOfDiskSpace", "acme:TonerLow", "no such reason", "a:b:c")
    token = scanner.start("copy", "warn", *(f"fail {reason}" for reason in said), "raise", go_on="true")
    seen = scanner.polled(token)

    assert {one.state for one in seen} <= JOB_STATES
    assert {reason for one in seen for reason in one.reasons} <= JOB_REASONS
    assert {state for one in seen for state in one.filters} <= FILTER_STATES
    assert all(why in FILTER_REASONS or VENDOR.fullmatch(why) for one in seen for why in one.why)
    assert seen[-1].why == ("OutOfDiskSpace", "acme:TonerLow", "UnknownError", "UnknownError", "UnknownError")


@pytest.mark.conformance("DSP-060")
def test_a_failed_image_is_spelled_as_it_should_be(server: Server, scanner: Scanner, token: str) -> None:
    """SendImageFailed, and no value of ours has the misprint of one schema."""
    store = server.works.core.store
    with store.change(token) as job:
        job.fail(JobReason.SEND_IMAGE_FAILED, job.created)
    answer = scanner.device.elements(token)

    assert answer.find("JobStateReason") == "SendImageFailed"
    assert b"Imange" not in answer.body
    assert "SendImangeFailed" not in {str(reason) for reason in JobReason}


@pytest.mark.conformance("DSP-061")
def test_times_have_a_zone(scanner: Scanner) -> None:
    """Both of them, whatever their form; and they are in UTC."""
    token = scanner.start("copy")
    scanner.ended(token)
    answer = scanner.device.elements(token)
    times = [datetime.fromisoformat(answer.find(f"Job{name}Time") or "") for name in ("Created", "Completed")]

    assert [time.utcoffset() for time in times] == [timedelta()] * 2
    assert times[0] <= times[1]


@pytest.mark.conformance("DSP-062")
def test_the_time_of_completion_comes_with_the_end(scanner: Scanner) -> None:
    """Not before it: neither in Creating nor while the filters run."""
    token = scanner.create("sleep 60")
    scanner.send(token)
    creating = scanner.device.elements(token)
    good(scanner.device.end(token))
    scanner.server.works.await_trace(token, "sleep")
    running = scanner.device.elements(token)
    good(scanner.device.cancel(token))
    scanner.ended(token)

    assert [answer.find("JobCompletedTime") for answer in (creating, running)] == [None, None]
    assert scanner.device.elements(token).find("JobCompletedTime")
