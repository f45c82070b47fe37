"""Elements that a device requests by name, and the ElementData for each of them."""

from __future__ import annotations

import pytest
from processing_messages import elements, job, names

from postscan.soap.message.faults import Fault
from postscan.soap.services import requested_elements
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces, writing


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        ("JobStatus", "", ("JobStatus", namespaces.DSP, "JobStatus")),
        ("JobStatus", 'xmlns="urn:q"', ("JobStatus", "urn:q", "JobStatus")),
        (" p:A \n", 'xmlns:p="urn:q"', ("p:A", "urn:q", "A")),
        ("dsp:A", 'xmlns:x="urn:q"', ("dsp:A", namespaces.DSP, "A")),
        ("xml:lang", "", ("xml:lang", namespaces.XML, "lang")),
        ("größe", "", ("größe", namespaces.DSP, "größe")),
    ],
)
def test_a_name_is_resolved_with_the_namespaces_in_scope(text, declared, expected):
    """A bare one takes the default namespace, or else the service's own (DSP-056, ws-dsp.md quirk 17)."""
    assert names(text, declared=declared) == (RequestedName(*expected),)


@pytest.mark.parametrize(
    "text", ["p:A", "", "a:b:c", ":a", "a:", "a b", "1a", "a<b", "xmlns:a", 'a"b', "\u00aa", "x" * 256]
)
def test_a_name_that_cannot_be_resolved_is_refused(text):
    """An undeclared prefix is malformed, as is what is no name at all."""
    with pytest.raises(Fault) as caught:
        names(writing.escape(text))
    assert caught.value.detail[0] == namespaces.dsp("Name")


def test_the_number_of_names_is_bounded():
    """Each can bring the whole list of documents, so a small request must not ask for a huge answer."""
    assert len(names(*["JobStatus"] * 64)) == 64
    with pytest.raises(Fault) as caught:
        names(*["JobStatus"] * 65)
    assert caught.value.detail == (namespaces.dsp("RequestedElements"), "65 names")


def test_no_names_at_all_are_refused():
    """There has to be one."""
    with pytest.raises(Fault) as caught:
        names()
    assert caught.value.detail == (namespaces.dsp("Name"), "")


def test_there_is_one_element_data_a_name():
    """In order, repeated ones too; unknown ones are empty and not valid (DSP-052, DSP-054, O-23)."""
    requested = names("dsp:JobStatus", "q:Cost", "dsp:JobStatus", "dsp:Nonsense", declared='xmlns:q="urn:q"')
    found = elements(job(), *requested)

    assert [one.get(namespaces.dsp("Name")) for one in found] == [
        "dsp:JobStatus",
        "q:Cost",
        "dsp:JobStatus",
        "dsp:Nonsense",
    ]
    assert [one.get(namespaces.dsp("Valid")) for one in found] == ["true", "false", "true", "false"]
    assert [len(one) for one in found] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("dsp:JobStatus", ""),
        ("q:JobStatus", f'xmlns:q="{namespaces.DSP}"'),
        ("soap:JobStatus", f'xmlns:soap="{namespaces.DSP}"'),
        ("JobStatus", ""),
        ("JobStatus", 'xmlns="urn:q"'),
        ("q:JobStatus", 'xmlns:q="urn:a&amp;b"'),
        ("soap:Lock", 'xmlns:soap="urn:q"'),
        ("xml:lang", ""),
        ("psp:Filter", ""),
    ],
)
def test_a_name_is_echoed_as_it_was_written_and_means_the_same(text, declared):
    """The client's letters stay, and its prefix is declared where our message does not bind it alike."""
    (requested,) = names(text, declared=declared)
    (found,) = elements(job(), requested)
    written = found.get(namespaces.dsp("Name"))
    prefix = written.rpartition(":")[0] or None

    assert written == text
    assert ({"xml": namespaces.XML} | found.nsmap)[prefix] == requested.namespace
    assert (found.get(namespaces.dsp("Valid")) == "true") == (requested.namespace == namespaces.DSP)


def test_a_client_may_even_call_something_else_dsp():
    """Then our own element steps aside for its prefix."""
    (found,) = elements(job(), RequestedName("dsp:JobStatus", "urn:q", "JobStatus"))

    assert found.tag == namespaces.dsp("ElementData")
    assert found.nsmap["dsp"] == "urn:q"
    assert (found.get(namespaces.dsp("Name")), found.get(namespaces.dsp("Valid"))) == ("dsp:JobStatus", "false")


def test_an_element_that_is_requested_again_and_again_is_written_once():
    """T-X4: a request of a few kilobytes kept the event loop busy for several milliseconds."""
    asked = []
    requested = names("JobStatus", "x:JobStatus", "JobStatus", declared='xmlns:x="urn:x"')

    def content(name: RequestedName) -> str:
        asked.append((name.namespace, name.local))
        return f"<{name.local}/>"

    written = requested_elements.write("dsp", requested, content)

    assert asked == [(namespaces.DSP, "JobStatus"), ("urn:x", "JobStatus")]
    assert written.count("<JobStatus/>") == 3
