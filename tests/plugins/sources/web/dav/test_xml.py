"""XML of WebDAV bodies: small documents without a document type, and text that comes back as it was."""

from __future__ import annotations

import pytest
from lxml import etree

from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.dav import xml
from postscan.plugins.sources.web.dav.xml import DAV, DEEPEST, LONGEST_NAME, MOST_ELEMENTS

BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'


def test_elements_are_read_by_namespace_and_name() -> None:
    """Whatever their prefixes are."""
    root = xml.parse(
        b'<a:propfind xmlns:a="DAV:"><a:prop><getetag xmlns="DAV:"/><x xmlns="urn:y">text</x></a:prop></a:propfind>'
    )
    prop = root.child("prop")

    assert root.name == (DAV, "propfind")
    assert prop is not None
    assert [one.name for one in prop.children] == [(DAV, "getetag"), ("urn:y", "x")]
    assert prop.children[1].text == "text"


@pytest.mark.parametrize(
    "body",
    [
        BOMB + b"<x>&b;</x>",
        b"<!DOCTYPE x SYSTEM 'http://127.0.0.1:1/x.dtd'><x/>",
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
        b"<?xml version='1.0'?><?xml-stylesheet href='http://127.0.0.1:1/'?><x/>",
        b"<x>&a;</x>",
        b"<x>",
        b"",
        b"\x00",
        b"<x xmlns:p='DAV:'><q:y/></x>",
        b"<x>" + b"<y/>" * MOST_ELEMENTS + b"</x>",
        b"<x>" * (DEEPEST + 1) + b"</x>" * (DEEPEST + 1),
        b"<" + b"x" * (LONGEST_NAME + 1) + b"/>",
    ],
)
def test_any_other_document_is_refused(body: bytes) -> None:
    """No entity is replaced and nothing is fetched."""
    with pytest.raises(HttpRefused) as refused:
        xml.parse(body)

    assert refused.value.status == 400


def test_the_bounds_are_included() -> None:
    """As many elements, and as deep, as is allowed."""
    assert len(xml.parse(b"<x>" + b"<y/>" * (MOST_ELEMENTS - 1) + b"</x>").children) == MOST_ELEMENTS - 1
    assert xml.parse(b"<x>" * DEEPEST + b"</x>" * DEEPEST).name == ("", "x")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_encodings_of_xml_are_read(encoding: str) -> None:
    """UTF-8, and UTF-16 with its byte order mark."""
    assert xml.parse("<x>ä</x>".encode(encoding)).text == "ä"


def test_what_is_written_is_well_formed_and_says_the_same() -> None:
    """Also with names of other namespaces, and with text that XML cannot have."""
    odd = "<&>\"'\x01\ud800ä"
    written = xml.multistatus(
        [
            xml.response(
                "/a%20b",
                ("200 OK", [xml.dav("displayname", xml.text(odd)), xml.element(("urn:x?a&b", "Win32"), xml.text("1"))]),
                ("404 Not Found", [xml.element(("", "plain")), xml.dav("resourcetype")]),
            )
        ]
    )
    root = etree.fromstring(written)
    found = {one.tag: one.text for one in root.iter()}

    assert root.tag == "{DAV:}multistatus"
    assert found["{DAV:}displayname"] == "<&>\"'??ä"
    assert found["{urn:x?a&b}Win32"] == "1"
    assert "plain" in found
    assert [status.text for status in root.iter("{DAV:}status")] == ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]


def test_an_empty_answer_is_a_document() -> None:
    """Of one element."""
    assert etree.fromstring(xml.multistatus([])).tag == "{DAV:}multistatus"
