"""DPW-030 to DPW-039, DPW-050, DPW-088: what the device and its service tell of themselves."""

from __future__ import annotations

import urllib.request
import uuid
from pathlib import Path
from urllib.parse import urljoin

import pytest
from acceptance.scanning import refusal
from acceptance.server import Server, running
from device import DSP, SOAP, WSA, Answer, Device
from lxml import etree

from postscan.core.settings.network import DeviceSettings

WXF = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSX = "http://schemas.xmlsoap.org/ws/2004/09/mex"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
WSDL = "http://schemas.xmlsoap.org/wsdl/"
NS = {"soap": SOAP, "wsa": WSA, "wsx": WSX, "wsdp": WSDP, "wsdl": WSDL}


def question(action: str = f"{WXF}/Get", body: str = "", to: str = "urn:somebody") -> bytes:
    """Return a request of WS-Transfer or WS-MetadataExchange."""
    return (
        f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}" xmlns:wsx="{WSX}"><soap:Header>'
        f"<wsa:To>{to}</wsa:To><wsa:Action>{action}</wsa:Action><wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo></soap:Header>"
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def host(server: Server) -> Device:
    """Return a scanner in front of the device."""
    return Device(urljoin(server.url, "/ScanServer"))


def told(answer: Answer) -> etree._Element:
    """Return the answer to a question that was answered."""
    assert answer.status == 200, answer.body
    return etree.fromstring(answer.body)


@pytest.fixture
def described(server: Server) -> etree._Element:
    """What the device says of itself."""
    return told(host(server).post(question()))


def texts(element: etree._Element, path: str) -> list[str]:
    """Return the texts at a path anywhere below."""
    return [one.text or "" for one in element.iterfind(f".//{path}", NS)]


@pytest.mark.conformance("DPW-030")
def test_a_get_at_the_host_is_answered_with_model_device_and_relationship(described: etree._Element) -> None:
    """One section each, with the element that its dialect promises."""
    sections = described.findall(".//wsx:MetadataSection", NS)

    assert [one.get("Dialect") for one in sections] == [
        f"{WSDP}/{name}" for name in ("ThisModel", "ThisDevice", "Relationship")
    ]
    assert all(one[0].tag == f"{{{WSDP}}}{str(one.get('Dialect')).rpartition('/')[2]}" for one in sections)


@pytest.mark.conformance("DPW-031")
def test_the_body_of_the_answer_holds_metadata_only(described: etree._Element) -> None:
    """One Metadata, and nothing in it but its sections."""
    (body,) = described.iterfind("soap:Body", NS)

    assert [one.tag for one in body] == [f"{{{WSX}}}Metadata"]
    assert {one.tag for one in body[0]} == {f"{{{WSX}}}MetadataSection"}


@pytest.mark.conformance("DPW-032")
def test_manufacturer_model_and_friendly_name_are_given(described: etree._Element) -> None:
    """And say something."""
    for name in ("ThisModel/wsdp:Manufacturer", "ThisModel/wsdp:ModelName", "ThisDevice/wsdp:FriendlyName"):
        assert all(texts(described, f"wsdp:{name}")), name
        assert texts(described, f"wsdp:{name}"), name


LONGEST = dict.fromkeys(("friendly_name", "manufacturer", "model_name", "model_number", "serial_number"), "x" * 256)
URL = {"manufacturer_url": "http://" + "u" * 993}
PLACE = {"public_url": f"http://{'h' * 288}:5362", "path": "/" + "p" * 255, "device_path": "/" + "d" * 255}


@pytest.mark.conformance("DPW-033")
def test_strings_and_uris_stay_within_their_limits(tmp_path: Path) -> None:
    """With every setting as long as it may be; one letter more, and the server does not start."""
    with running(tmp_path, {"server": {"port": 0, **PLACE}, "device": {**LONGEST, **URL}}) as server:
        metadata = told(Device(urljoin(server.url, PLACE["device_path"])).post(question()))
    said = [one.text or "" for one in metadata.iterfind("soap:Body//*", NS)]

    assert max(len(one) for one in said if "://" not in one) == 256
    assert 256 < max(len(one.encode()) for one in said) <= 2048
    for name, value in {**LONGEST, **URL}.items():
        with pytest.raises(ValueError, match=name):
            DeviceSettings.model_validate({name: value + "x"})


