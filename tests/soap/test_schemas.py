"""Our own schemas."""

from __future__ import annotations

import messages
import pytest
from lxml import etree
from schemas import FILES, FOLDER, all_schemas, with_its_image

from postscan.soap import ns


@pytest.mark.parametrize("name", FILES)
def test_each_schema_stands_on_its_own(name):
    """With what it imports from beside it, and nothing from anywhere else."""
    tree = etree.parse(FOLDER / name)
    locations = [one.get("schemaLocation") for one in tree.iter("{http://www.w3.org/2001/XMLSchema}import")]

    assert etree.XMLSchema(tree)
    assert set(locations) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_each_schema_says_what_it_is_for(name):
    """In words of our own."""
    assert etree.parse(FOLDER / name).findtext(".//{http://www.w3.org/2001/XMLSchema}documentation")


@pytest.mark.parametrize("name", FILES)
def test_wildcards_are_lax(name):
    """An extension that nobody knows is never an error (PSP-055); only the envelope knows its contents better."""
    found = {one.get("processContents") for one in etree.parse(FOLDER / name).iter("{*}any", "{*}anyAttribute")}

    assert found <= ({"lax", "strict", "skip"} if name == "envelope.xsd" else {"lax"})


@pytest.mark.parametrize("action", messages.BODIES)
def test_good_requests_are_valid(action):
    """The schema that we publish describes what devices send."""
    schema = all_schemas()

    assert schema.validate(etree.fromstring(messages.envelope("", with_its_image(messages.BODIES[action])))), (
        schema.error_log
    )


def test_a_good_process_is_valid():
    """All of its ticket, too."""
    all_schemas().assertValid(etree.fromstring(messages.PROCESS))


@pytest.mark.parametrize(
    "body",
    [
        "<dsp:SendImageResponse><a/></dsp:SendImageResponse>",
        "<dsp:SendImageResponze/>",
        "<dsp:CreatePostScanJobResponse/>",
        "<unknown/>",
        "",
    ],
)
def test_a_wrong_answer_is_not_valid(body):
    """The check that all our messages pass can fail."""
    assert not all_schemas().validate(etree.fromstring(messages.envelope("", body)))


def test_the_namespaces_of_the_schemas_are_ours():
    """Each is spelled as in the code."""
    ours = {value for name, value in vars(ns).items() if name.isupper() and isinstance(value, str)}
    ours.add("http://schemas.microsoft.com/windows/2006/08/wdp/scan")

    assert {etree.parse(FOLDER / name).getroot().get("targetNamespace") for name in FILES} <= ours
