"""The WS-Addressing header block."""

from __future__ import annotations

import messages
import pytest
from schemas import assert_valid

from postscan.soap.message import addressing, envelope
from postscan.soap.message.addressing import Header
from postscan.soap.message.faults import Fault
from postscan.soap.xml import namespaces

GOOD = messages.headers("EndPostScanJob")
ACTION = f"{messages.DSP}/EndPostScanJob"


def read(blocks: str) -> Header:
    """Return the header of a message with these blocks."""
    return addressing.read(envelope.read(messages.envelope(blocks, messages.END)).headers)


def refused(blocks: str) -> Fault:
    """Return the fault that these blocks raise."""
    with pytest.raises(Fault) as caught:
        read(blocks)
    return caught.value


def element(name: str, text: str) -> str:
    """Return a header block."""
    return f"<wsa:{name}>{text}</wsa:{name}>"


def address(name: str, uri: str) -> str:
    """Return an endpoint reference as a header block."""
    return element(name, element("Address", uri))


def test_a_header_is_read():
    """Action, MessageID and To are what the rest of the server wants to know."""
    assert read(GOOD) == Header(ACTION, messages.MESSAGE_ID, "https://scan7.contoso.example:5362/ScanServer/a")


def test_white_space_around_uris_is_trimmed():
    """Published samples have line breaks there (ws-dsp.md quirk 1, DSP-011, T-X10)."""
    blocks = GOOD.replace(ACTION, f"\r\n    {ACTION}\n\t").replace(messages.MESSAGE_ID, f" {messages.MESSAGE_ID} ")
    blocks = blocks.replace(messages.ANONYMOUS, f"\n{messages.ANONYMOUS}\n")

    assert read(blocks) == read(GOOD)


@pytest.mark.parametrize(
    "message_id", ["uuid:UniqueMsgId", "uuid:41d7be0a-9f5c", "a b", "42", "urn:UUID:X", "x" * 2048]
)
def test_any_message_id_will_do(message_id):
    """Whatever a device calls its message is echoed byte for byte (ws-dsp.md quirk 2, DSP-007, DSP-013)."""
    header = read(GOOD.replace(messages.MESSAGE_ID, message_id))
    reply = assert_valid(addressing.reply(header, "<dsp:EndPostScanJobResponse/>"))

    assert header.message_id == message_id
    assert reply.findtext(f".//{namespaces.wsa('RelatesTo')}") == message_id


def test_a_missing_reply_to_means_the_anonymous_endpoint():
    """The published SendImage has none (ws-dsp.md quirk 3, DSP-012)."""
    blocks = element("Action", ACTION) + element("MessageID", "urn:a") + element("To", "urn:b")

    assert read(blocks) == Header(ACTION, "urn:a", "urn:b")


@pytest.mark.parametrize("to", ["DestinationAddress", "Destination Address", ""])
def test_to_may_be_a_placeholder(to):
    """Its value is a hint at most (ws-dsp.md quirk 4, O-35)."""
    blocks = element("Action", ACTION) + element("MessageID", "urn:a") + element("To", to)

    assert read(blocks).to == to


def test_to_may_be_missing():
    """The HTTP path says well enough who is meant (O-35)."""
    assert read(element("Action", ACTION) + element("MessageID", "urn:a")).to == ""


def test_an_action_with_https_is_the_one_with_http():
    """A documentation tool wrote https into some samples, and somebody copied them (ws-dsp.md quirk 19)."""
    header = read(GOOD.replace(ACTION, ACTION.replace("http:", "https:")))

    assert header.action == ACTION
    assert b"https" not in addressing.reply(header, "")


@pytest.mark.parametrize("name", ["Action", "MessageID"])
@pytest.mark.parametrize("blank", ["missing", "", " \n "])
def test_action_and_message_id_are_required(name, blank):
    """Without them there is nothing to do, or nothing to relate to (T-X9, O-35)."""
    rest = "".join(element(other, "urn:a") for other in ("Action", "MessageID", "To") if other != name)
    fault = refused(rest if blank == "missing" else rest + element(name, blank))

    assert (fault.code, fault.subcode) == ("Sender", "wsa:MessageInformationHeaderRequired")
    assert fault.detail == (namespaces.wsa(name), "")


