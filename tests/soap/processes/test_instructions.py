"""Post-scan instructions: how they are read, and which are refused by the name of an element."""

from __future__ import annotations

import messages
import pytest
from filter_instructions import ADDRESS, SHARE, SITE, changed, custom, emlf, fsf, only, read, spf
from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.soap.xml import namespaces

SPX = f'xmlns:spx="{namespaces.SPX}"'


def refused(old: str, new: str) -> InvalidArgument:
    """Return the error that such a change raises when the instructions are read."""
    with pytest.raises(InvalidArgument) as caught:
        changed((old, new))
    return caught.value


def test_instructions_are_read():
    """Root name, order of the filters, and each filter's own XML (PSP-001, PSP-006, PSP-007, PSP-027)."""
    found = read()

    assert (found.document_root, found.continue_on_error) == ("Delivery note", True)
    assert [one.dialect for one in found.filters] == [namespaces.FILESHARE, namespaces.EMAIL, namespaces.SHAREPOINT]
    assert [etree.fromstring(one.xml).tag for one in found.filters] == [
        fsf("FileShareConfig"),
        emlf("EmailConfig"),
        spf("SharePointConfig"),
    ]


def test_a_filter_gets_canonical_xml_of_its_own():
    """No comments, no namespaces of the message around it, attributes in order."""
    found = custom('<a:b xmlns:a="urn:a" xmlns:unused="urn:u" z="1" y=\'2\'><!-- no --><a:c /></a:b> ')

    assert found.filters[0].xml == b'<a:b xmlns:a="urn:a" y="2" z="1"><a:c></a:c></a:b>'


@pytest.mark.parametrize("prefix", ["fsh", "x", "FSF"])
def test_a_config_may_have_any_prefix(prefix):
    """Samples and schemas differ (PSP-008, ws-dsp.md quirk 16)."""
    text = messages.INSTRUCTIONS.replace("fsf:", prefix + ":").replace("xmlns:fsf=", f"xmlns:{prefix}=")

    assert etree.fromstring(read(text).filters[0].xml).tag == fsf("FileShareConfig")


def test_stopping_at_the_first_error_is_the_default():
    """An absent ContinueOnError is false (PSP-002)."""
    assert changed(("<psp:ContinueOnError>true</psp:ContinueOnError>", "")).continue_on_error is False


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False), (" \ntrue\t", True)]
)
def test_a_boolean_is_read(text, value):
    """In its four spellings, with white space around (PSP-011)."""
    assert changed((">true</psp:Cont", f">{text}</psp:Cont")).continue_on_error is value


@pytest.mark.parametrize("text", ["TRUE", "True", "yes", "", "2", "-1", "\u00a0true", "<a/>true"])
def test_what_is_no_boolean_is_refused(text):
    """Nothing but the four spellings (PSP-011)."""
    assert refused(">true</psp:Cont", f">{text}</psp:Cont").argument == namespaces.psp("ContinueOnError")


@pytest.mark.parametrize(
    ("text", "root"), [(" Delivery  note\n", "Delivery  note"), ("", "Scan"), (" ", "Scan"), ("x" * 255, "x" * 255)]
)
def test_a_root_name_is_trimmed_and_never_empty(text, root):
    """Blanks within it stay; nothing becomes Scan (scan-process.md sections 8 and 9)."""
    assert changed(("Delivery note", text)).document_root == root


def test_a_root_name_is_at_most_255_characters_long():
    """It is a String255 (DSP-020, PSP-009)."""
    assert refused("Delivery note", "x" * 256).argument == namespaces.psp("DocumentRootName")


@pytest.mark.parametrize("name", ["DocumentRootName", "FiltersToProcess", "Filter", "Dialect", "Instructions"])
def test_what_is_missing_is_named(name):
    """Everything but ContinueOnError is required (DSP-019, PSP-003 to PSP-005)."""
    text = only(
        f"<psp:Dialect>{namespaces.FILESHARE}</psp:Dialect><psp:Instructions>"
        f'<f:FileShareConfig xmlns:f="{namespaces.FILESHARE}"/></psp:Instructions>'
    )
    end = f"</psp:{name}>"
    without = text[: text.index(f"<psp:{name}>")] + text[text.index(end) + len(end) :]

    assert read(text)
    with pytest.raises(InvalidArgument) as caught:
        read(without)
    assert (caught.value.argument, caught.value.value) == (namespaces.psp(name), "")


