"""PSP-001 to PSP-013: how instructions are read. The server takes any, so that nothing but their form can be wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import SHARE, Server, running
from conformance.filters import EMAIL, FILESHARE, SHAREPOINT, asking, custom, email, fileshare, sharepoint
from conformance.wire import invalid
from device import Answer

ALL = asking(fileshare(SHARE), email("ap@fabrikam.example"), sharepoint("https://team.fabrikam.example/in"))
FOREIGN = '<v:Colour xmlns:v="urn:vendor" v:deep="yes">blue</v:Colour>'
COPY = custom("urn:acme:copy", '<a:do xmlns:a="urn:acme"/>')


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs what devices send (D10); nothing that they send makes it stumble."""
    with running(tmp_path_factory.mktemp("lenient"), {"processes": {"lenient": True}}) as server:
        yield server
    assert server.tracebacks() == []


@pytest.fixture
def scanner(lenient: Server) -> Scanner:
    """A device in front of it."""
    return Scanner(lenient)


def created(scanner: Scanner, asked: str) -> Answer:
    """Return the answer to a Create with these instructions."""
    return scanner.device.create("7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7", asked)


def refused(scanner: Scanner, asked: str) -> str:
    """Return the local name of the element that is wrong."""
    detail = invalid(created(scanner, asked))
    assert detail
    return detail[0]


def changed(written: str, instead: str, asked: str = ALL) -> str:
    """Return instructions in which something is written differently once."""
    assert written in asked
    return asked.replace(written, instead, 1)


@pytest.mark.conformance("PSP-001")
def test_the_children_are_read_in_the_namespace_of_scan_processes(scanner: Scanner) -> None:
    """Under the wrapper of WS-DSP; the same names in the wrapper's own namespace are not there."""
    good(created(scanner, ALL))

    assert refused(scanner, ALL.replace("psp:DocumentRootName", "dsp:DocumentRootName")) == "DocumentRootName"
    assert refused(scanner, ALL.replace("psp:", "dsp:")) == "DocumentRootName"


@pytest.mark.conformance("PSP-002")
@pytest.mark.parametrize("go_on", ["", "false", "true"])
def test_without_continue_on_error_it_is_false(scanner: Scanner, go_on: str) -> None:
    """The filter behind one that fails runs only if it is true."""
    fails = custom("urn:acme:fail", '<a:do xmlns:a="urn:acme">x:y</a:do>')
    token = good(created(scanner, asking(fails, COPY, go_on=go_on))).find("JobToken") or ""
    scanner.send(token)
    good(scanner.device.end(token))
    status = scanner.ended(token)

    assert (status.filters[1] == "CompletedSuccessfully") is (go_on == "true")


@pytest.mark.conformance("PSP-003")
def test_a_root_name_is_required(scanner: Scanner) -> None:
    """There is no default for what is not there."""
    assert refused(scanner, changed("<psp:DocumentRootName>Invoice</psp:DocumentRootName>", "")) == "DocumentRootName"


@pytest.mark.conformance("PSP-004")
def test_at_least_one_filter_is_required(scanner: Scanner) -> None:
    """In a list of filters."""
    empty = asking()

    assert refused(scanner, empty) == "Filter"
    assert refused(scanner, empty.replace("<psp:FiltersToProcess></psp:FiltersToProcess>", "")) == "FiltersToProcess"


@pytest.mark.conformance("PSP-005")
@pytest.mark.parametrize("name", ["Dialect", "Instructions"])
def test_each_filter_has_a_dialect_and_instructions(scanner: Scanner, name: str) -> None:
    """Also the last one."""
    before, start, rest = asking(fileshare(SHARE), COPY).rpartition(f"<psp:{name}>")
    _, _, after = rest.partition(f"</psp:{name}>")

    assert start
    assert refused(scanner, before + after) == name


@pytest.mark.conformance("PSP-006")
@pytest.mark.parametrize("uri", [FILESHARE, EMAIL, SHAREPOINT])
def test_the_three_dialects_are_recognised_exactly(scanner: Scanner, uri: str) -> None:
    """Blanks around them do not count, and their configs are judged; of another dialect nothing is known."""
    good(created(scanner, changed(f">{uri}<", f">\n\t{uri} <")))
    assert refused(scanner, asking(custom(f"\n{uri} ", "<Thing/>"))) == "Instructions"
    for other in (f"{uri}/", uri.upper()):
        good(created(scanner, asking(custom(other, "<Thing/>"))))


