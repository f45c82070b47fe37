"""Every example message of the digests, there and back.

All of them are valid, and here are those of WS-DSP and of the scan process: what is asked gives the values that stand
in it, and what we answer is the example's answer, element for element.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_jobs import PROCESS_ID, TOKEN, a_job
from example_messages import NAMES, example, header, same, shape, shape_of
from lxml import etree
from schemas import assert_valid, with_its_image

from postscan.core.errors import JobCanceled, JobNotFound, Unavailable, WrongState
from postscan.soap.message import addressing, envelope, faults, mtom
from postscan.soap.message import request as message_request
from postscan.soap.message.faults import Fault
from postscan.soap.processes import folder
from postscan.soap.services import operations, processing
from postscan.soap.services.processing import SendImageRequest
from postscan.soap.xml import namespaces

SAID_UNASKED = ("Event", "End", "Hello", "Bye")
REQUESTS = [
    name
    for name in NAMES
    if header(name, "Action") and not header(name, "RelatesTo") and not name.endswith(SAID_UNASKED)
]

MULTIPART = (
    'multipart/related; boundary="b41f7c0e2a"; type="application/xop+xml";\r\n'
    ' start="<env@scan.fabrikam.example>"; start-info="application/soap+xml"'
)
PARTS = (
    b"--b41f7c0e2a\r\n"
    b'Content-Type: application/xop+xml; charset=utf-8; type="application/soap+xml"\r\n'
    b"Content-Transfer-Encoding: binary\r\n"
    b"Content-ID: <env@scan.fabrikam.example>\r\n\r\n%b\r\n"
    b"--b41f7c0e2a\r\n"
    b"Content-Type: application/octet-stream\r\n"
    b"Content-Transfer-Encoding: binary\r\n"
    b"Content-ID: <page1+front@scan.fabrikam.example>\r\n\r\n%b\r\n"
    b"--b41f7c0e2a--\r\n"
)
"""How the image of ws-dsp.md section 13.2 travels: head, and parts around the envelope and the image."""


def read(name: str) -> operations.OperationCall:
    """Return the call of the processing service that an example is."""
    return operations.read(message_request.parse_request(example(name)))


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_example_is_valid(name: str) -> None:
    """By the schema that we publish, or by those that check what else we write (DSC-017)."""
    assert_valid(with_its_image(example(name).decode()).encode())


@pytest.mark.parametrize("name", NAMES)
def test_each_example_is_what_its_name_says(name: str) -> None:
    """By its element, or by its fault; so that none is compared with another."""
    said = name.split("-")[2]
    root = etree.fromstring(example(name))
    content = root.find("soap:Body/*", {"soap": namespaces.SOAP})
    code = root.findtext(".//soap:Subcode/soap:Value", None, {"soap": namespaces.SOAP})
    action = header(name, "Action").rpartition("/")[2]
    local = {
        "dpws-11.4-Get": action,
        "dpws-11.4-GetResponse": action,
        "dpws-11.4-GetMetadataResponse": "GetMetadataResponse" if action == "Response" else "",
        "dpws-11.6-UnsubscribeResponse": action,
        "dpws-11.7-MustUnderstand": (root.findtext(".//soap:Value", "", {"soap": namespaces.SOAP})).partition(":")[2],
    }.get(name) or etree.QName(root if content is None else content).localname.removesuffix("Request")

    assert said == (code.partition(":")[2] if code else local)


def test_none_is_left_out() -> None:
    """Each is asked, answered or said in one of the tests here and in the files beside this one."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_digests*.py"))
    written = {name for name in NAMES if f'"{name}"' in tests}

    assert {name for name in NAMES if name.removesuffix("Response") not in written and name not in written} == set()


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_can_be_answered(name: str) -> None:
    """Its header says what it is, where it goes, and what an answer relates to."""
    understood = addressing.read(envelope.read(example(name)).headers)
    said = [header(name, block) for block in ("Action", "MessageID", "To")]

    assert [understood.action, understood.message_id, understood.to] == said


# --- WS-DSP ----------------------------------------------------------------------------------------------------------


def test_create_says_who_which_process_and_what_to_do() -> None:
    """ws-dsp.md section 13.1."""
    request = read("dsp-13.1-CreatePostScanJob").request
    sent = etree.fromstring(example("dsp-13.1-CreatePostScanJob"))
    configs = [next(iter(one)) for one in sent.iter(namespaces.psp("Instructions"))]

    assert request.user_sid == "S-1-5-21-2402718811-3310478420-1187263055-1613"
    assert request.process_id == PROCESS_ID
    assert (request.instructions.document_root, request.instructions.continue_on_error) == ("Invoice", True)
    assert [one.dialect for one in request.instructions.filters] == [namespaces.FILESHARE, namespaces.EMAIL]
    assert [shape_of(one.xml) for one in request.instructions.filters] == list(map(shape, configs))


