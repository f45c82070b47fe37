"""Post-scan instructions, and what a device may change of them."""

from __future__ import annotations

import messages
import pytest
from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.model.process import Instructions, ScanProcess
from postscan.soap.processes import instructions
from postscan.soap.xml import namespaces, parser

SHARE = "\\\\nas1.contoso.example\\inbox"
OTHER_SHARE = "\\\\nas2.contoso.example\\inbox\\archive"
SITE = "https://team.contoso.example/books/In"
ADDRESS = "books@contoso.example"
SPX = f'xmlns:spx="{namespaces.SPX}"'
FLAGS = '<emlf:SendToAddresses emlf:CanAddAddresses="true">'


def read(text: str = messages.INSTRUCTIONS) -> Instructions:
    """Return what instructions with this content say."""
    wrapped = f"<dsp:PostScanInstructions {messages.NAMESPACES}>{text}</dsp:PostScanInstructions>"
    return instructions.read(parser.parse(wrapped.encode()))


def changed(*changes: tuple[str, str]) -> Instructions:
    """Return the usual instructions with some words changed."""
    text = messages.INSTRUCTIONS
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return read(text)


def refused(old: str, new: str) -> InvalidArgument:
    """Return the error that such a change raises when the instructions are read."""
    with pytest.raises(InvalidArgument) as caught:
        changed((old, new))
    return caught.value


def stored(*changes: tuple[str, str], names: bool = False, paths: bool = False) -> ScanProcess:
    """Return a stored process with the usual instructions, changed."""
    wanted = changed(*changes)
    return ScanProcess("P", "N", "r", wanted, allow_name_change=names, allow_path_change=paths)


def deviation(process: ScanProcess, *changes: tuple[str, str]) -> InvalidArgument:
    """Return the error that a device gets which sends the usual instructions with these changes."""
    with pytest.raises(InvalidArgument) as caught:
        instructions.check_sent(process, changed(*changes))
    return caught.value


def only(filter_xml: str) -> str:
    """Return instructions with one filter."""
    return (
        "<psp:DocumentRootName>a</psp:DocumentRootName>"
        f"<psp:FiltersToProcess><psp:Filter>{filter_xml}</psp:Filter></psp:FiltersToProcess>"
    )


def custom(inside: str) -> Instructions:
    """Return instructions for one filter of an unknown dialect."""
    return read(only(f"<psp:Dialect>urn:acme:ocr</psp:Dialect><psp:Instructions>{inside}</psp:Instructions>"))


def fsf(name: str) -> str:
    """Return the Clark name of an element of the file share filter."""
    return f"{{{namespaces.FILESHARE}}}{name}"


def emlf(name: str) -> str:
    """Return the Clark name of an element of the e-mail filter."""
    return f"{{{namespaces.EMAIL}}}{name}"


def spf(name: str) -> str:
    """Return the Clark name of an element of the SharePoint filter."""
    return f"{{{namespaces.SHAREPOINT}}}{name}"


# Reading


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


# Comparing


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<psp:ContinueOnError>true", "<psp:ContinueOnError> 1 "),
        ("<psp:FiltersToProcess>", "<!-- a --><psp:FiltersToProcess>\n\n"),
        ("<fsf:FileShares>", '<x:a xmlns:x="urn:x"/><fsf:FileShares>'),
        (SHARE, f"  {SHARE}\\ "),
        (SHARE, SHARE.upper()),
        (ADDRESS, "Books@CONTOSO.example"),
        (ADDRESS, f"{ADDRESS}</emlf:EmailAddress><emlf:EmailAddress>{ADDRESS.upper()}"),
        (SITE, "HTTPS://Team.contoso.EXAMPLE/books/In/"),
        (">true</emlf:SendToScanUser", ">1</emlf:SendToScanUser"),
        ("<spf:SaveToMySite>false</spf:SaveToMySite>", ""),
        (' emlf:CanAddAddresses="true"', ""),
        (f'xmlns:fsf="{namespaces.FILESHARE}"', f'xmlns:fsf="{namespaces.FILESHARE}" xmlns:more="urn:m"'),
    ],
    ids=range(12),
)
def test_what_means_the_same_is_the_same(old, new):
    """Spelling, case where it says nothing, defaults, extensions, and the sent permission (O-1, O-3, PSP-031)."""
    instructions.check_sent(stored(), changed((old, new)))


