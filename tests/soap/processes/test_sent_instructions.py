"""What a device may change of the instructions of a stored scan process."""

from __future__ import annotations

import messages
import pytest
from filter_instructions import ADDRESS, OTHER_SHARE, SHARE, SITE, changed, custom, emlf, fsf, spf

from postscan.core.errors import InvalidArgument
from postscan.core.model.process import ScanProcess
from postscan.soap.processes import instructions
from postscan.soap.xml import namespaces


def stored(*changes: tuple[str, str], names: bool = False, paths: bool = False) -> ScanProcess:
    """Return a stored process with the usual instructions, changed."""
    wanted = changed(*changes)
    return ScanProcess("P", "N", "r", wanted, allow_name_change=names, allow_path_change=paths)


def deviation(process: ScanProcess, *changes: tuple[str, str]) -> InvalidArgument:
    """Return the error that a device gets which sends the usual instructions with these changes."""
    with pytest.raises(InvalidArgument) as caught:
        instructions.check_sent(process, changed(*changes))
    return caught.value


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