def test_an_image_travels_beside_its_message() -> None:
    """ws-dsp.md section 13.2: the reference is percent-encoded, and the name of the part is not."""
    image = b"%PDF-1.4 ... \r\n--b41f7c0e2b ... binary ...\xff\x00"
    media = mtom.media(MULTIPART)
    splitter = mtom.Splitter(media.boundary, media.start)
    root, started, *parts, ended = splitter.feed(PARTS % (example("dsp-13.2-SendImage"), image))
    splitter.close()

    assert media.kind == "mtom"
    assert isinstance(root, mtom.Root)
    assert isinstance(started, mtom.PartStarted)
    assert (root.data, started.encoding, ended) == (example("dsp-13.2-SendImage"), "binary", mtom.PartEnded())
    assert b"".join(one.data for one in parts if isinstance(one, mtom.PartData)) == image
    request = operations.read(message_request.parse_request(root.data)).request
    assert request == SendImageRequest(TOKEN, 1, "pdf-a", "page1%2Bfront@scan.fabrikam.example", None)
    assert mtom.same_content_id(request.cid, started.content_id)


def test_an_image_may_stand_in_its_message() -> None:
    """The same in base64, and no second part (ws-dsp.md section 13.2)."""
    request = read("dsp-13.2-SendImage-inline").request

    assert request == SendImageRequest(TOKEN, 1, "pdf-a", None, b"%PDF-1.4\n")


@pytest.mark.parametrize("name", ["dsp-13.3-EndPostScanJob", "dsp-13.4-CancelPostScanJob"])
def test_end_and_cancel_say_which_job(name: str) -> None:
    """ws-dsp.md sections 13.3 and 13.4."""
    assert read(name).request.token == TOKEN


def test_elements_are_asked_for_by_name() -> None:
    """ws-dsp.md section 13.5: four, of which one is somebody else's."""
    request = read("dsp-13.5-GetPostScanJobElements").request

    assert request.token == TOKEN
    assert [(one.text, one.namespace, one.local) for one in request.names] == [
        ("dsp:JobStatus", namespaces.DSP, "JobStatus"),
        ("dsp:JobDescription", namespaces.DSP, "JobDescription"),
        ("acme:Cost", "urn:example:acme", "Cost"),
        ("dsp:Documents", namespaces.DSP, "Documents"),
    ]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("dsp-13.1-CreatePostScanJob", lambda _request: processing.write_created(TOKEN)),
        ("dsp-13.2-SendImage", lambda _request: processing.SEND_IMAGE_RESPONSE),
        ("dsp-13.3-EndPostScanJob", lambda _request: processing.END_RESPONSE),
        ("dsp-13.4-CancelPostScanJob", lambda _request: processing.CANCEL_RESPONSE),
        ("dsp-13.5-GetPostScanJobElements", lambda request: processing.write_elements(a_job(), request.names)),
    ],
)
def test_the_service_answers_as_in_the_example(name: str, write: Callable[[Any], str]) -> None:
    """ws-dsp.md sections 13.1 to 13.5: the same elements in the same order, with the same attributes."""
    call = read(name)

    assert same(addressing.reply(call.header, write(call.request)), f"{name}Response")


FAULTS: dict[str, Fault] = {
    "dsp-13.6-ActionNotSupported": faults.action_not_supported(namespaces.DSP + "/PauseJob"),
    "dsp-13.6-ClientErrorJobTokenNotFound": faults.from_error(JobNotFound(TOKEN)),
    "dsp-13.6-InvalidArgs": faults.invalid_argument("UserIdentifier", "mlopez"),
    "dsp-13.6-OperationFailed": faults.from_error(WrongState("end", "Completed")),
    "dsp-13.6-ServerErrorInternalError": faults.from_error(ZeroDivisionError("of ours")),
    "dsp-13.6-ServerErrorPostScanJobCanceled": faults.from_error(JobCanceled("receive", "Canceled")),
    "dsp-13.6-ServerErrorTemporaryError": faults.from_error(Unavailable("the disk is full")),
    "dpws-11.7-MustUnderstand": faults.must_understand([("urn:example:x", "Lock")]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_as_in_the_examples(name: str) -> None:
    """ws-dsp.md section 13.6; dpws.md section 11.7: code, subcode, the reason to the letter, the detail."""
    assert same(faults.write(FAULTS[name], header(name, "RelatesTo")), name)


# --- the scan process ------------------------------------------------------------------------------------------------


def test_a_stored_process_says_what_happens() -> None:
    """scan-process.md section 3.1: repository, three filters, and what a device may change."""
    repository, instructions, other_name, other_path = folder.read_process(example("psp-3.1-PostScanProcess"))
    stored = etree.fromstring(example("psp-3.1-PostScanProcess"))
    configs = [next(iter(one)) for one in stored.iter(namespaces.psp("Instructions"))]

    assert (repository, other_name, other_path) == ("scan01.fabrikam.example", True, False)
    assert (instructions.document_root, instructions.continue_on_error) == ("Invoice", True)
    assert [one.dialect for one in instructions.filters] == [
        namespaces.FILESHARE,
        namespaces.EMAIL,
        namespaces.SHAREPOINT,
    ]
    assert [shape_of(one.xml) for one in instructions.filters] == list(map(shape, configs))
