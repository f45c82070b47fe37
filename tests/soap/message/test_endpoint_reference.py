"""Endpoint references of others: which blocks come back, and which never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.soap.message import endpoint_reference

WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
SOAP = "http://www.w3.org/2003/05/soap-envelope"


def endpoint(
    blocks: str = "", address: str = "http://192.0.2.7/e", *, around: str = "", properties: str = ""
) -> etree._Element:
    """Return a NotifyTo; *around* are attributes of the element that holds it, such as namespaces."""
    parameters = f"<wsa:ReferenceParameters>{blocks}</wsa:ReferenceParameters>" if blocks else ""
    before = f"<wsa:ReferenceProperties>{properties}</wsa:ReferenceProperties>" if properties else ""
    root = etree.fromstring(
        f'<o xmlns:wsa="{WSA}" {around}><e><wsa:Address>{address}</wsa:Address>{before}{parameters}</e></o>'
    )
    return root[0]


def copied(blocks: str, **more: str) -> list[etree._Element]:
    """Return the blocks that come back, as elements of a header that knows no namespace of theirs."""
    return list(etree.fromstring(f"<h>{endpoint_reference.read(endpoint(blocks, **more)).parameters}</h>"))


def test_properties_come_back_as_well_as_parameters() -> None:
    """DPW-072: the address is trimmed, and white space between blocks is not copied (DSP-068)."""
    made = endpoint(' <b xmlns="urn:b"/>\n<c xmlns="urn:c"/> ', " http://x/ \n", properties='<a xmlns="urn:a"/>')

    assert endpoint_reference.read(made) == endpoint_reference.Reference(
        "http://x/", '<a xmlns="urn:a"/><b xmlns="urn:b"/><c xmlns="urn:c"/>'
    )


def test_a_block_takes_its_namespaces_along() -> None:
    """Those of its names, those that a qualified name in its text or in an attribute may need, and no other."""
    around = 'xmlns="urn:d" xmlns:a="urn:a" xmlns:q="urn:q" xmlns:r="urn:r" xmlns:unused="urn:unused"'
    (block,) = copied('<a:T kind="r:small">q:name<plain/></a:T>', around=around)

    assert (block.tag, block[0].tag) == ("{urn:a}T", "{urn:d}plain")
    assert block.nsmap == {None: "urn:d", "a": "urn:a", "q": "urn:q", "r": "urn:r"}


@pytest.mark.parametrize(
    "block",
    [
        "<wsa:To>http://x/</wsa:To>",
        "<wsa:Action>urn:x</wsa:Action>",
        "<wsa:Anything/>",
        f'<s:Header xmlns:s="{SOAP}"/>',
        f'<s:Body xmlns:s="{SOAP}"><x/></s:Body>',
        f'<a xmlns="urn:a"/><To xmlns="{WSA}">http://x/</To>',
    ],
)
@pytest.mark.parametrize("where", ["blocks", "properties"])
def test_blocks_that_could_be_taken_for_headers_of_ours_are_refused(block: str, where: str) -> None:
    """T-A5."""
    with pytest.raises(InvalidArgument):
        endpoint_reference.read(endpoint(**{where: block}))


def test_text_stays_text() -> None:
    """T-A5: markup in a value, escaped or as CDATA, is never markup in a header."""
    evil = "]]&gt;<![CDATA[</a></h><evil/>]]>&#13;&#10;Host: x"
    (block,) = copied(f'<a xmlns="urn:a" b="&lt;/a&gt;&quot;">{evil}</a>')

    assert block.text == "]]></a></h><evil/>\r\nHost: x"
    assert block.get("b") == '</a>"'
    assert len(block) == 0


def test_blocks_may_have_so_many_bytes_and_no_more() -> None:
    """T-A5: 4 KiB in all, properties and parameters together, as they are sent."""
    room = endpoint_reference.MOST_BYTES - len('<a xmlns="urn:a"></a>') - len('<b xmlns="urn:b"></b>')
    fits = f'<a xmlns="urn:a">{"é" * (room // 2 - 1)}</a>'

    assert len(copied(fits, properties='<b xmlns="urn:b">xx</b>')) == 2
    with pytest.raises(InvalidArgument, match="4096"):
        copied(fits, properties='<b xmlns="urn:b">xxxx</b>')


def test_there_may_be_so_many_blocks_and_no_more() -> None:
    """T-A5: each costs a copy of what surrounds it."""
    assert len(copied('<a xmlns="urn:a"/>' * endpoint_reference.MOST_BLOCKS)) == endpoint_reference.MOST_BLOCKS
    with pytest.raises(InvalidArgument, match="at most"):
        copied('<a xmlns="urn:a"/>' * (endpoint_reference.MOST_BLOCKS + 1))


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<wsa:Address/>",
        "<wsa:Address> </wsa:Address>",
        "<wsa:Address><x/></wsa:Address>",
        "<wsa:Address>http://x/</wsa:Address><wsa:Address>http://y/</wsa:Address>",
        "<wsa:Address>http://x/</wsa:Address><wsa:Address2/>",
    ],
)
def test_a_reference_has_one_address_and_nothing_unknown(inside: str) -> None:
    """T-X8."""
    with pytest.raises(InvalidArgument):
        endpoint_reference.read(etree.fromstring(f'<e xmlns:wsa="{WSA}">{inside}</e>'))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=60))
def test_a_value_comes_back_as_it_was(value: str) -> None:
    """Whatever is in it."""
    element = etree.Element("{urn:a}T", nsmap={"a": "urn:a"})
    try:
        element.text = value
    except ValueError:
        return  # XML cannot carry it
    (block,) = copied(etree.tostring(element, encoding="unicode"))

    assert (block.text or "") == value