def test_shares_may_come_in_any_order():
    """They are a set."""
    moved = changed((SHARE, "\\\\x\\y"), (OTHER_SHARE, SHARE), ("\\\\x\\y", OTHER_SHARE))

    instructions.check_sent(stored(), moved)


DEVIATIONS = [
    (("<psp:ContinueOnError>true", "<psp:ContinueOnError>false"), namespaces.psp("ContinueOnError"), "false"),
    (("<psp:ContinueOnError>true</psp:ContinueOnError>", ""), namespaces.psp("ContinueOnError"), "false"),
    (("Delivery note", "delivery note"), namespaces.psp("DocumentRootName"), "delivery note"),
    ((SHARE, "\\\\evil\\x"), fsf("ShareUNC"), "\\\\evil\\x"),
    ((f"<fsf:ShareUNC>{SHARE}</fsf:ShareUNC>", ""), fsf("FileShares"), OTHER_SHARE),
    ((SHARE, f"{SHARE}</fsf:ShareUNC><fsf:ShareUNC>\\\\evil\\x"), fsf("ShareUNC"), "\\\\evil\\x"),
    ((ADDRESS, "other@contoso.example"), emlf("SendToAddresses"), "other@contoso.example"),
    ((">true</emlf:SendToScanUser", ">false</emlf:SendToScanUser"), emlf("SendToScanUser"), "false"),
    ((">false</spf:SaveToMySite", ">true</spf:SaveToMySite"), spf("SaveToMySite"), "true"),
    ((SITE, SITE.replace("books", "Books")), spf("SaveToSharePointSiteURL"), SITE.replace("books", "Books")),
    ((SITE, SITE.replace("https", "http")), spf("SaveToSharePointSiteURL"), SITE.replace("https", "http")),
]


@pytest.mark.parametrize(("change", "argument", "value"), DEVIATIONS)
def test_a_deviation_is_refused_by_name(change, argument, value):
    """The element that deviates, and what was sent (O-1, O-2, P-12, DSP-021, PSP-035, PSP-036, T-O6)."""
    error = deviation(stored(), change)

    assert (error.argument, error.value) == (argument, value)
    assert "stored scan process" in error.expected


def test_an_address_may_be_added_where_the_stored_process_allows_it():
    """Added, not exchanged (O-3, DSP-022)."""
    more = (ADDRESS, f"{ADDRESS}</emlf:EmailAddress><emlf:EmailAddress>more@contoso.example")

    instructions.check_sent(stored(), changed(more))


@pytest.mark.parametrize("permission", ['emlf:CanAddAddresses="false"', ""])
def test_an_address_may_not_be_added_otherwise(permission):
    """What the request says of its own permission counts for nothing (O-3, PSP-032, PSP-035, T-O6)."""
    process = stored(('emlf:CanAddAddresses="true"', permission))
    error = deviation(process, (ADDRESS, f"{ADDRESS}</emlf:EmailAddress><emlf:EmailAddress>evil@x.example"))

    assert (error.argument, error.value) == (emlf("EmailAddress"), "evil@x.example")


def test_a_stored_address_may_not_be_left_out():
    """Also where others may be added (O-3, PSP-034)."""
    assert deviation(stored(), (ADDRESS, "more@contoso.example")).argument == emlf("SendToAddresses")


