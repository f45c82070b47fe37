"""The bytes of every message that we send."""

from __future__ import annotations

import messages
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from schemas import assert_valid

from postscan.soap.xml import namespaces, writing

BODY = "<dsp:EndPostScanJobResponse/>"


def test_an_answer_is_valid_and_declares_exactly_our_prefixes():
    """The whole envelope holds by our schema, and its prefixes are those of the protocol (DSP-010, D19)."""
    message = writing.write(
        namespaces.DSP + "/EndPostScanJobResponse", messages.MESSAGE_ID, writing.new_message_id(), BODY
    )

    assert assert_valid(message).nsmap == namespaces.PREFIXES


def test_an_answer_has_no_superfluous_white_space():
    """Clients that compare without trimming find what they look for (D19)."""
    message = writing.write("urn:a", "urn:b", writing.new_message_id(), BODY)

    assert b"\n" not in message
    assert b"> " not in message
    assert b" <" not in message


def test_an_answer_goes_to_the_anonymous_endpoint():
    """The reply goes back on the connection of the request (DSP-006, DSP-009)."""
    root = assert_valid(writing.write("urn:a", "urn:b", writing.new_message_id(), BODY))

    assert root.findtext(f"{{{namespaces.SOAP}}}Header/{{{namespaces.WSA}}}To") == namespaces.ANONYMOUS


def test_every_message_id_is_a_fresh_uuid():
    """No two messages of ours have one name (DSP-008)."""
    ids = {writing.new_message_id() for _ in range(1000)}

    assert len(ids) == 1000


@given(st.text(st.characters()))
@example("]]>")
@example("<script>alert(1)</script>")
@example("\x00\x08\ud800\ufffe")
@example("a\r\nb\rc")
def test_any_text_survives_in_an_element(text):
    """What XML can carry arrives unchanged; what it cannot carry becomes U+FFFD and breaks nothing (T-X11)."""
    element = etree.fromstring(f"<a>{writing.escape(text)}</a>".encode())

    assert (element.text or "") == writing._FORBIDDEN.sub("\ufffd", text)


@given(st.text(st.characters()))
@example('" onload="x')
@example("a\tb\nc\rd")
def test_any_text_survives_in_an_attribute(text):
    """Quotes and line breaks arrive in an attribute as they were (T-X11)."""
    element = etree.fromstring(f'<a b="{writing.attribute(text)}"/>'.encode())

    assert element.get("b") == writing._FORBIDDEN.sub("\ufffd", text)


def test_an_element_declares_only_what_the_envelope_does_not():
    """Our own prefixes are on the Envelope; others stand where they are used."""
    assert writing.element(namespaces.dsp("JobToken"), "t") == "<dsp:JobToken>t</dsp:JobToken>"
    assert writing.element(namespaces.dsp("JobToken"), "") == "<dsp:JobToken/>"
    assert writing.element("{urn:q}a", "t") == '<x:a xmlns:x="urn:q">t</x:a>'
    assert writing.element(f"{{{namespaces.EMAIL}}}EmailAddress", "t").startswith("<emlf:EmailAddress xmlns:emlf=")


def test_an_element_without_a_namespace_has_no_prefix() -> None:
    """Text of the caller is escaped in it too."""
    assert writing.element("Subcode", "<&>") == "<Subcode>&lt;&amp;&gt;</Subcode>"
