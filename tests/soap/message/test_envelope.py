"""Bytes and envelopes."""

from __future__ import annotations

import socket

import messages
import pytest

from postscan.soap.message import envelope
from postscan.soap.message.faults import Fault
from postscan.soap.message.request import parse_request
from postscan.soap.xml import namespaces, parser

END = messages.message("EndPostScanJob")
TEXT = END.decode()
DECLARED = '<?xml version="1.0" encoding="{}"?>'


def refused(data: bytes) -> Fault:
    """Return the fault that reading *data* raises."""
    with pytest.raises(Fault) as caught:
        envelope.read(data)
    return caught.value


def nested(depth: int) -> bytes:
    """Return an envelope whose deepest element stands *depth* deep."""
    inner = depth - 2
    return messages.envelope("", "<a>" * inner + "</a>" * inner)


@pytest.mark.parametrize("action", messages.BODIES)
def test_a_good_message_is_read(action):
    """Each operation's message gives its header blocks and the one element of its body (DSP-003)."""
    message = envelope.read(messages.message(action))

    assert [block.tag for block in message.headers] == [
        namespaces.wsa(name) for name in ("To", "Action", "MessageID", "ReplyTo")
    ]
    assert message.body.tag == namespaces.dsp(f"{action}Request")


@pytest.mark.parametrize("prefix", ["S", "SOAP-ENV", "env"])
def test_a_prefix_means_nothing(prefix):
    """Any prefix will do (ws-dsp.md quirk 16, T-X10)."""
    message = envelope.read(END.replace(b"soap:", prefix.encode() + b":").replace(b":soap=", f":{prefix}=".encode()))

    assert message.body.tag == namespaces.dsp("EndPostScanJobRequest")


def test_a_default_namespace_will_do():
    """A message may use no prefix for the envelope at all."""
    message = envelope.read(END.replace(b"soap:", b"").replace(b"xmlns:soap=", b"xmlns="))

    assert message.body.tag == namespaces.dsp("EndPostScanJobRequest")


def test_a_missing_header_is_no_concern_of_the_envelope():
    """Whether headers are missing is for addressing to say."""
    assert (
        envelope.read(f"<e:Envelope xmlns:e='{namespaces.SOAP}'><e:Body><a/></e:Body></e:Envelope>".encode()).headers
        == ()
    )


@pytest.mark.parametrize(
    "data",
    [
        END,
        b"\xef\xbb\xbf" + END,
        b"\r\n\r\n" + END,
        b"\xef\xbb\xbf\r\n" + DECLARED.format("utf-8").encode() + END,
        b"\n" + DECLARED.format("UTF-8").encode() + b"\n" + END,
        b"<?xml version='1.0' encoding = 'utf-8' standalone='yes' ?>" + END,
        b"<?xml version='1.0'?><!-- a comment -->" + END + b"<!-- and another -->\n",
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        (DECLARED.format("UTF-16") + TEXT).encode("utf-16"),
    ],
    ids=range(10),
)
def test_utf_8_and_marked_utf_16_are_read(data):
    """A byte order mark, a declaration and blank lines before it make no difference (ws-dsp.md quirk 9, T-X6)."""
    assert envelope.read(data).body.findtext(namespaces.dsp("JobToken")) == messages.TOKEN


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   ",
        b"\xef\xbb\xbf",
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.encode("cp037"),
        TEXT.replace("<", "+ADw-").replace(">", "+AD4-").encode(),
        DECLARED.format("utf-7").encode() + END,
        DECLARED.format("iso-8859-1").encode() + END,
        DECLARED.format("utf-16").encode() + END,
        (DECLARED.format("utf-8") + TEXT).encode("utf-16"),
        TEXT.encode("utf-16") + b"\0",
        TEXT.replace(messages.TOKEN, "\ud800").encode("utf-8", "surrogatepass"),
        TEXT.replace(messages.TOKEN, "\ud800").encode("utf-16", "surrogatepass"),
        END.replace(messages.TOKEN.encode(), b"\xc0\xbc"),
        END.replace(messages.TOKEN.encode(), b"\xe4"),
        END.replace(messages.TOKEN.encode(), b"\xf4\x90\x80\x80"),
        END.replace(messages.TOKEN.encode(), b"<!-- \xe4 -->"),
        END.replace(messages.TOKEN.encode(), b"<![CDATA[\xed\xa0\x80]]>"),
        END.replace(messages.TOKEN.encode(), b"<a b='\xc0\xbc'/>"),
        END.replace(b"JobToken", b"Job\xe4"),
        END.replace(messages.TOKEN.encode(), b"\0"),
        END.replace(messages.TOKEN.encode(), b"&#0;"),
        END[:-1],
        END + END,
        END + b"text",
    ],
    ids=range(27),
)
def test_other_encodings_and_broken_xml_are_refused(data):
    """What is not plainly UTF-8, or UTF-16 with its mark, is refused and never guessed at (T-X6)."""
    fault = refused(data)

    assert (fault.code, fault.subcode, fault.detail) == ("Sender", "dsp:InvalidArgs", None)
    assert str(fault) != fault.reason


