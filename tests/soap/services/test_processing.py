"""The messages of WS-DSP."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import messages
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from schemas import assert_valid

from postscan.core.model import formats
from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.core.model.states import FilterReason, FilterState, FilterVerb, JobReason, JobState
from postscan.soap.message import envelope
from postscan.soap.message.faults import Fault
from postscan.soap.services import job_elements, processing
from postscan.soap.services.arguments import ElementsRequest, TokenRequest
from postscan.soap.services.processing import SendImageRequest
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
WORD = etree.XMLSchema(
    etree.fromstring(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a"><xs:simpleType>'
        r'<xs:restriction base="xs:string"><xs:pattern value="\w"/></xs:restriction>'
        "</xs:simpleType></xs:element></xs:schema>"
    )
)
FILESHARE = FilterInstructions(namespaces.FILESHARE, b"<a/>")
EMAIL = FilterInstructions(namespaces.EMAIL, b"<a/>")


def read(action: str, body: str):
    """Return what the reader of an operation makes of a body."""
    return READERS[action](envelope.read(messages.envelope(messages.headers(action), body)).body)


def changed(action: str, old: str, new: str):
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


def image(content: str) -> str:
    """Return a SendImage body with another ImageData."""
    start = messages.SEND_IMAGE.index("<dsp:ImageData>") + len("<dsp:ImageData>")
    return messages.SEND_IMAGE[:start] + content + "</dsp:ImageData></dsp:SendImageRequest>"


def include(href: str, namespace: str = namespaces.XOP, content: str = "") -> str:
    """Return an xop:Include."""
    return f'<x:Include xmlns:x="{namespace}" href="{href}">{content}</x:Include>'


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


# Reading


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


@pytest.mark.parametrize("action", READERS)
@pytest.mark.parametrize("other", READERS)
def test_a_body_belongs_to_its_action(action, other):
    """The body of another operation is refused, by its own name (DSP-005, T-X7)."""
    if action == other:
        assert read(action, messages.BODIES[action])
        return
    with pytest.raises(Fault) as caught:
        read(action, messages.BODIES[other])
    assert caught.value.detail == (namespaces.dsp(f"{other}Request"), "")


REQUIRED = [
    ("CreatePostScanJob", "UserIdentifier"),
    ("CreatePostScanJob", "PSP_Identifier"),
    ("CreatePostScanJob", "PostScanInstructions"),
    ("SendImage", "JobToken"),
    ("SendImage", "DocumentDescription"),
    ("SendImage", "DocumentId"),
    ("SendImage", "Format"),
    ("SendImage", "ImageData"),
    ("EndPostScanJob", "JobToken"),
    ("CancelPostScanJob", "JobToken"),
    ("GetPostScanJobElements", "JobToken"),
    ("GetPostScanJobElements", "RequestedElements"),
]


def _cut(action: str, name: str) -> tuple[str, str]:
    """Return the body of an operation without an argument, and the argument's XML."""
    body = messages.BODIES[action]
    end = f"</dsp:{name}>"
    start, stop = body.index(f"<dsp:{name}>"), body.index(end) + len(end)
    return body[:start] + body[stop:], body[start:stop]


@pytest.mark.parametrize(("action", "name"), REQUIRED)
def test_a_missing_argument_is_named(action, name):
    """The fault holds the element, empty (DSP-015)."""
    with pytest.raises(Fault) as caught:
        read(action, _cut(action, name)[0])
    assert caught.value.detail == (namespaces.dsp(name), "")


@pytest.mark.parametrize(("action", "name"), REQUIRED)
def test_a_repeated_argument_is_named(action, name):
    """Two of one argument could be read differently by two readers (O-32, T-X8)."""
    xml = _cut(action, name)[1]

    assert refused(action, xml, xml + xml)[0] == namespaces.dsp(name)


@pytest.mark.parametrize("action", READERS)
def test_an_unknown_argument_is_named(action):
    """There is no argument of that name (O-32)."""
    assert refused(action, "Request>", "Request><dsp:Priority>9</dsp:Priority>") == (namespaces.dsp("Priority"), "9")


@pytest.mark.parametrize("action", READERS)
def test_foreign_elements_and_attributes_are_ignored(action):
    """Extensions of other namespaces are nobody's business (DSP-086, T-X10)."""
    extension = f'<x:JobToken xmlns:x="urn:x">other</x:JobToken><JobToken>{messages.TOKEN}</JobToken>'

    assert changed(action, "Request>", f'Request x:a="b" xmlns:x="urn:x">{extension}') == read(
        action, messages.BODIES[action]
    )