@pytest.mark.conformance("DPW-034")
def test_the_service_is_hosted_with_address_types_and_id_of_its_own(server: Server, described: etree._Element) -> None:
    """WS-DSP is found by its type; all ServiceIds differ."""
    hosted = {texts(one, "wsdp:Types")[0]: one for one in described.iterfind(".//wsdp:Hosted", NS)}
    ids = texts(described, "wsdp:ServiceId")

    processing = hosted["dsp:RepositoryProcessingServiceType"]
    assert processing.nsmap["dsp"] == DSP
    assert texts(processing, "wsa:EndpointReference/wsa:Address") == [server.url]
    assert len(ids) == len(set(ids)) == len(hosted) + 1


@pytest.mark.conformance("DPW-035")
def test_hosted_services_have_transport_addresses(described: etree._Element) -> None:
    """Where somebody answers a Get."""
    addresses = texts(described, "wsdp:Hosted/wsa:EndpointReference/wsa:Address")

    assert addresses
    assert [Device(one).post(question()).status for one in addresses] == [200] * len(addresses)


@pytest.mark.conformance("DPW-037")
def test_a_get_at_the_service_is_answered_with_its_wsdl(server: Server) -> None:
    """By its address; there it is, with the address of the service."""
    (location,) = texts(told(Device(server.url).post(question())), "wsx:Location")
    wsdl = etree.fromstring(get(location))

    assert wsdl.tag == f"{{{WSDL}}}definitions"
    assert wsdl.get("targetNamespace") == DSP
    assert [one.get("location") for one in wsdl.iter("{http://schemas.xmlsoap.org/wsdl/soap12/}address")] == [
        server.url
    ]


def get(url: str) -> bytes:
    """Get a file as a browser does."""
    with urllib.request.urlopen(url, timeout=30) as response:
        body: bytes = response.read()
    return body


@pytest.mark.conformance("DPW-038")
@pytest.mark.parametrize("path", ["/ScanServer", ""])
def test_get_metadata_is_answered_by_dialect(server: Server, path: str) -> None:
    """At the device and at its service: with the sections of the dialect, of which there may be none."""
    device = Device(urljoin(server.url, path))
    found = {}
    for dialect in (f"{WSDP}/ThisDevice", WSDL, "urn:other"):
        body = f"<wsx:GetMetadata><wsx:Dialect>{dialect}</wsx:Dialect></wsx:GetMetadata>"
        answer = told(device.post(question(f"{WSX}/GetMetadata/Request", body)))
        found[dialect] = len(answer.findall(".//wsx:MetadataSection", NS))

    assert list(found.values()) == ([1, 0, 0] if path else [0, 1, 0])


@pytest.mark.conformance("DPW-039")
@pytest.mark.parametrize("action", ["Put", "Create", "Delete"])
def test_other_actions_of_ws_transfer_are_not_supported(server: Server, action: str) -> None:
    """There is nothing to be written, neither at the device nor at the service."""
    for device in (host(server), Device(server.url)):
        fault = refusal(device.post(question(f"{WXF}/{action}")))

        assert (fault.code, fault.subcode) == ("soap:Sender", "wsa:ActionNotSupported")


@pytest.mark.conformance("DPW-050")
def test_endpoint_references_have_no_reference_properties(described: etree._Element) -> None:
    """An address and nothing else, that nobody has to send anything back."""
    references = list(described.iter(f"{{{WSA}}}EndpointReference"))

    assert references
    assert all([one.tag for one in reference] == [f"{{{WSA}}}Address"] for reference in references)


@pytest.mark.conformance("DPW-088")
@pytest.mark.parametrize("to", ["{name}", "{url}", "http://192.0.2.1:5362/ScanServer", "urn:somebody"])
def test_a_get_to_any_of_its_addresses_is_accepted(server: Server, described: etree._Element, to: str) -> None:
    """Its name, its URL, another of its addresses, even an old one: the path of the request is what counts (W-10)."""
    (name,) = texts(described, "wsdp:Host/wsa:EndpointReference/wsa:Address")
    answer = host(server).post(question(to=to.format(name=name, url=urljoin(server.url, "/ScanServer"))))

    assert texts(told(answer), "wsdp:Host/wsa:EndpointReference/wsa:Address") == [name]