@pytest.mark.parametrize("name", ["ContinueOnError", "DocumentRootName", "FiltersToProcess", "Dialect", "Instructions"])
def test_what_stands_twice_is_named(name):
    """Two readers could read two different ones (O-32)."""
    start, end = f"<psp:{name}>", f"</psp:{name}>"
    text = messages.INSTRUCTIONS
    xml = text[text.index(start) : text.index(end) + len(end)]

    assert refused(xml, xml + xml).argument == namespaces.psp(name)


@pytest.mark.parametrize("place", ["<psp:DocumentRootName>", "<psp:Filter>", "<psp:Dialect>"])
def test_an_unknown_element_is_named(place):
    """There is no such instruction (O-32)."""
    assert refused(place, f"<psp:Colour/>{place}").argument == namespaces.psp("Colour")


@pytest.mark.parametrize("place", ["<psp:DocumentRootName>", "<psp:Filter>", "<psp:Dialect>"])
def test_extensions_are_ignored(place):
    """Also the permissions: those of a request count for nothing (PSP-010, PSP-032)."""
    flags = f"<spx:AllowDeviceFilePathChange {SPX}>true</spx:AllowDeviceFilePathChange>"

    assert changed((place, flags + place)) == read()


@pytest.mark.parametrize("dialect", ["", " ", "x" * 2049])
def test_a_dialect_is_a_name(dialect):
    """It is not empty, and no longer than a URI may be."""
    assert refused(namespaces.FILESHARE, dialect).argument == namespaces.psp("Dialect")


@pytest.mark.parametrize(
    ("old", "new", "argument"),
    [
        ("<psp:Instructions>", "<psp:Instructions>text", namespaces.psp("Instructions")),
        ("</fsf:FileShareConfig>", "</fsf:FileShareConfig>text", namespaces.psp("Instructions")),
        ("</fsf:FileShareConfig>", '</fsf:FileShareConfig><a xmlns="urn:a"/>', namespaces.psp("Instructions")),
        ("<fsf:FileShareConfig", '<a xmlns="urn:a"/><fsf:FileShareConfig', namespaces.psp("Instructions")),
        (f'xmlns:fsf="{namespaces.FILESHARE}"', f'xmlns:fsf="{namespaces.EMAIL}"', namespaces.psp("Instructions")),
        (f"<psp:Dialect>{namespaces.EMAIL}", f"<psp:Dialect>{namespaces.SHAREPOINT}", namespaces.psp("Instructions")),
    ],
    ids=range(6),
)
def test_a_known_filter_has_exactly_its_own_config(old, new, argument):
    """None, two, or one of another filter are refused, and the error says which filter it was (PSP-007)."""
    error = refused(old, new)

    assert error.argument == argument
    assert "filter " in error.expected


def test_a_known_filter_without_config_is_refused():
    """There has to be one, even if it says nothing."""
    with pytest.raises(InvalidArgument) as caught:
        read(only(f"<psp:Dialect>{namespaces.EMAIL}</psp:Dialect><psp:Instructions/>"))
    assert caught.value.argument == namespaces.psp("Instructions")


@pytest.mark.parametrize(
    ("dialect", "config"),
    [
        (namespaces.FILESHARE, "FileShareConfig"),
        (namespaces.EMAIL, "EmailConfig"),
        (namespaces.SHAREPOINT, "SharePointConfig"),
    ],
)
def test_a_filter_without_destinations_is_accepted(dialect, config):
    """It is legal and does nothing (P-5, PSP-053)."""
    xml = f'<c:{config} xmlns:c="{dialect}"/>'
    found = read(only(f"<psp:Dialect>{dialect}</psp:Dialect><psp:Instructions>{xml}</psp:Instructions>"))

    assert etree.fromstring(found.filters[0].xml).tag == f"{{{dialect}}}{config}"