@pytest.mark.conformance("PSP-007")
@pytest.mark.parametrize("uri", [FILESHARE, EMAIL, SHAREPOINT])
def test_a_known_filter_has_the_config_of_its_own_namespace(scanner: Scanner, uri: str) -> None:
    """None, one of another namespace, and two are refused."""
    nothing = asking(custom(uri, ""))
    other = changed(f'="{uri}"', '="urn:other"')
    (name,) = {
        name for name in ("FileShareConfig", "EmailConfig", "SharePointConfig") if uri.endswith(name[:-6].lower())
    }
    twice = asking(custom(uri, f'<c:{name} xmlns:c="{uri}"/>' * 2))

    assert [refused(scanner, one) for one in (nothing, other, twice)] == ["Instructions"] * 3


@pytest.mark.conformance("PSP-008")
@pytest.mark.parametrize("prefix", ["fsh", "FSF", "x-1"])
def test_a_config_may_have_any_prefix(scanner: Scanner, prefix: str) -> None:
    """Or none."""
    good(created(scanner, ALL.replace("f:", f"{prefix}:").replace("xmlns:f=", f"xmlns:{prefix}=")))
    good(created(scanner, ALL.replace("<f:", "<").replace("</f:", "</").replace("xmlns:f=", "xmlns=")))


LIMITS = {
    "DocumentRootName": (">Invoice<", ">{}<", 255),
    "ShareUNC": (f">{SHARE}<", r">\\nas\{}<", 255 - len(r"\\nas\x") + 1),
    "EmailAddress": (">ap@fabrikam.example<", ">{}@x<", 253),
    "SaveToSharePointSiteURL": (">https://team.fabrikam.example/in<", ">https://t/{}<", 2048 - len("https://t/")),
}


@pytest.mark.conformance("PSP-009")
@pytest.mark.parametrize("name", LIMITS)
def test_texts_have_255_characters_and_site_urls_2048(scanner: Scanner, name: str) -> None:
    """At the limit they are taken, one more is refused."""
    written, instead, most = LIMITS[name]

    good(created(scanner, changed(written, instead.format("x" * most))))
    assert refused(scanner, changed(written, instead.format("x" * (most + 1)))) == name


@pytest.mark.conformance("PSP-010")
def test_extensions_are_ignored(scanner: Scanner) -> None:
    """Elements of other namespaces in every place that takes them, and attributes of other namespaces everywhere."""
    extended = ALL
    for end in ("</psp:FiltersToProcess>", "</psp:Filter>", "</f:FileShareConfig>", "</e:SendToAddresses>"):
        extended = extended.replace(end, FOREIGN + end)
    extended = FOREIGN + extended.replace("<psp:Filter>", '<psp:Filter xmlns:v="urn:vendor" v:a="b">')

    assert extended.count(FOREIGN) == 7
    good(created(scanner, extended.replace("<f:ShareUNC>", '<f:ShareUNC xmlns:v="urn:vendor" v:a="b">')))


@pytest.mark.conformance("PSP-011")
@pytest.mark.parametrize("value", ["true", "false", "1", "0", " true\n"])
def test_booleans_have_four_spellings(scanner: Scanner, value: str) -> None:
    """For every switch of instructions."""
    mail, site = email("ap@fabrikam.example", to_user=value, can_add=value), sharepoint(my_site=value)

    good(created(scanner, asking(mail, site, go_on=value)))


@pytest.mark.conformance("PSP-011")
@pytest.mark.parametrize("value", ["TRUE", "yes", "2", "-"])
def test_no_other_boolean_is_taken(scanner: Scanner, value: str) -> None:
    """Each switch is refused by its name."""
    assert refused(scanner, asking(COPY, go_on=value)) == "ContinueOnError"
    assert refused(scanner, asking(email(to_user=value))) == "SendToScanUser"
    assert refused(scanner, asking(email("ap@fabrikam.example", can_add=value))) == "CanAddAddresses"
    assert refused(scanner, asking(sharepoint(my_site=value))) == "SaveToMySite"
