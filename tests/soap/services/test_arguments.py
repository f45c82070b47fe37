"""Arguments of a request: each is there once, in any order, and none that is unknown."""

from __future__ import annotations

import messages
import pytest
from processing_messages import READERS, changed, cut, read, refused

from postscan.soap.message.faults import Fault
from postscan.soap.services.arguments import TokenRequest
from postscan.soap.xml import namespaces


@pytest.mark.parametrize("action", READERS)
@pytest.mark.parametrize("other", READERS)
def test_a_body_belongs_to_its_action(action, other):
    """The body of another operation is refused, by its own name (DSP-005, T-X7)."""
    if action == other:
        assert read(action, messages.BODIES[action])
        return
    with pytest.raises(Fault) as caught:
        read(action, messages.BODIES[other])
    assert caught.value.detail == (namespaces.dsp(f"{other}Request"), "")


REQUIRED = [
    ("CreatePostScanJob", "UserIdentifier"),
    ("CreatePostScanJob", "PSP_Identifier"),
    ("CreatePostScanJob", "PostScanInstructions"),
    ("SendImage", "JobToken"),
    ("SendImage", "DocumentDescription"),
    ("SendImage", "DocumentId"),
    ("SendImage", "Format"),
    ("SendImage", "ImageData"),
    ("EndPostScanJob", "JobToken"),
    ("CancelPostScanJob", "JobToken"),
    ("GetPostScanJobElements", "JobToken"),
    ("GetPostScanJobElements", "RequestedElements"),
]


@pytest.mark.parametrize(("action", "name"), REQUIRED)
def test_a_missing_argument_is_named(action, name):
    """The fault holds the element, empty (DSP-015)."""
    with pytest.raises(Fault) as caught:
        read(action, cut(action, name)[0])
    assert caught.value.detail == (namespaces.dsp(name), "")


@pytest.mark.parametrize(("action", "name"), REQUIRED)
def test_a_repeated_argument_is_named(action, name):
    """Two of one argument could be read differently by two readers (O-32, T-X8)."""
    xml = cut(action, name)[1]

    assert refused(action, xml, xml + xml)[0] == namespaces.dsp(name)


@pytest.mark.parametrize("action", READERS)
def test_an_unknown_argument_is_named(action):
    """There is no argument of that name (O-32)."""
    assert refused(action, "Request>", "Request><dsp:Priority>9</dsp:Priority>") == (namespaces.dsp("Priority"), "9")


@pytest.mark.parametrize("action", READERS)
def test_foreign_elements_and_attributes_are_ignored(action):
    """Extensions of other namespaces are nobody's business (DSP-086, T-X10)."""
    extension = f'<x:JobToken xmlns:x="urn:x">other</x:JobToken><JobToken>{messages.TOKEN}</JobToken>'

    assert changed(action, "Request>", f'Request x:a="b" xmlns:x="urn:x">{extension}') == read(
        action, messages.BODIES[action]
    )


@pytest.mark.parametrize(("action", "first"), [("CreatePostScanJob", "UserIdentifier"), ("SendImage", "JobToken")])
def test_arguments_may_come_in_any_order(action, first):
    """Some devices sort them their own way (O-32)."""
    rest, xml = cut(action, first)
    end = f"</dsp:{action}Request>"

    assert read(action, rest.replace(end, xml + end)) == read(action, messages.BODIES[action])


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("CreatePostScanJob", messages.SID),
        ("CreatePostScanJob", messages.PROCESS_ID),
        ("CreatePostScanJob", f"{messages.FILTER}email"),
        ("SendImage", messages.TOKEN),
        ("SendImage", "jfif"),
        ("SendImage", ">9<"),
        ("EndPostScanJob", messages.TOKEN),
        ("GetPostScanJobElements", "dsp:JobStatus"),
    ],
)
def test_white_space_around_values_is_trimmed(action, value):
    """Pretty-printed messages mean the same (DSP-011, ws-dsp.md quirk 1)."""
    spaced = ">\n 9\t<" if value == ">9<" else f"\r\n\t {value} \n"

    assert changed(action, value, spaced) == read(action, messages.BODIES[action])


@pytest.mark.parametrize("token", ["not-a-guid", "x" * 255, "{A}", "ä b"])
def test_a_token_is_opaque(token):
    """Whether there is such a job is not for the codec to say (DSP-025, O-17)."""
    assert changed("EndPostScanJob", messages.TOKEN, token) == TokenRequest(token)


@pytest.mark.parametrize("token", ["", "  ", "x" * 256, "a<b/>", "<b/>a"])
@pytest.mark.parametrize("action", ["SendImage", "EndPostScanJob", "CancelPostScanJob", "GetPostScanJobElements"])
def test_a_token_that_cannot_be_one_is_named(action, token):
    """Empty, too long, or with elements inside (DSP-020, T-X8)."""
    assert refused(action, messages.TOKEN, token)[0] == namespaces.dsp("JobToken")
