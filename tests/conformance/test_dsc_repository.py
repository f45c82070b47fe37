"""DSC-043 to DSC-061: GetRepositoryElements."""

from __future__ import annotations

import messages
import pytest
from acceptance.scanning import good
from conformance.desk import BOTH, Desk, Office, asked, dialects, dsc, element_data, fault, reprefixed, shape, texts
from conformance.wire import content, header

FILTER = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter"
FOREIGN = '<dsc:Name xmlns:a="urn:a">a:RepositoryStatus</dsc:Name>'


@pytest.mark.conformance("DSC-043", "DSC-047")
@pytest.mark.parametrize("names", [BOTH, BOTH[:1], BOTH[1:], ("dsc:Colour",)])
def test_a_request_that_is_understood_gets_the_response_message(desk: Desk, names: tuple[str, ...]) -> None:
    """Its action and its body say which it is; a name that is unknown is no mistake."""
    answer = good(desk.repository(*names))

    assert header(answer, "Action") == dsc("GetRepositoryElementsResponse").replace("}", "/").strip("{")
    assert content(answer).tag == dsc("GetRepositoryElementsResponse")


@pytest.mark.conformance("DSC-043", "DSC-044")
@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        ("", ("RequestedElements", "")),
        (asked(), ("Name", "")),
        (asked("dsc:RepositoryStatus") * 2, ("RequestedElements", "")),
        (asked("nobody:RepositoryStatus"), ("Name", "nobody:RepositoryStatus")),
        (asked("not a name"), ("Name", "not a name")),
        (asked(*BOTH) + "<dsc:JobToken>t</dsc:JobToken>", ("JobToken", "t")),
    ],
)
def test_arguments_that_cannot_be_validated_get_a_fault(desk: Desk, arguments: str, detail: tuple[str, str]) -> None:
    """Missing, empty, twice there, of the wrong type, of another operation: each is named."""
    assert fault(desk.ask("GetRepositoryElements", arguments)) == ("soap:Sender", "dsc:InvalidArgs", detail)


@pytest.mark.conformance("DSC-048")
def test_there_is_one_list_of_elements(desk: Desk) -> None:
    """However many names there are."""
    assert shape(content(good(desk.repository(*BOTH, *BOTH)))) == ["RepositoryElements"]


@pytest.mark.conformance("DSC-049", "DSC-050", "DSC-051", "DSC-052", "DSC-053")
def test_each_name_gets_its_element_in_order(desk: Desk) -> None:
    """Also the name that stands there twice, and the one that means nothing."""
    names = (BOTH[1], "dsc:Colour", BOTH[0], BOTH[1])

    assert [one.get(dsc("Name")) for one in element_data(desk.repository(*names))] == list(names)


@pytest.mark.conformance("DSC-053")
def test_a_name_keeps_its_meaning_whatever_its_prefix(desk: Desk) -> None:
    """The prefix that the request has declared is declared in the answer, where it is used."""
    answer = desk.ask("GetRepositoryElements", asked(BOTH[1]).replace("</dsc:Req", f"{FOREIGN}</dsc:Req"))
    other = desk.device.post(reprefixed(desk.request("GetRepositoryElements", asked(BOTH[1])), "dsc", "DSC"))

    assert [one.get(dsc("Name")) for one in element_data(answer)] == ["dsc:RepositoryStatus", "a:RepositoryStatus"]
    assert b'xmlns:a="urn:a"' in answer.body
    assert [one.get(dsc("Name")) for one in element_data(other)] == ["DSC:RepositoryStatus"]


@pytest.mark.conformance("DSC-054", "DSC-055", "DSC-061")
def test_an_element_says_whether_it_is_known(desk: Desk) -> None:
    """What is known has its data, and what is not is empty; the elements of jobs are not known here."""
    request = desk.request(
        "GetRepositoryElements", asked(*BOTH, "dsc:JobStatus").replace("</dsc:Req", f"{FOREIGN}</dsc:Req")
    )
    data = element_data(desk.device.post(request))

    assert [(one.get(dsc("Valid")), shape(one)) for one in data] == [
        ("true", ["RepositoryConfiguration"]),
        ("true", ["RepositoryStatus"]),
        ("false", []),
        ("false", []),
    ]


@pytest.mark.conformance("DSC-056", "DSC-060")
def test_nothing_of_our_own_is_added_but_the_dialect_that_a_name_cannot_spell(desk: Desk) -> None:
    """A name in a namespace says `urn:acme:copy` only beside it; what can be cut in two says it alone."""
    answer = good(desk.repository(*BOTH))
    attributes = {tuple(one.attrib) for one in element_data(answer)}
    foreign = [one.tag for one in content(answer).iter() if not one.tag.startswith(dsc("").strip("}"))]

    assert attributes == {(dsc("Name"), dsc("Valid"))}
    assert set(foreign) == {"{urn:postscan:2026}Dialect"}
    assert len(foreign) == len([one for one in dialects(desk) if one.startswith("urn:")])


@pytest.mark.conformance("DSC-057", "DSC-058")
def test_the_configuration_lists_the_usable_filters(office: Office, desk: Desk) -> None:
    """Those that are shipped and those of others, in an order that stays; each with an empty FilterConfig."""
    (data,) = element_data(desk.repository(BOTH[0]))
    filters = data.findall(f"{dsc('RepositoryConfiguration')}/{dsc('Filters')}/{dsc('Filter')}")

    assert [shape(one)[:2] for one in filters] == [["Dialect", "FilterConfig"]] * len(filters)
    assert {f"{messages.FILTER}fileshare", f"{messages.FILTER}email", "urn:acme:copy"} <= set(dialects(desk))
    assert dialects(desk) == sorted(office.server.works.core.catalogue().dialects)
    assert b"ftr:fileshare<" in good(desk.repository(BOTH[0])).body


@pytest.mark.conformance("DSC-059")
def test_the_status_follows_the_jobs(office: Office, desk: Desk) -> None:
    """Processing while a filter runs."""

    def state() -> list[str]:
        (data,) = element_data(desk.repository(BOTH[1]))
        return texts(data, "RepositoryStatus", "RepositoryState")

    before = state()
    token = office.scanner.start("sleep 60")
    office.server.works.await_trace(token, "sleep")
    during = state()
    good(desk.cancel(token))

    assert (before, during, state()) == (["Idle"], ["Processing"], ["Idle"])
