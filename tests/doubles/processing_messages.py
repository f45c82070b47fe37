"""What a device sends to WS-DSP, read by the readers of its operations, and what a response says of a job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import messages
import pytest
from lxml import etree
from schemas import assert_valid

from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.soap.message import envelope
from postscan.soap.message.faults import Fault
from postscan.soap.services import processing
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces, writing

READERS = {
    "CreatePostScanJob": processing.read_create,
    "SendImage": processing.read_send_image,
    "EndPostScanJob": processing.read_end,
    "CancelPostScanJob": processing.read_cancel,
    "GetPostScanJobElements": processing.read_elements,
}
MORNING = datetime(2026, 5, 4, 7, 8, 9, 125_999, tzinfo=UTC)
FILESHARE = FilterInstructions(namespaces.FILESHARE, b"<a/>")
EMAIL = FilterInstructions(namespaces.EMAIL, b"<a/>")


def read(action: str, body: str) -> Any:
    """Return what the reader of an operation makes of a body."""
    return READERS[action](envelope.read(messages.envelope(messages.headers(action), body)).body)


def changed(action: str, old: str, new: str) -> Any:
    """Return what is read when the good body of an operation is changed in one place."""
    body = messages.BODIES[action]
    assert old in body
    return read(action, body.replace(old, new, 1))


def refused(action: str, old: str, new: str) -> tuple[str, str] | None:
    """Return the detail of the InvalidArgs fault that such a change raises."""
    with pytest.raises(Fault) as caught:
        changed(action, old, new)
    assert caught.value.subcode == "dsp:InvalidArgs"
    return caught.value.detail


def cut(action: str, name: str) -> tuple[str, str]:
    """Return the body of an operation without an argument, and the argument's XML."""
    body = messages.BODIES[action]
    end = f"</dsp:{name}>"
    start, stop = body.index(f"<dsp:{name}>"), body.index(end) + len(end)
    return body[:start] + body[stop:], body[start:stop]


def job(*filters: FilterInstructions, user: str = "clerk@contoso.example") -> Job:
    """Return a new job."""
    wanted = Instructions("Note", filters or (FILESHARE, EMAIL))
    process = ScanProcess(messages.PROCESS_ID, "Notes <& more>", "scan7", wanted)
    owner = Principal("device:1", Proof.ADDRESS)
    return Job.create(JobToken(messages.TOKEN), owner, User("S-1-1-0", user), process, wanted, MORNING)


def names(*texts: str, declared: str = "") -> tuple[RequestedName, ...]:
    """Return the names of a request."""
    listed = "".join(f"<dsp:Name {declared}>{text}</dsp:Name>" for text in texts)
    body = messages.ELEMENTS[: messages.ELEMENTS.index("<dsp:Name>")]
    request = f"{body}{listed}</dsp:RequestedElements></dsp:GetPostScanJobElementsRequest>"
    return read("GetPostScanJobElements", request).names


def elements(of: Job, *requested: RequestedName) -> etree._Element:
    """Return the JobElements of a valid answer."""
    body = processing.write_elements(of, requested or names("JobStatus", "JobDescription", "Documents"))
    root = assert_valid(writing.write("urn:a", "urn:b", writing.new_message_id(), body))
    return root[1][0][0]


def status(of: Job) -> dict[str, str]:
    """Return the texts of a job's JobStatus by local name."""
    return {
        namespaces.split(one.tag)[1]: one.text or "" for one in elements(of, *names("JobStatus")).iter() if one.text
    }