@pytest.mark.parametrize("name", ["Action", "MessageID", "To", "ReplyTo", "FaultTo"])
def test_no_header_stands_twice(name):
    """Two of one header could be read differently by two readers (T-X8)."""
    fault = refused(GOOD + element("FaultTo", "") + element(name, "urn:second"))

    assert (fault.code, fault.subcode) == ("Sender", "wsa:InvalidMessageInformationHeader")
    assert fault.detail == (namespaces.wsa(name), "urn:second")


@pytest.mark.parametrize("name", ["Action", "MessageID", "To"])
def test_a_header_holds_text_only(name):
    """An element inside a URI is no URI (T-X8)."""
    start = GOOD.index(f"<wsa:{name}>") + len(f"<wsa:{name}>")

    assert refused(GOOD[:start] + "<a/>" + GOOD[start:]).detail == (namespaces.wsa(name), "")


@pytest.mark.parametrize("name", ["Action", "MessageID", "To"])
def test_a_header_is_at_most_2048_characters_long(name):
    """DPWS bounds URIs (MAX_URI_SIZE)."""
    rest = "".join(element(other, "urn:a") for other in ("Action", "MessageID", "To") if other != name)

    assert read(rest + element(name, "x" * 2048))
    assert refused(rest + element(name, "x" * 2049)).subcode == "wsa:InvalidMessageInformationHeader"


@pytest.mark.parametrize("name", ["ReplyTo", "FaultTo"])
@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:8080/",
        "https://device.contoso.example/reply",
        "file:///etc/passwd",
        "",
        "urn:x",
        messages.ANONYMOUS + "/",
        "http://www.w3.org/2005/08/addressing/anonymous",
    ],
)
def test_nobody_else_is_answered(name, uri):
    """Another endpoint than the anonymous one is refused, on this connection (DSP-076, T-A1)."""
    rest = element("Action", ACTION) + element("MessageID", "urn:a")
    fault = refused(rest + address(name, uri))

    assert (fault.code, fault.subcode) == ("Sender", "wsa:InvalidMessageInformationHeader")
    assert fault.detail == (namespaces.wsa(name), uri)


@pytest.mark.parametrize("name", ["ReplyTo", "FaultTo"])
@pytest.mark.parametrize("content", ["", "device address", "http://127.0.0.1/", "<wsa:ReferenceProperties/>"])
def test_an_endpoint_without_an_address_is_the_anonymous_one(name, content):
    """Some devices write text there; there is nobody else to answer (dpws.md quirk 7)."""
    assert read(element("Action", ACTION) + element("MessageID", "urn:a") + element(name, content))


@pytest.mark.parametrize(
    "addresses", [element("Address", messages.ANONYMOUS) * 2, element("Address", messages.ANONYMOUS + "<a/>")]
)
def test_an_endpoint_has_one_plain_address(addresses):
    """A second one, or one inside, could be meant by somebody (T-X8)."""
    fault = refused(element("Action", "a") + element("MessageID", "b") + element("ReplyTo", addresses))

    assert fault.detail == (namespaces.wsa("ReplyTo"), messages.ANONYMOUS)


def test_from_is_ignored():
    """Nobody is answered there, so it may say anything (ruling 17)."""
    assert read(GOOD + address("From", "http://127.0.0.1/")) == read(GOOD)


@pytest.mark.parametrize("value", ["1", "true", " 1\n"])
def test_an_unknown_mandatory_header_is_not_understood(value):
    """The fault names each of them (T-X9)."""
    blocks = f'<q:Lock xmlns:q="urn:q" soap:mustUnderstand="{value}"/><q:Key xmlns:q="urn:q" soap:mustUnderstand="1"/>'
    fault = refused(GOOD + blocks)

    assert (fault.code, fault.subcode) == ("MustUnderstand", None)
    assert fault.not_understood == (("urn:q", "Lock"), ("urn:q", "Key"))


