"""Envelopes to and from a device: one spelling is sent, all are read."""

from __future__ import annotations

import pytest
from lxml import etree
from scripted_scanner import envelope

from postscan.soap.wsscan.faults import DeviceFault, InvalidAnswer
from postscan.soap.wsscan.messages import envelope as messages
from postscan.soap.wsscan.messages.names import CREATE_SCAN_JOB, WSCN, wscn

RELATED = "urn:uuid:0b3f8d0e-7d0f-4c55-8f0a-6c1d1b2f7a10"


@pytest.mark.conformance("WSS-008")
def test_only_http_is_sent() -> None:
    """No spelling of a documentation tool, and no namespace of the examples."""
    data = messages.write_request(
        "http://10.0.0.9/wsd", CREATE_SCAN_JOB, "<wscn:X/>", ["<wse:Identifier>1</wse:Identifier>"]
    )

    assert b"https:" not in data
    assert b"2006/01" not in data
    root = etree.fromstring(data)
    assert [etree.QName(one).localname for one in root[0]] == ["To", "Action", "MessageID", "ReplyTo", "Identifier"]


@pytest.mark.conformance("WSS-008")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("http://schemas.microsoft.com", "https://schemas.microsoft.com"),
        ("http://www.w3.org", "https://www.w3.org"),
        ("wdp/scan", "wdp/scan"),
        ("2006/08", "2006/01"),
        ("http://", "https://"),
    ],
)
def test_every_spelling_is_read(ours: str, theirs: str) -> None:
    """As those of WS-Scan, SOAP and addressing."""
    data = envelope("<w:CreateScanJobResponse><w:JobId>1</w:JobId></w:CreateScanJobResponse>")
    body = messages.read_answer(data.replace(ours.encode(), theirs.encode()))

    assert body.tag == wscn("CreateScanJobResponse")
    assert body[0].tag == wscn("JobId")


def test_the_action_is_read_in_every_spelling() -> None:
    """With blanks around it, as the examples have it."""
    data = (
        '<s:Envelope xmlns:s="https://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="https://schemas.xmlsoap.org/ws/2004/08/addressing"><s:Header><a:Action>\n  '
        "https://schemas.microsoft.com/windows/2006/01/wdp/scan/JobEndStateEvent\n</a:Action></s:Header><s:Body/>"
        "</s:Envelope>"
    )

    assert messages.action_of(messages.read_envelope(data.encode())) == f"{WSCN}/JobEndStateEvent"


@pytest.mark.conformance("WSS-046")
def test_a_fault_has_its_innermost_subcode() -> None:
    """And is found without a subcode as well."""
    inside = (
        "<s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>a:X</s:Value><s:Subcode><s:Value> w:Inner </s:Value>"
        "</s:Subcode></s:Subcode></s:Code><s:Reason><s:Text>Not  so.</s:Text></s:Reason>"
    )
    with pytest.raises(DeviceFault) as caught:
        messages.read_answer(envelope(f"<s:Fault>{inside}</s:Fault>"))
    assert (caught.value.code, caught.value.subcode, caught.value.text) == ("Sender", "Inner", "Not so.")
    with pytest.raises(DeviceFault) as caught:
        messages.read_answer(envelope("<s:Fault/>"))
    assert (caught.value.code, caught.value.subcode) == ("", "")


@pytest.mark.parametrize("spelling", ["ClientErrorInvalidDetinationToken", "ClientErrorInvalidDestinationToken"])
def test_a_fault_is_recognised_in_its_spellings(spelling: str) -> None:
    """One Samsung leaves out a letter."""
    assert DeviceFault("Sender", spelling, "").named("ClientErrorInvalidDestinationToken")


@pytest.mark.parametrize(
    ("related", "other"),
    [
        (RELATED, False),
        (RELATED.upper(), False),
        (RELATED.removeprefix("urn:"), False),
        ("", False),
        ("urn:uuid:fixed", False),
        (RELATED.replace("10", "11"), True),
    ],
)
def test_an_answer_to_another_message_is_recognised(related: str, other: bool) -> None:
    """A RelatesTo that is missing, or no UUID, says nothing."""
    assert messages.answers_other(messages.read_envelope(envelope("<w:X/>", related)), RELATED) is other


@pytest.mark.parametrize(
    "data", [b"", b"<a/>", b"<s:Envelope xmlns:s='urn:x'/>", envelope("").replace(b"s:Body", b"s:B")]
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    """With a sentence for the log."""
    with pytest.raises(InvalidAnswer):
        messages.read_answer(data)
