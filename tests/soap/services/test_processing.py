"""The messages of WS-DSP: what a device may write in each request, and what the server answers."""

from __future__ import annotations

import messages
import pytest
from processing_messages import changed, read, refused
from schemas import assert_valid

from postscan.core.model import formats
from postscan.soap.services import processing
from postscan.soap.services.arguments import ElementsRequest, TokenRequest
from postscan.soap.services.processing import SendImageRequest
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces, writing


def test_a_create_request_is_read():
    """User, process and instructions (DSP-014)."""
    request = read("CreatePostScanJob", messages.CREATE)

    assert (request.user_sid, request.process_id) == (messages.SID, messages.PROCESS_ID)
    assert request.instructions.document_root == "Delivery note"
    assert [one.dialect for one in request.instructions.filters] == [
        namespaces.FILESHARE,
        namespaces.EMAIL,
        namespaces.SHAREPOINT,
    ]


def test_a_send_image_request_is_read():
    """Its document may have any number, and its bytes are elsewhere (DSP-034)."""
    expected = SendImageRequest(messages.TOKEN, 9, "jfif", "p1%2Bfront@mfp", None)

    assert read("SendImage", messages.SEND_IMAGE) == expected


@pytest.mark.parametrize("action", ["EndPostScanJob", "CancelPostScanJob"])
def test_a_request_of_a_token_is_read(action):
    """End and Cancel say which job, and nothing else."""
    assert read(action, messages.BODIES[action]) == TokenRequest(messages.TOKEN)


def test_a_request_for_elements_is_read():
    """In the order of the request, each name resolved where it stands (DSP-056)."""
    expected = ElementsRequest(
        messages.TOKEN,
        (
            RequestedName("dsp:JobStatus", namespaces.DSP, "JobStatus"),
            RequestedName("dsp:JobDescription", namespaces.DSP, "JobDescription"),
            RequestedName("acme:Cost", "urn:example:acme", "Cost"),
            RequestedName("dsp:Documents", namespaces.DSP, "Documents"),
        ),
    )

    assert read("GetPostScanJobElements", messages.ELEMENTS) == expected


@pytest.mark.parametrize(
    ("sid", "read_as"),
    [
        ("S-1-1-0", "S-1-1-0"),
        ("s-1-5-18", "S-1-5-18"),
        ("S-1-4294967295-4294967295", "S-1-4294967295-4294967295"),
        ("S-1-0x100000000-1", "S-1-0x100000000-1"),
        ("S-1-5" + "-1" * 15, "S-1-5" + "-1" * 15),
    ],
)
def test_a_sid_is_read(sid, read_as):
    """Authority and 1 to 15 sub-authorities; the S is written large."""
    assert changed("CreatePostScanJob", messages.SID, sid).user_sid == read_as


@pytest.mark.parametrize(
    "sid",
    [
        *("mlopez", "S-1-5", "S-2-5-18", "S-1-5-", "S-1--5-18", "S-1-5-x", "S-1-5-4294967296", "S-1-4294967296-1"),
        *(
            "S-1-5" + "-1" * 16,
            "S-1-0x1000000000000-1",
            "S-1-5-18 S-1-5-19",
            "S-1-5-\u0661",
            "S-1-5-18\u00a0",
            "S-1-5-1e3",
        ),
    ],
)
def test_a_user_identifier_that_is_no_sid_is_named(sid):
    """The fault shows the value (DSP-016)."""
    assert refused("CreatePostScanJob", messages.SID, sid) == (namespaces.dsp("UserIdentifier"), sid)


@pytest.mark.parametrize("written", ["{}", "{{{}}}", "  {{{}}} "])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_a_guid_is_read_in_any_case_and_with_braces(written, case):
    """It is kept in upper case without braces (DSP-018, O-16, ws-dsp.md quirk 13)."""
    guid = written.format(case(messages.PROCESS_ID))

    assert changed("CreatePostScanJob", messages.PROCESS_ID, guid).process_id == messages.PROCESS_ID


@pytest.mark.parametrize(
    "guid",
    ["x", "{" + messages.PROCESS_ID, messages.PROCESS_ID + "}", messages.PROCESS_ID.replace("-", ""), "../" * 12],
)
def test_a_process_identifier_that_is_no_guid_is_named(guid):
    """It is an argument like any other (O-4)."""
    assert refused("CreatePostScanJob", messages.PROCESS_ID, guid) == (namespaces.dsp("PSP_Identifier"), guid)


def test_a_fault_of_the_instructions_is_a_fault_of_create():
    """They are an argument, too, and the element that is wrong is named (DSP-019)."""
    assert refused("CreatePostScanJob", "Delivery note", "x" * 256)[0] == namespaces.psp("DocumentRootName")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("2147483647", 2_147_483_647), ("007", 7), ("+3", 3), ("0" * 50 + "1", 1), (" 9 ", 9)],
)
def test_a_document_id_is_read(text, number):
    """As XML Schema writes an int (DSP-034)."""
    assert changed("SendImage", ">9<", f">{text}<").document_id == number


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-1", "+0", "2147483648", "4294967297", "9223372036854775808", "1e9", "1.0", "0x1", "", "one", "1 2"),
        *("\u0661", "\uff11", "\u00a09\u00a0", "9_0", "+-1", "9" * 200),
    ],
)
def test_a_document_id_that_is_no_number_from_one_up_is_named(text):
    """Neither zero, nor too large, nor digits of other scripts (DSP-033, T-X12)."""
    assert refused("SendImage", ">9<", f">{text}<") == (namespaces.dsp("DocumentId"), text)


@pytest.mark.parametrize("format", formats.KEYWORDS)
def test_every_format_of_the_protocol_is_read(format):
    """All sixteen of them (DSP-037)."""
    assert changed("SendImage", "jfif", format).format == format
    assert len(formats.KEYWORDS) == 16


@pytest.mark.parametrize("format", ["image/png", "acme:raw;v-1", "a\\b+c.d_e", "äöü", "x" * 255])
def test_a_format_like_a_media_type_is_read(format):
    """A vendor may have its own (DSP-037)."""
    assert changed("SendImage", "jfif", format).format == format


@pytest.mark.parametrize("format", ["", "a b", "_a", "/png", ".png", "a,b", "a(b)", "a\u200bb", "a\u2028b", "x" * 256])
def test_a_format_that_matches_nothing_is_named(format):
    """Neither a keyword nor like a media type (DSP-038)."""
    assert refused("SendImage", "jfif", format)[0] == namespaces.dsp("Format")


@pytest.mark.parametrize(
    "body",
    [
        processing.write_created(messages.TOKEN),
        processing.SEND_IMAGE_RESPONSE,
        processing.END_RESPONSE,
        processing.CANCEL_RESPONSE,
    ],
)
def test_every_answer_is_valid(body):
    """The whole envelope holds by our schema."""
    assert assert_valid(writing.write("urn:a", "urn:b", writing.new_message_id(), body))[1][0].tag.endswith("Response")


def test_a_created_job_is_told_by_its_token():
    """Exactly as it was issued (DSP-023)."""
    assert processing.write_created("a<b").count("<dsp:JobToken>a&lt;b</dsp:JobToken>") == 1