def test_a_declaration_ends_within_1024_bytes():
    """Blanks in it cannot move a wrong encoding out of sight (T-X6)."""
    padded = "<?xml version='1.0'{} encoding='{}'?>"
    blanks = 1024 - len(padded.format("", "utf-8"))

    assert envelope.read(padded.format(" " * blanks, "utf-8").encode() + END).body is not None
    assert "'latin-1' is declared" in str(refused(padded.format(" " * 900, "latin-1").encode() + END))
    for encoding in ("utf-8", "latin-1"):
        document = padded.format(" " * 1024, encoding).encode() + END
        assert "the XML declaration has no end within 1024 bytes" in str(refused(document))


@pytest.mark.parametrize(
    "document_type",
    [
        "<!DOCTYPE a>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:{port}/x.dtd">',
        '<!DOCTYPE a PUBLIC "-//a//b" "http://127.0.0.1:{port}/x.dtd">',
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY e SYSTEM "http://127.0.0.1:{port}/">]>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:{port}/">%p;]>',
        '<!DOCTYPE a [<!ENTITY e "ha"><!ENTITY f "&e;&e;&e;&e;"><!ENTITY g "&f;&f;&f;&f;">]>',
        '<!DOCTYPE a [<!ENTITY e "&f;"><!ENTITY f "&e;">]>',
        '<!DOCTYPE a [<!ATTLIST a b CDATA "default">]>',
        '<!DOCTYPE a [<!NOTATION n SYSTEM "http://127.0.0.1:{port}/">]>',
        "<!-- first --> <?pi?>\n<!DOCTYPE a>",
        '<?xml version="1.0"?>\n<!DOCTYPE a>',
    ],
)
def test_a_document_type_is_refused_unread(document_type):
    """No entity is made, nothing is fetched, and no time is lost (DSP-087, T-X1, T-X2, T-X3)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        text = document_type.format(port=listener.getsockname()[1]) if "{port}" in document_type else document_type
        fault = refused(text.encode() + END.replace(messages.TOKEN.encode(), b"&e;"))

        assert str(fault) == "a document type is not allowed"
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_an_undeclared_entity_is_an_error():
    """Without a document type there are no entities but the five of XML."""
    assert "not well-formed" in str(refused(END.replace(messages.TOKEN.encode(), b"&e;")))


def test_xinclude_stays_an_ordinary_element():
    """Nothing is ever included from elsewhere (T-X3)."""
    include = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="file:///etc/hostname"/>'
    body = envelope.read(messages.envelope("", f"<a>{include}</a>")).body

    assert [child.tag for child in body] == ["{http://www.w3.org/2001/XInclude}include"]


@pytest.mark.parametrize(
    "data",
    [
        b"<?pi data?>" + END,
        END + b"<?pi data?>",
        b"<?xml-stylesheet href='http://127.0.0.1/x.xsl' type='text/xsl'?>" + END,
        END.replace(b"<soap:Body>", b"<soap:Body><?pi?>"),
        END.replace(messages.TOKEN.encode(), b"a<?pi?>b"),
    ],
    ids=range(5),
)
def test_a_processing_instruction_is_refused(data):
    """SOAP has none, wherever it stands (D6, T-X3)."""
    assert str(refused(data)) == "a processing instruction is not allowed"


@pytest.mark.parametrize("text", ["8c1f<!-- split -->3a52", "<![CDATA[8c1f]]>3a52", "8c1f<![CDATA[3a52]]>"])
def test_comments_and_cdata_do_not_split_a_value(text):
    """Whoever checks a value and whoever uses it read the same one (T-X8)."""
    body = envelope.read(END.replace(messages.TOKEN.encode(), text.encode())).body

    assert body.findtext(namespaces.dsp("JobToken")) == "8c1f3a52"


@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [
        (nested(64), nested(65), "nested more than 64"),
        (
            messages.envelope("", "<a>" + "<b/>" * 9_996 + "</a>"),
            messages.envelope("", "<a>" + "<b/>" * 9_997 + "</a>"),
            "more than 10000 elements",
        ),
        (
            messages.envelope("", "<a " + " ".join(f'a{n}=""' for n in range(500)) + "/>"),
            messages.envelope("", "<a " + " ".join(f'a{n}=""' for n in range(501)) + "/>"),
            "more than 500 attributes",
        ),
        (
            messages.envelope("", f'<a b="{"x" * 65_536}"/>'),
            messages.envelope("", f'<a b="{"x" * 65_537}"/>'),
            "longer than 65536",
        ),
    ],
    ids=["depth", "elements", "attributes", "attribute"],
)
def test_the_limits_are_exact(good, bad, sentence):
    """At a limit a message is read, one step beyond it is refused (T-X4)."""
    assert envelope.read(good)
    assert sentence in str(refused(bad))


def test_elements_are_counted_before_the_document_is_parsed():
    """T-X4: this one is not well-formed behind its last element, which the parser never sees."""
    assert "more than 10000 elements" in str(refused(b"<a>" + b"<b/>" * 10_000))
    assert "not well-formed" in str(refused(b"<a>" + b"<b/>" * 9_999))


@pytest.mark.parametrize(
    "body",
    [
        "<a>" * 100_000,
        "<a>" + "<b/>" * 150_000 + "</a>",
        "<a " + " ".join(f'a{n}=""' for n in range(25_000)) + "/>",
        f"<{'n' * 900_000}/>",
        "<a><!--" + "-" * 900_000,
        "<a " + " ".join(f'xmlns:a{n}="u{n}"' for n in range(20_000)) + ">" + "<b/>" * 10_000 + "</a>",
    ],
    ids=["deep", "many", "attributes", "name", "comment", "namespaces"],
)
def test_an_expensive_tree_is_refused(body):
    """A message that was made to be expensive gets a fault like any other (T-X4)."""
    refused(messages.envelope("", body))


@pytest.mark.parametrize(
    "data",
    [
        messages.envelope("", "text only"),
        messages.envelope("", "<![CDATA[text]]>"),
        messages.envelope(messages.headers("EndPostScanJob"), messages.END + messages.CANCEL),
        END.replace(b"<soap:Body>", b"<soap:Header/><soap:Body>"),
        END.replace(b"</soap:Envelope>", b"<soap:Body><a/></soap:Body></soap:Envelope>"),
        END.replace(b"</soap:Envelope>", b"<extra/></soap:Envelope>"),
        f"<e:Envelope xmlns:e='{namespaces.SOAP}'/>".encode(),
        f"<e:Envelope xmlns:e='{namespaces.SOAP}'><e:Header/></e:Envelope>".encode(),
    ],
    ids=range(8),
)
def test_an_envelope_of_another_build_is_refused(data):
    """One Header at most, then one Body with at most one element (T-X8)."""
    fault = refused(data)

    assert (fault.code, fault.subcode, fault.detail) == ("Sender", "dsp:InvalidArgs", None)


@pytest.mark.parametrize("content", ["", " ", "\n\t"])
def test_an_empty_body_is_a_message(content):
    """A Get has nothing to say: then the Body itself is what there is, and no operation is called that."""
    assert envelope.read(messages.envelope("", content)).body.tag == namespaces.soap("Body")


def identified(data: bytes) -> list[str | None]:
    """Return the MessageIDs that are known when a request is refused."""
    found: list[str | None] = []
    with pytest.raises(Fault):
        parse_request(data, found.append)
    return found


def test_the_message_id_is_known_before_the_body_is_checked():
    """The header is fine, so the fault can relate to it although the body is not (ruling 21)."""
    data = messages.envelope(messages.headers("EndPostScanJob"), messages.END + messages.CANCEL)

    assert identified(data) == [messages.MESSAGE_ID]


def test_the_message_id_is_known_before_the_other_headers_are_checked():
    """A fault for a missing Action relates to its request (ruling 21)."""
    block = f"<wsa:MessageID>{messages.MESSAGE_ID}</wsa:MessageID>"

    assert identified(messages.envelope(block, messages.END)) == [messages.MESSAGE_ID]


def test_unreadable_xml_has_no_message_id():
    """The fault for what cannot be parsed relates to no message (ruling 21)."""
    assert identified(END[:-1]) == []


@pytest.mark.parametrize(
    "data",
    [
        END.replace(b"Request><dsp:JobToken>", b'Request soap:encodingStyle="urn:any"><dsp:JobToken>'),
        END.replace(b"<dsp:JobToken>", b'<dsp:JobToken soap:encodingStyle="http://www.w3.org/2003/05/soap-encoding">'),
        END.replace(b"<soap:Body>", b'<soap:Body soap:encodingStyle="">'),
        END.replace(b"<soap:Body>", b'<soap:Body soap:encodingStyle="">').decode().encode("utf-16"),
    ],
    ids=["on the request", "on an argument", "on the body", "in UTF-16"],
)
def test_an_encoding_style_is_refused(data):
    """Messages are literal; no array is made by a count that somebody wrote (T-X5)."""
    assert "encodingStyle" in str(refused(data))


@pytest.mark.parametrize(
    ("namespace", "soap11"),
    [
        (namespaces.SOAP11, True),
        ("http://www.w3.org/2003/05/soapelope", False),
        ("http://www.w3.org/2001/12/soap-envelope", False),
    ],
)
def test_another_version_of_soap_is_a_version_mismatch(namespace, soap11):
    """Whoever speaks SOAP 1.1 is answered in SOAP 1.1; the typing error of ws-dsp.md quirk 11 is no SOAP (T-X9)."""
    fault = refused(END.replace(namespaces.SOAP.encode(), namespace.encode()))

    assert (fault.code, fault.soap11, fault.upgrade) == ("VersionMismatch", soap11, True)


def test_a_document_that_is_no_envelope_is_a_version_mismatch():
    """SOAP 1.2 says so for any other root element."""
    assert refused(b"<html/>").code == "VersionMismatch"


def test_a_declaration_that_no_longer_holds_can_be_ignored():
    """A directory keeps the text of a document together with its old declaration (PSP-041)."""
    data = DECLARED.format("utf-16").encode() + "<a>ü</a>".encode()

    assert parser.parse(data, heed_declaration=False).text == "ü"
