"""The example messages of discovery and metadata, there and back (dpws.md section 11).

What is asked gives the values that stand in it; what we answer is the example's answer, element for element. Where we
answer otherwise, on purpose, the test says how.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from example_messages import example, same, shape
from lxml import etree
from schemas import assert_valid

from postscan.core.settings import Settings
from postscan.soap.discovery import messages as discovery_messages
from postscan.soap.discovery.messages import Discoverable, Probe, Resolve, SequenceNumber
from postscan.soap.message import faults, request
from postscan.soap.message.faults import Fault
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata import transfer
from postscan.soap.xml import namespaces

ORIGIN = "https://scan01.fabrikam.example:5362"
DEVICE = ORIGIN + "/ScanServer"
PROCESSING = DEVICE + "/3f0d6a52-8f3e-4b1c-9a57-6f1b2c7d9e10"
CONFIGURATION = DEVICE + "/0d1c2b3a-4958-4677-8695-a4b3c2d1e0f6"
ENDPOINT = "urn:uuid:a5f3a0c8-51f7-4c4b-b1e5-0d9c8b7a6f03"

# --- discovery -------------------------------------------------------------------------------------------------------

SCANNER = (discovery_messages.DEVICE, namespaces.dsp("RepositoryDeviceType"))
PLAIN = Discoverable(ENDPOINT, SCANNER, (), 3)
SECURE = Discoverable(DEVICE, (*SCANNER, namespaces.dsc("RepositoryDeviceType")), (), 3)
RUN = 1_772_444_467


@pytest.mark.parametrize("name", ["dpws-11.1-Probe", "dpws-11.2-Probe-directed"])
def test_a_probe_is_read_and_answered(name: str) -> None:
    """dpws.md sections 11.1 and 11.2: by UDP or by HTTP, the answer is the same."""
    probe = discovery_messages.read(example(name))

    assert probe == Probe("urn:uuid:8e1f2a60-2f3b-4a3e-9a0a-10d4c5b6a701", (discovery_messages.DEVICE,))
    assert discovery_messages.types_for(probe, SECURE) == SECURE.types
    written = discovery_messages.probe_matches(probe, SECURE, SECURE.types, DEVICE, SequenceNumber(RUN, 41))
    assert same(written, "dpws-11.1-ProbeMatches")


def test_a_resolve_is_read_and_answered() -> None:
    """dpws.md section 11.3."""
    resolve = discovery_messages.read(example("dpws-11.3-Resolve"))

    assert isinstance(resolve, Resolve)
    assert resolve.endpoint == ENDPOINT
    assert discovery_messages.is_meant(resolve, PLAIN)
    written = discovery_messages.resolve_matches(
        resolve, PLAIN, PLAIN.types, "http://10.20.30.40:5362/ScanServer", SequenceNumber(RUN, 42)
    )
    assert same(written, "dpws-11.3-ResolveMatches")


@pytest.mark.parametrize(
    ("name", "write", "number"),
    [("dpws-11.3-Hello", discovery_messages.hello, 1), ("dpws-11.3-Bye", discovery_messages.bye, 97)],
)
def test_coming_and_going_is_said(
    name: str, write: Callable[[Discoverable, SequenceNumber], bytes], number: int
) -> None:
    """dpws.md section 11.3."""
    assert same(write(PLAIN, SequenceNumber(RUN, number)), name)


def test_a_rule_that_is_unknown_is_answered_with_one_more_that_is_known() -> None:
    """dpws.md section 11.7: beside the two of the example we know uuid (section 6.2)."""
    question = Probe("urn:uuid:8e1f2a60-2f3b-4a3e-9a0a-10d4c5b6a701", (), ("urn:a",), "urn:other")
    with pytest.raises(Fault) as caught:
        discovery_messages.check_rule(question)
    written = faults.write(caught.value, question.message_id)

    assert written.count(b" " + discovery_messages.BY_UUID.encode()) == 1
    assert same(written.replace(b" " + discovery_messages.BY_UUID.encode(), b""), "dpws-11.7-MatchingRuleNotSupported")


# --- metadata --------------------------------------------------------------------------------------------------------

SETTINGS = Settings.model_validate(
    {
        "server": {
            "path": PROCESSING.removeprefix(ORIGIN),
            "device_path": "/ScanServer",
            "configuration_path": CONFIGURATION.removeprefix(ORIGIN),
        },
        "tls": {"certificate": "server.pem"},
        "identity": {"administrators": ["S-1-5-21-1-2-3-500"]},
        "device": {
            "manufacturer": "Example Project",
            "model_name": "DSM Scan Server",
            "model_number": "1",
            "friendly_name": "Scan server scan01",
            "serial_number": "0001",
            "types": [namespaces.dsc("RepositoryDeviceType")],
        },
    }
)
SITE = metadata_messages.site(ORIGIN, SETTINGS, ENDPOINT)


def test_the_device_answers_get_but_tells_no_version() -> None:
    """dpws.md section 11.4, but for FirmwareVersion: what runs here is nobody's business (T-H9)."""
    message = request.parse_request(example("dpws-11.4-Get"))
    written = transfer.reply(message, metadata_messages.of_device(SITE, SETTINGS.device, ENDPOINT), SETTINGS.device)
    expected = etree.fromstring(example("dpws-11.4-GetResponse"))
    for version in expected.findall(".//{*}FirmwareVersion"):
        version.getparent().remove(version)

    assert shape(assert_valid(written)) == shape(expected)


def test_the_service_answers_get_metadata() -> None:
    """dpws.md section 11.4: with the one section that is asked for, and in it where the WSDL lies."""
    message = request.parse_request(example("dpws-11.4-GetMetadata"))
    sections = metadata_messages.of_service(SITE, SITE.processing, SETTINGS.device)

    assert metadata_messages.read_get_metadata(message.body) == metadata_messages.MetadataQuery(namespaces.WSDL)
    assert same(transfer.reply(message, sections, SETTINGS.device), "dpws-11.4-GetMetadataResponse")