@pytest.mark.parametrize(("action", "first"), [("CreatePostScanJob", "UserIdentifier"), ("SendImage", "JobToken")])
def test_arguments_may_come_in_any_order(action, first):
    """Some devices sort them their own way (O-32)."""
    rest, xml = _cut(action, first)
    end = f"</dsp:{action}Request>"

    assert read(action, rest.replace(end, xml + end)) == read(action, messages.BODIES[action])


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("CreatePostScanJob", messages.SID),
        ("CreatePostScanJob", messages.PROCESS_ID),
        ("CreatePostScanJob", f"{messages.FILTER}email"),
        ("SendImage", messages.TOKEN),
        ("SendImage", "jfif"),
        ("SendImage", ">9<"),
        ("EndPostScanJob", messages.TOKEN),
        ("GetPostScanJobElements", "dsp:JobStatus"),
    ],
)
def test_white_space_around_values_is_trimmed(action, value):
    """Pretty-printed messages mean the same (DSP-011, ws-dsp.md quirk 1)."""
    spaced = ">\n 9\t<" if value == ">9<" else f"\r\n\t {value} \n"

    assert changed(action, value, spaced) == read(action, messages.BODIES[action])


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


@pytest.mark.parametrize("token", ["not-a-guid", "x" * 255, "{A}", "ä b"])
def test_a_token_is_opaque(token):
    """Whether there is such a job is not for the codec to say (DSP-025, O-17)."""
    assert changed("EndPostScanJob", messages.TOKEN, token) == TokenRequest(token)


@pytest.mark.parametrize("token", ["", "  ", "x" * 256, "a<b/>", "<b/>a"])
@pytest.mark.parametrize("action", ["SendImage", "EndPostScanJob", "CancelPostScanJob", "GetPostScanJobElements"])
def test_a_token_that_cannot_be_one_is_named(action, token):
    """Empty, too long, or with elements inside (DSP-020, T-X8)."""
    assert refused(action, messages.TOKEN, token)[0] == namespaces.dsp("JobToken")


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


@pytest.mark.parametrize("namespace", [namespaces.XOP, namespaces.XOP_2003])
def test_an_included_image_is_found(namespace):
    """Both namespaces of xop:Include are about (ws-dsp.md quirk 10, DSP-026)."""
    request = read("SendImage", image(f"\n  {include('cid:a%40b', namespace)}\n"))

    assert (request.cid, request.inline) == ("a%40b", None)


@pytest.mark.parametrize("scheme", ["http", "https", "file", "ftp", "data", "urn", "jar", "mailto", ""])
@pytest.mark.parametrize(
    "encode", [str, lambda href: href.replace(":", "%3A"), lambda href: href.replace(":", "&#58;")]
)
def test_no_other_reference_is_ever_followed(scheme, encode):
    """Only cid: is looked at; the fault names ImageData (O-19, DSP-029, T-M1)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(include(encode(f"{scheme}://127.0.0.1/etc/passwd"))))
    assert caught.value.detail[0] == namespaces.dsp("ImageData")


@pytest.mark.parametrize("href", ["\\\\127.0.0.1\\share", "cid:", "cid", "", "xcid:a", "cid%3Aa"])
def test_a_reference_that_is_none_is_refused(href):
    """A UNC path, a scheme without a name, nothing at all (T-M1)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(include(href)))
    assert caught.value.detail == (namespaces.dsp("ImageData"), href)


@pytest.mark.parametrize(
    "content",
    [
        include("cid:a") + include("cid:b"),
        include("cid:a") + "JVBERi0=",
        "JVBERi0=" + include("cid:a"),
        include("cid:a", content=include("cid:b")),
        include("cid:a", namespace="urn:x"),
        f"<a>{include('cid:a')}</a>",
        '<Include href="cid:a"/>',
    ],
    ids=range(7),
)
def test_an_include_stands_alone(content):
    """Two, nested ones, and ones beside text are no image (O-19, T-M2)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(content))
    assert caught.value.detail[0] == namespaces.dsp("ImageData")


@pytest.mark.parametrize("name", ["JobToken", "DocumentId", "Format"])
def test_an_include_elsewhere_is_refused(name):
    """Only the image may be elsewhere (T-M2)."""
    xml = _cut("SendImage", name)[1]

    assert refused("SendImage", xml, f"<dsp:{name}>{include('cid:a')}</dsp:{name}>")[0] == namespaces.dsp(name)


@given(st.binary(min_size=1))
def test_an_inline_image_is_decoded(data):
    """XOP is only an optimisation of base64 (DSP-027, O-18)."""
    request = read("SendImage", image(base64.b64encode(data).decode()))

    assert (request.cid, request.inline) == (None, data)


def test_white_space_within_base64_is_allowed():
    """Some write 76 characters a line."""
    encoded = base64.encodebytes(bytes(range(256))).decode()

    assert read("SendImage", image(f"\r\n{encoded}\t")).inline == bytes(range(256))


@pytest.mark.parametrize(
    "content", ["", "  ", "JVBERi0", "JVB=ERi0", "JVBE*Ri0", "JVBERi0=x", "====", "JVBE\u00a0Ri0=", "ÄÖÜ="]
)
def test_an_inline_image_that_is_none_is_refused(content):
    """Empty, cut short, or with other characters; the fault tells the size, not the data (O-19, O-33)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(content))
    assert caught.value.detail == (namespaces.dsp("ImageData"), f"{len(content)} characters" if content.strip() else "")


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        ("JobStatus", "", ("JobStatus", namespaces.DSP, "JobStatus")),
        ("JobStatus", 'xmlns="urn:q"', ("JobStatus", "urn:q", "JobStatus")),
        (" p:A \n", 'xmlns:p="urn:q"', ("p:A", "urn:q", "A")),
        ("dsp:A", 'xmlns:x="urn:q"', ("dsp:A", namespaces.DSP, "A")),
        ("xml:lang", "", ("xml:lang", namespaces.XML, "lang")),
        ("größe", "", ("größe", namespaces.DSP, "größe")),
    ],
)
def test_a_name_is_resolved_with_the_namespaces_in_scope(text, declared, expected):
    """A bare one takes the default namespace, or else the service's own (DSP-056, ws-dsp.md quirk 17)."""
    assert names(text, declared=declared) == (RequestedName(*expected),)