BAD_SHARES = [
    *("", "nas1", "\\\\nas1", "\\\\nas1\\", "//nas1/inbox", "\\nas1\\inbox", "\\\\?\\C:\\x", "\\\\.\\pipe\\x"),
    *("\\\\a\\b\\..\\c", "\\\\a\\..", "C:\\x", "file:///x", "\\\\a\\b\\\\c", "\\\\a\\b/../c", "\\\\a\\b\x85"),
    "\\\\a\\" + "b" * 252,
]
BAD_ADDRESSES = [
    *("", "books", "@contoso", "books@", "a@b@c", "a@b\tc", "a@b&#13;&#10;c", "a@b\x85"),
    "a@" + "b" * 254,
]
BAD_SITES = [
    *("", "team/In", "ftp://team/In", "file:///etc", "https://", "https:///In", "https://[::1/In", "https://t:99999/"),
    *("https://t/a\tb", "javascript:alert(1)", "https://t/" + "x" * 2039),
]
BAD = [
    *((SHARE, bad, fsf("ShareUNC")) for bad in BAD_SHARES),
    *((ADDRESS, bad, emlf("EmailAddress")) for bad in BAD_ADDRESSES),
    *((SITE, bad, spf("SaveToSharePointSiteURL")) for bad in BAD_SITES),
    (">true</emlf:SendToScanUser", ">TRUE</emlf:SendToScanUser", emlf("SendToScanUser")),
    (">false</spf:SaveToMySite", ">no</spf:SaveToMySite", spf("SaveToMySite")),
    ('CanAddAddresses="true"', 'CanAddAddresses="maybe"', emlf("CanAddAddresses")),
    ("<fsf:FileShares>", "<fsf:Colour/><fsf:FileShares>", fsf("Colour")),
    ("<fsf:ShareUNC>", "<fsf:Colour/><fsf:ShareUNC>", fsf("Colour")),
    (SHARE, f"<a/>{SHARE}", fsf("ShareUNC")),
    ("<fsf:FileShares>", "<fsf:FileShares/><fsf:FileShares>", fsf("FileShares")),
    (f"<emlf:EmailAddress>{ADDRESS}</emlf:EmailAddress>", "", emlf("EmailAddress")),
]


@pytest.mark.parametrize(("old", "new", "argument"), BAD)
def test_a_bad_destination_is_named_with_its_filter(old, new, argument):
    """The element, the value, and which filter it was (PSP-009, PSP-011, PSP-023, T-F3, T-F6, T-F7)."""
    error = refused(old, new)

    assert error.argument == argument
    assert any(f"filter {n} (" in error.expected for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SHARE, "\\\\nas1\\in box_1\\a.b\\"),
        (SHARE, "\\\\10.0.0.1\\c$"),
        (SHARE, "\\\\nas1\\" + "b" * 248),
        (SHARE, f"\n  {SHARE}\t"),
        (ADDRESS, "o'hara+scan@contoso.example"),
        (ADDRESS, "a@" + "b" * 253),
        (SITE, "HTTP://team:8080/a b/?q#f"),
        (SITE, "https://t/" + "x" * 2038),
        ("emlf:CanAddAddresses", "CanAddAddresses"),
    ],
)
def test_a_good_destination_is_accepted(old, new):
    """Blanks, ports, limits, and CanAddAddresses without its namespace (PSP-009, PSP-013, ws-dsp.md quirk 15)."""
    assert changed((old, new))


def test_extensions_in_a_known_config_are_dropped():
    """Nobody checked them, so no filter gets to see them (PSP-010, T-O6, T-X8)."""
    extension = '<x:ShareUNC xmlns:x="urn:x"><x:b/></x:ShareUNC><ShareUNC/>'
    found = changed(
        ("<fsf:FileShares>", f"<fsf:FileShares>{extension}"),
        ("<fsf:ShareUNC>", '<fsf:ShareUNC x:a="b" xmlns:x="urn:x">'),
    )
    kept = etree.fromstring(found.filters[0].xml)

    assert {one.tag for one in kept.iter()} == {fsf("FileShareConfig"), fsf("FileShares"), fsf("ShareUNC")}
    assert [dict(one.attrib) for one in kept.iter() if one.attrib] == []


@pytest.mark.parametrize(
    ("inside", "root"),
    [
        ('<a xmlns="urn:acme:ocr"><b c="d">e</b></a>', b'<a xmlns="urn:acme:ocr"><b c="d">e</b></a>'),
        ('<a xmlns="urn:other"/>', b'<a xmlns="urn:other"></a>'),
        ("", b"<psp:Instructions"),
        ("<a/><b/>", b"<psp:Instructions"),
    ],
)
def test_an_unknown_dialect_may_say_anything(inside, root):
    """It is kept whole: one element as it is, none or several in their wrapper (O-7)."""
    assert custom(inside).filters[0].xml.startswith(root)


def test_a_dialect_may_come_twice():
    """Each is a filter of its own (P-6, PSP-054)."""
    filters = "".join(
        f"<psp:Filter><psp:Dialect>{namespaces.EMAIL}</psp:Dialect><psp:Instructions>"
        f'<c:EmailConfig xmlns:c="{namespaces.EMAIL}"/></psp:Instructions></psp:Filter>'
        for _ in range(2)
    )
    text = f"<psp:DocumentRootName>a</psp:DocumentRootName><psp:FiltersToProcess>{filters}</psp:FiltersToProcess>"

    assert [one.dialect for one in read(text).filters] == [namespaces.EMAIL, namespaces.EMAIL]