def test_there_is_nothing_to_add_to_a_missing_list():
    """A list that the stored process does not have is a deviation (scan-process.md section 5)."""
    start = messages.INSTRUCTIONS.index("<emlf:SendToAddresses")
    end = messages.INSTRUCTIONS.index("</emlf:SendToAddresses>") + len("</emlf:SendToAddresses>")
    group = messages.INSTRUCTIONS[start:end]

    assert deviation(stored((group, ""))).argument == emlf("SendToAddresses")
    assert deviation(stored(), (group, "")).argument == emlf("SendToAddresses")


def test_another_root_name_where_the_stored_process_allows_it():
    """Only then (O-2, DSP-022, PSP-036)."""
    instructions.check_sent(stored(names=True), changed(("Delivery note", "Invoice")))
    assert deviation(stored(paths=True), ("Delivery note", "Invoice")).argument == namespaces.psp("DocumentRootName")


def test_other_shares_where_the_stored_process_allows_it():
    """Only then; the other destinations stay as they are (O-2, DSP-022, PSP-036)."""
    instructions.check_sent(stored(paths=True), changed((SHARE, "\\\\nas9\\x")))
    assert deviation(stored(names=True), (SHARE, "\\\\nas9\\x")).argument == fsf("ShareUNC")
    assert deviation(stored(paths=True), (SITE, "https://evil/x")).argument == spf("SaveToSharePointSiteURL")


def test_a_permission_for_paths_does_not_make_shares_out_of_nothing():
    """Other shares are allowed, not shares where there were none."""
    start = messages.INSTRUCTIONS.index("<fsf:FileShares>")
    end = messages.INSTRUCTIONS.index("</fsf:FileShares>") + len("</fsf:FileShares>")
    process = stored((messages.INSTRUCTIONS[start:end], ""), paths=True)

    assert deviation(process).argument == fsf("FileShares")


def test_filters_stay_in_their_order():
    """Another order is another process (O-1)."""
    filters = messages.FILTERS.split("</psp:Filter>")
    swapped = "</psp:Filter>".join([filters[1], filters[0], *filters[2:]])
    error = deviation(stored(), (messages.FILTERS, swapped))

    assert (error.argument, error.value) == (namespaces.psp("Dialect"), namespaces.EMAIL)


@pytest.mark.parametrize("filters", [messages.FILTERS * 2, messages.FILTERS[: messages.FILTERS.rindex("<psp:Filter>")]])
def test_filters_are_neither_added_nor_left_out(filters):
    """As many as in the stored process (O-1, T-O6)."""
    assert deviation(stored(), (messages.FILTERS, filters)).argument == namespaces.psp("FiltersToProcess")


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ('<a xmlns="urn:a" b="1" c="2"> x </a>', '<p:a xmlns:p="urn:a" c="2" b="1">x</p:a>'),
        ("<a><b/></a>", "<a>\n  <b/>\n</a>"),
    ],
)
def test_instructions_of_an_unknown_dialect_may_be_spelled_differently(wanted, sent):
    """Prefixes, order of attributes and blanks around text say nothing (O-1)."""
    process = ScanProcess("P", "N", "r", custom(wanted))

    instructions.check_sent(process, custom(sent))


@pytest.mark.parametrize(
    "sent",
    [
        "<a><b/><b/></a>",
        "<a><b>x</b></a>",
        '<a c="1"><b/></a>',
        "<a><b/>x</a>",
        '<a><b/><x:c xmlns:x="urn:x"/></a>',
        '<a xmlns="urn:a"><b/></a>',
        "<A><b/></A>",
        "",
    ],
)
def test_instructions_of_an_unknown_dialect_may_not_say_anything_else(sent):
    """Nobody here knows what would be harmless, so extensions count, too (O-1, T-O6)."""
    process = ScanProcess("P", "N", "r", custom("<a><b/></a>"), allow_name_change=True, allow_path_change=True)

    with pytest.raises(InvalidArgument) as caught:
        instructions.check_sent(process, custom(sent))
    assert caught.value.argument == namespaces.psp("Instructions")