@pytest.mark.parametrize("value", ["", "9", "True", "yes"])
def test_an_unknown_header_tells_whether_it_is_mandatory(value):
    """It is the sender's error, also beside a mandatory one that is not known (decision 57)."""
    blocks = f'<q:Key xmlns:q="urn:q" soap:mustUnderstand="1"/><q:Lock xmlns:q="urn:q" soap:mustUnderstand="{value}"/>'
    fault = refused(GOOD + blocks)

    assert (fault.code, fault.not_understood) == ("Sender", ())
    assert read(GOOD + f'<wsa:RelatesTo soap:mustUnderstand="{value}">urn:a</wsa:RelatesTo>') == read(GOOD)


def test_the_identifier_of_a_subscription_is_read():
    """DPW-080: the first one, trimmed; it may be mandatory, for we know what it is."""
    blocks = [
        f'<wse:Identifier xmlns:wse="{namespaces.WSE}" soap:mustUnderstand="1">\n urn:uuid:{id} </wse:Identifier>'
        for id in ("a", "b")
    ]

    assert read(GOOD + "".join(blocks)).subscription == "urn:uuid:a"
    assert read(GOOD).subscription == ""


@pytest.mark.parametrize(
    "block",
    [
        '<q:Lock xmlns:q="urn:q"/>',
        '<q:Lock xmlns:q="urn:q" soap:mustUnderstand="0"/>',
        '<q:Lock xmlns:q="urn:q" soap:mustUnderstand="false"/>',
        f'<q:Lock xmlns:q="urn:q" soap:mustUnderstand="1" soap:role="{namespaces.SOAP}/role/none"/>',
        '<q:Lock xmlns:q="urn:q" soap:mustUnderstand="1" soap:role="urn:somebody:else"/>',
        f'<wsd:AppSequence xmlns:wsd="{namespaces.WSD}" soap:mustUnderstand="1"/>',
        f'<wse:MyID xmlns:wse="{namespaces.WSE}" soap:mustUnderstand="1">a</wse:MyID>',
        '<wsa:RelatesTo soap:mustUnderstand="1">urn:a</wsa:RelatesTo>',
    ],
    ids=range(8),
)
def test_other_headers_are_ignored_or_understood(block):
    """Optional ones, those for somebody else, and the families that we know (DSP-086)."""
    assert read(GOOD + block) == read(GOOD)


@pytest.mark.parametrize("role", ["next", "ultimateReceiver"])
def test_a_role_that_is_ours_is_heeded(role):
    """We are the next node, and the last."""
    block = f'<q:Lock xmlns:q="urn:q" soap:mustUnderstand="1" soap:role="{namespaces.SOAP}/role/{role}"/>'

    assert refused(GOOD + block).code == "MustUnderstand"


def test_what_must_be_understood_comes_before_the_other_headers():
    """The first failing step decides the fault (ws-dsp.md section 7, order of checks)."""
    assert refused('<q:Lock xmlns:q="urn:q" soap:mustUnderstand="1"/>').code == "MustUnderstand"


def test_the_message_id_of_a_refused_header_is_found():
    """The fault relates to its request all the same (DSP-073)."""
    blocks = element("MessageID", " urn:a ") + address("ReplyTo", "http://127.0.0.1/")

    assert addressing.message_id(envelope.read(messages.envelope(blocks, "<a/>")).headers) == "urn:a"


@pytest.mark.parametrize("blocks", ["", element("MessageID", " "), element("MessageID", "x" * 2049)])
def test_a_message_id_that_cannot_be_echoed_is_none(blocks):
    """Then the fault relates to the unspecified message (ruling 21)."""
    assert addressing.message_id(envelope.read(messages.envelope(blocks, "<a/>")).headers) is None


def test_a_reply_answers_its_request():
    """Its action is the request's and Response, it relates to it, and it has a name of its own (DSP-007 to DSP-009)."""
    root = assert_valid(addressing.reply(read(GOOD), "<dsp:EndPostScanJobResponse/>"))
    found = {block.tag: block.text for block in root[0]}

    assert found.pop(namespaces.wsa("MessageID")) != messages.MESSAGE_ID
    assert found == {
        namespaces.wsa("To"): namespaces.ANONYMOUS,
        namespaces.wsa("Action"): ACTION + "Response",
        namespaces.wsa("RelatesTo"): messages.MESSAGE_ID,
    }
