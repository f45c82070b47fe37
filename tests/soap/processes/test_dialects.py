"""What the repository tells of itself: its filters, each by a qualified name that is its own, and its state."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from inquiries import names, one, texts, written

from postscan.soap.services import configuration
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces

CUT = {
    namespaces.FILESHARE: ("http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter", "fileshare"),
    "https://acme.example/filters/stamp-2": ("https://acme.example/filters", "stamp-2"),
    "urn:acme/stamp": ("urn:acme", "stamp"),
    "http://acme:8080/stamp": ("http://acme:8080", "stamp"),
    "http://acme": ("http:/", "acme"),
    f"{namespaces.DSC}/x": (namespaces.DSC, "x"),
}
UNCUT = {
    "urn:acme:stamp": "urn_x003A_acme_x003A_stamp",
    "urn:acme/stamp/": "urn_x003A_acme_x002F_stamp_x002F_",
    "urn:acme/2": "urn_x003A_acme_x002F_2",
    "urn:acme/a:b": "urn_x003A_acme_x002F_a_x003A_b",
    "/stamp": "_x002F_stamp",
    "stamp": "stamp",
    "2": "_x0032_",
    "_x003A_": "_x005F_x003A_",
    "a b/c": "a_x0020_b_x002F_c",
    f"{namespaces.PS}/stamp": "urn_x003A_postscan_x003A_2026_x002F_stamp",
    f"{namespaces.XML}/lang": None,
    "http://www.w3.org/2000/xmlns//a": None,
    "urn:ä/stamp": None,
    "acme/stamp": None,
    "://acme/stamp": None,
    "http://acme:port/stamp": None,
    "http://acme:80:90/stamp": None,
    "http:///a/stamp": None,
    "urn:a%zz/stamp": None,
    "urn:a#b/stamp": None,
    "urn:\ud800/stamp": None,
    "urn:acme/größe": "urn_x003A_acme_x002F_gr_x00F6__x00DF_e",
    "\U0001f5a8": "_x1F5A8_",
    " ": "_x0020_",
    "": "_x_",
}


@pytest.mark.parametrize("dialect", CUT)
def test_a_dialect_is_cut_at_its_last_slash(dialect: str) -> None:
    """Namespace, slash and local name are the dialect again (ws-dsc.md section 2.1)."""
    assert configuration.qualified(dialect) == CUT[dialect]
    assert "/".join(CUT[dialect]) == dialect


@pytest.mark.parametrize("dialect", UNCUT)
def test_a_dialect_that_cannot_be_cut_gets_a_name_of_ours(dialect: str) -> None:
    """Colons, slashes at the end, and namespaces that no prefix may be bound to."""
    namespace, local = configuration.qualified(dialect)

    assert namespace == namespaces.PS
    assert UNCUT[dialect] in (local, None)


DIALECTS = (
    st.text(st.sampled_from("a2_x03AF:/.é \ud800"), max_size=12)
    | st.text(st.sampled_from("ab1:/@-.%#?&[]$"), max_size=12).map(lambda text: f"http:{text}/stamp")
    | st.text(st.characters(), max_size=20)
)


@given(st.sets(DIALECTS, max_size=8))
@example({"urn:acme:stamp", f"{namespaces.PS}/urn_x003A_acme_x003A_stamp", "urn_x003A_acme_x003A_stamp"})
@example({"_x003A_", ":", "_x005F_x003A_", "_x005F_:"})
@example({"urn:\ud800/a"})
def test_no_two_dialects_have_one_name(dialects: set[str]) -> None:
    """An administrator's program tells filters apart by the qualified name alone."""
    assert len({configuration.qualified(dialect) for dialect in dialects}) == len(dialects)


@given(st.sets(DIALECTS, max_size=4))
def test_whatever_a_filter_is_called_the_answer_is_valid(dialects: set[str]) -> None:
    """A dialect is a plugin's own text (T-X11); the name in the answer resolves to what was meant."""
    answered = written(configuration.write_repository_elements(names("RepositoryConfiguration"), dialects, "Idle"))
    resolved = []
    for element in answered.iterfind(".//dsc:Filter/dsc:Dialect", namespaces.PREFIXES):
        prefix, _, local = (element.text or "").partition(":")
        resolved.append((element.nsmap[prefix], local))

    assert resolved == [configuration.qualified(dialect) for dialect in sorted(dialects)]


def test_each_usable_filter_is_listed_in_a_stable_order() -> None:
    """With its dialect as a QName, an empty FilterConfig, and the exact dialect only where the name is not enough."""
    filters = (namespaces.SHAREPOINT, "urn:acme:stamp", namespaces.EMAIL)
    bodies = {
        configuration.write_repository_elements(names("RepositoryConfiguration"), order, "Idle")
        for order in (filters, filters[::-1])
    }
    answered = written(bodies.pop())

    assert bodies == set()
    assert texts(answered, ".//dsc:Filter/dsc:Dialect") == [
        "ftr:email",
        "ftr:sharepoint",
        "ps:urn_x003A_acme_x003A_stamp",
    ]
    assert [
        [namespaces.split(str(child.tag))[1] for child in each] for each in answered.iter(namespaces.dsc("Filter"))
    ] == [
        ["Dialect", "FilterConfig"],
        ["Dialect", "FilterConfig"],
        ["Dialect", "FilterConfig", "Dialect"],
    ]
    assert [exact.text for exact in answered.iter(f"{{{namespaces.PS}}}Dialect")] == ["urn:acme:stamp"]
    assert {config.tag: len(config) for config in answered.iter(namespaces.dsc("FilterConfig"))} == {
        namespaces.dsc("FilterConfig"): 0
    }


def test_without_filters_there_is_no_list_of_them() -> None:
    """A list has at least one (ws-dsc.md section 4.2, FiltersType)."""
    answered = written(configuration.write_repository_elements(names("RepositoryConfiguration"), (), "Idle"))

    assert len(one(answered, ".//dsc:RepositoryConfiguration")) == 0


@pytest.mark.parametrize("state", ["Idle", "Processing"])
def test_the_status_of_the_repository(state: str) -> None:
    """Its state, and the one reason that there is (ws-dsc.md section 4.6)."""
    answered = written(configuration.write_repository_elements(names("RepositoryStatus"), (), state))
    status = one(answered, ".//dsc:RepositoryStatus")

    assert texts(status, "dsc:RepositoryState") == [state]
    assert texts(status, "dsc:RepositoryStateReasons/dsc:RepositoryStateReason") == ["None"]


def test_names_are_answered_in_order_known_or_not() -> None:
    """The job's elements are unknown here, and so is what has the right name in the wrong namespace (DSC-055)."""
    asked = (*names("RepositoryStatus", "JobStatus"), RequestedName("a:RepositoryStatus", "urn:a", "RepositoryStatus"))
    data = one(written(configuration.write_repository_elements(asked, (), "Idle")), "dsc:RepositoryElements")

    assert [(each.get(namespaces.dsc("Name")), each.get(namespaces.dsc("Valid")), len(each)) for each in data] == [
        ("dsc:RepositoryStatus", "true", 1),
        ("dsc:JobStatus", "false", 0),
        ("a:RepositoryStatus", "false", 0),
    ]
    assert data[2].nsmap["a"] == "urn:a"