@pytest.mark.parametrize(
    "text", ["p:A", "", "a:b:c", ":a", "a:", "a b", "1a", "a<b", "xmlns:a", 'a"b', "\u00aa", "x" * 256]
)
def test_a_name_that_cannot_be_resolved_is_refused(text):
    """An undeclared prefix is malformed, as is what is no name at all."""
    with pytest.raises(Fault) as caught:
        names(writing.escape(text))
    assert caught.value.detail[0] == namespaces.dsp("Name")


def test_the_number_of_names_is_bounded():
    """Each can bring the whole list of documents, so a small request must not ask for a huge answer."""
    assert len(names(*["JobStatus"] * 64)) == 64
    with pytest.raises(Fault) as caught:
        names(*["JobStatus"] * 65)
    assert caught.value.detail == (namespaces.dsp("RequestedElements"), "65 names")


def test_no_names_at_all_are_refused():
    """There has to be one."""
    with pytest.raises(Fault) as caught:
        names()
    assert caught.value.detail == (namespaces.dsp("Name"), "")


# Writing


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


def test_there_is_one_element_data_a_name():
    """In order, repeated ones too; unknown ones are empty and not valid (DSP-052, DSP-054, O-23)."""
    requested = names("dsp:JobStatus", "q:Cost", "dsp:JobStatus", "dsp:Nonsense", declared='xmlns:q="urn:q"')
    found = elements(job(), *requested)

    assert [one.get(namespaces.dsp("Name")) for one in found] == [
        "dsp:JobStatus",
        "q:Cost",
        "dsp:JobStatus",
        "dsp:Nonsense",
    ]
    assert [one.get(namespaces.dsp("Valid")) for one in found] == ["true", "false", "true", "false"]
    assert [len(one) for one in found] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("dsp:JobStatus", ""),
        ("q:JobStatus", f'xmlns:q="{namespaces.DSP}"'),
        ("soap:JobStatus", f'xmlns:soap="{namespaces.DSP}"'),
        ("JobStatus", ""),
        ("JobStatus", 'xmlns="urn:q"'),
        ("q:JobStatus", 'xmlns:q="urn:a&amp;b"'),
        ("soap:Lock", 'xmlns:soap="urn:q"'),
        ("xml:lang", ""),
        ("psp:Filter", ""),
    ],
)
def test_a_name_is_echoed_as_it_was_written_and_means_the_same(text, declared):
    """The client's letters stay, and its prefix is declared where our message does not bind it alike."""
    (requested,) = names(text, declared=declared)
    (found,) = elements(job(), requested)
    written = found.get(namespaces.dsp("Name"))
    prefix = written.rpartition(":")[0] or None

    assert written == text
    assert ({"xml": namespaces.XML} | found.nsmap)[prefix] == requested.namespace
    assert (found.get(namespaces.dsp("Valid")) == "true") == (requested.namespace == namespaces.DSP)


def test_a_client_may_even_call_something_else_dsp():
    """Then our own element steps aside for its prefix."""
    (found,) = elements(job(), RequestedName("dsp:JobStatus", "urn:q", "JobStatus"))

    assert found.tag == namespaces.dsp("ElementData")
    assert found.nsmap["dsp"] == "urn:q"
    assert (found.get(namespaces.dsp("Name")), found.get(namespaces.dsp("Valid"))) == ("dsp:JobStatus", "false")


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
