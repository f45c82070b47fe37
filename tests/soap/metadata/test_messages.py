"""What we say of ourselves, element by element."""

from __future__ import annotations

import messages
import pytest
from lxml import etree
from pydantic import ValidationError
from schemas import assert_valid

from postscan.core.errors import PostscanError
from postscan.core.settings import Settings
from postscan.core.settings.network import DeviceSettings, IdentitySettings, ServerSettings, TlsSettings
from postscan.soap.message import faults
from postscan.soap.message import request as message_request
from postscan.soap.message.faults import Fault
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata import transfer
from postscan.soap.metadata.messages import MetadataQuery
from postscan.soap.xml import namespaces

ID = "urn:uuid:a5f3a0c8-51f7-4c4b-b1e5-0d9c8b7a6f03"
ORIGIN = "http://10.20.30.40:5362"
PLAIN = metadata_messages.site(ORIGIN, Settings(), ID)
SECURE = metadata_messages.site("https://scan01.fabrikam.example:5362", Settings(), ID)
GET = namespaces.WXF + "/Get"
GET_METADATA = namespaces.WSX + "/GetMetadata/Request"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
NAMES = {
    "soap": "http://www.w3.org/2003/05/soap-envelope",
    "wsa": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "wsx": "http://schemas.xmlsoap.org/ws/2004/09/mex",
    "wsdp": "http://schemas.xmlsoap.org/ws/2006/02/devprof",
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
}


def request(action: str, body: str = "") -> message_request.SoapRequest:
    """Return a question as the front end has read it."""
    blocks = f"<wsa:Action>{action}</wsa:Action><wsa:MessageID>{messages.MESSAGE_ID}</wsa:MessageID>"
    return message_request.parse_request(messages.envelope(blocks, body))


def get_metadata(content: str) -> message_request.SoapRequest:
    """Return a GetMetadata with this content."""
    return request(GET_METADATA, f'<wsx:GetMetadata xmlns:wsx="{NAMES["wsx"]}">{content}</wsx:GetMetadata>')


def ask_device(
    message: message_request.SoapRequest,
    site: metadata_messages.ServerAddress | None = None,
    device: DeviceSettings | None = None,
) -> etree._Element:
    """Return the envelope, valid by our schema, in which the device answers."""
    device = device or DeviceSettings()
    site = site or metadata_messages.site(ORIGIN, Settings(device=device), ID)
    return assert_valid(transfer.reply(message, metadata_messages.of_device(site, device, ID), device))


def ask_service(message: message_request.SoapRequest, site: metadata_messages.ServerAddress = PLAIN) -> etree._Element:
    """Return the envelope, valid by our schema, in which the service answers."""
    return assert_valid(
        transfer.reply(message, metadata_messages.of_service(site, site.processing, DeviceSettings()), DeviceSettings())
    )


def dialects(answer: etree._Element) -> list[str]:
    """Return the dialects of all sections, in order."""
    return [str(one.get("Dialect")) for one in answer.iterfind("soap:Body/wsx:Metadata/wsx:MetadataSection", NAMES)]


def tree(element: etree._Element) -> object:
    """Return an element as (name, text) or (name, [children]), names in the prefixes that it has."""
    name = f"{element.prefix}:{etree.QName(element).localname}"
    return (name, [tree(child) for child in element]) if len(element) else (name, element.text)


def section(answer: etree._Element, dialect: str) -> object:
    """Return what stands in the section of a dialect of the device profile."""
    found = answer.find(f".//wsx:MetadataSection[@Dialect='{NAMES['wsdp']}/{dialect}']", NAMES)
    assert found is not None
    return [tree(child) for child in found]


# --- the device ------------------------------------------------------------------------------------------------------


def test_the_device_says_what_it_is() -> None:
    """DPW-030, DPW-031, DPW-032: three sections, and each element in its place; nothing else in the body."""
    answer = ask_device(request(GET))
    body = answer.find("soap:Body", NAMES)

    assert body is not None
    assert [child.tag for child in body] == [f"{{{NAMES['wsx']}}}Metadata"]
    assert dialects(answer) == [NAMES["wsdp"] + name for name in ("/ThisModel", "/ThisDevice", "/Relationship")]
    assert section(answer, "ThisModel") == [
        ("wsdp:ThisModel", [("wsdp:Manufacturer", "postscan"), ("wsdp:ModelName", "postscan")])
    ]
    assert section(answer, "ThisDevice") == [
        (
            "wsdp:ThisDevice",
            [("wsdp:FriendlyName", "postscan scan server"), ("wsdp:SerialNumber", ID.removeprefix("urn:uuid:"))],
        )
    ]


def test_everything_that_can_be_said_stands_in_its_order() -> None:
    """dpws.md section 7.1."""
    device = DeviceSettings(manufacturer_url="https://a.example/?a&b", model_number="<7>", serial_number="0001")
    answer = ask_device(request(GET), device=device)

    assert section(answer, "ThisModel") == [
        (
            "wsdp:ThisModel",
            [
                ("wsdp:Manufacturer", "postscan"),
                ("wsdp:ManufacturerUrl", "https://a.example/?a&b"),
                ("wsdp:ModelName", "postscan"),
                ("wsdp:ModelNumber", "<7>"),
            ],
        )
    ]
    assert answer.findtext(".//wsdp:SerialNumber", None, NAMES) == "0001"


def test_what_people_read_has_a_language() -> None:
    """The three texts that may be there in several of them."""
    answer = ask_device(request(GET))
    spoken = {etree.QName(one).localname: one.get(f"{{{namespaces.XML}}}lang") for one in answer.iter() if one.attrib}

    assert {name: spoken.get(name) for name in ("Manufacturer", "ModelName", "FriendlyName")} == dict.fromkeys(
        ("Manufacturer", "ModelName", "FriendlyName"), "en"
    )


def test_the_device_leads_to_its_service() -> None:
    """DPW-034, DPW-035: a Host with the device's name, a Hosted with an http address; each with its own ServiceId."""
    answer = ask_device(request(GET))

    assert section(answer, "Relationship") == [
        (
            "wsdp:Relationship",
            [
                (
                    "wsdp:Host",
                    [
                        ("wsa:EndpointReference", [("wsa:Address", ID)]),
                        ("wsdp:Types", "wsdp:Device dsp:RepositoryDeviceType"),
                        ("wsdp:ServiceId", "urn:postscan:2026:Device"),
                    ],
                ),
                (
                    "wsdp:Hosted",
                    [
                        (
                            "wsa:EndpointReference",
                            [("wsa:Address", "http://10.20.30.40:5362/ScanServer/processing")],
                        ),
                        ("wsdp:Types", "dsp:RepositoryProcessingServiceType"),
                        ("wsdp:ServiceId", "urn:postscan:2026:RepositoryProcessingService"),
                    ],
                ),
            ],
        )
    ]
    relationship = answer.find(".//wsdp:Relationship", NAMES)
    assert relationship is not None
    assert relationship.get("Type") == NAMES["wsdp"] + "/host"


def test_under_https_the_address_is_the_name() -> None:
    """DPW-016, DPW-017: Windows drops every other endpoint."""
    answer = ask_device(request(GET), SECURE)
    addresses = [one.text for one in answer.iterfind(".//wsa:EndpointReference/wsa:Address", NAMES)]

    assert addresses == [
        "https://scan01.fabrikam.example:5362/ScanServer",
        "https://scan01.fabrikam.example:5362/ScanServer/processing",
    ]


def test_endpoints_have_no_reference_properties() -> None:
    """DPW-050: an address, and nothing that would have to be sent back."""
    references = list(ask_device(request(GET)).iter(namespaces.wsa("EndpointReference")))

    assert len(references) == 2
    assert all([child.tag for child in one] == [namespaces.wsa("Address")] for one in references)


def test_every_type_is_a_name_in_scope() -> None:
    """DPW-029: further types come from the settings; their namespaces are declared above the Types, not on them."""
    device = DeviceSettings(types=("{urn:a}B", "{urn:c}D", f"{{{DSP}}}E"), service_types=("{urn:a}F",))
    found = {}
    for one in ask_device(request(GET), device=device).iter(f"{{{namespaces.WSDP}}}Types"):
        above = one.getparent()
        assert above is not None
        assert not one.attrib
        assert one.nsmap == above.nsmap
        names = [name.partition(":") for name in (one.text or "").split(" ")]
        found[etree.QName(above).localname] = [f"{{{one.nsmap[prefix]}}}{local}" for prefix, _, local in names]

    assert found == {
        "Host": [*metadata_messages.DEVICE_TYPES, "{urn:a}B", "{urn:c}D", f"{{{DSP}}}E"],
        "Hosted": [*metadata_messages.PROCESSING_TYPES, "{urn:a}F"],
    }


def test_the_answer_relates_to_the_question() -> None:
    """DPW-045: its Action is the question's, answered; it goes to nobody but the one who asked."""
    header = ask_device(request(GET)).find("soap:Header", NAMES)
    other = ask_device(get_metadata("")).find("soap:Header", NAMES)

    assert header is not None
    assert other is not None
    assert header.findtext("wsa:RelatesTo", None, NAMES) == messages.MESSAGE_ID
    assert header.findtext("wsa:To", None, NAMES) == NAMES["wsa"] + "/role/anonymous"
    assert header.findtext("wsa:Action", None, NAMES) == "http://schemas.xmlsoap.org/ws/2004/09/transfer/GetResponse"
    assert other.findtext("wsa:Action", None, NAMES) == NAMES["wsx"] + "/GetMetadata/Response"


def test_the_largest_answer_is_within_the_profile() -> None:
    """DPW-033, DPW-043: with every setting as long and as awkward as it may be, at most 32767 octets."""
    words = dict.fromkeys(("friendly_name", "manufacturer", "model_name", "model_number", "serial_number"), "&" * 256)
    types = tuple("{urn:" + f"{number:04}" + "\U0001f5a8" * 230 + "}name" for number in range(5))
    device = DeviceSettings.model_validate(
        words
        | {
            "manufacturer_url": "&" * 1000,
            "types": types,
            "service_types": [one.replace("urn", "urm") for one in types],
        }
    )
    paths = {"path": "\u65e5", "device_path": "\u672c", "configuration_path": "\u8a9e"}
    server = ServerSettings(**{key: "/" + letter * 255 for key, letter in paths.items()})
    identity = IdentitySettings(administrators=("S-1-5-21-1-2-3-1001",))
    settings = Settings(server=server, device=device, identity=identity, tls=TlsSettings(certificate="cert.pem"))
    site = metadata_messages.site("https://" + "a" * 287 + ":5362", settings, ID)
    assert len(site.published) == 2

    assert len(transfer.reply(request(GET), metadata_messages.of_device(site, device, ID), device)) <= 32_767


@pytest.mark.parametrize(
    "table",
    [
        {"friendly_name": ""},
        {"friendly_name": "  "},
        {"friendly_name": "x" * 257},
        {"manufacturer_url": "x" * 1001},
        {"types": ["wsdp:Device"]},
        {"types": ["{urn:a}b c"]},
        {"types": ['{urn:a"}b']},
        {"types": ["{urn:a}" + "b" * 250]},
        {"types": ["{urn:a}b"] * 6},
    ],
)
def test_what_a_device_cannot_be_called_is_refused(table: dict[str, object]) -> None:
    """At the door, not in front of a scanner (DPW-033)."""
    with pytest.raises(ValidationError):
        DeviceSettings.model_validate(table)


# --- where it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrival", "origin"),
    [
        (("http", "10.1.2.3", 80), "http://10.1.2.3:80"),
        (("https", "2001:db8::1", 5362), "https://[2001:db8::1]:5362"),
        (("http", "fe80::1%eth0", 5362), "http://[fe80::1]:5362"),
    ],
)
def test_an_address_is_written_as_in_a_url(arrival: tuple[str, str, int], origin: str) -> None:
    """Brackets around IPv6, and no zone: that is the name of a network card of ours (T-D4)."""
    assert metadata_messages.origin(*arrival) == origin


GOOD_URLS = ("", "http://scan01", "https://scan01.example:5362", "http://10.1.2.3:1", "https://[2001:db8::1]:5362")
BAD_URLS = (
    "scan01",
    "ftp://scan01",
    "https://scan01/",
    "https://u@scan01",
    "https://a b",
    "https://a?b",
    "https://a\n",
)


def test_a_public_url_is_scheme_host_and_port() -> None:
    """The paths have settings of their own."""
    for url in GOOD_URLS:
        assert ServerSettings(public_url=url).public_url == url
    for url in BAD_URLS:
        with pytest.raises(ValidationError):
            ServerSettings(public_url=url)


def test_device_and_services_have_three_paths() -> None:
    """One address cannot be two of them."""
    with pytest.raises(ValidationError, match="expected three"):
        ServerSettings(path="/a", device_path="/a")


# --- the service, and choosing ---------------------------------------------------------------------------------------


def test_the_service_says_where_its_wsdl_is() -> None:
    """DPW-037: and whose it is."""
    answer = ask_service(request(GET))
    first = answer.find(".//wsx:MetadataSection", NAMES)

    assert first is not None
    assert dict(first.attrib) == {"Dialect": NAMES["wsdl"], "Identifier": DSP}
    assert [tree(one) for one in first] == [("wsx:Location", "http://10.20.30.40:5362/ScanServer/processing?wsdl")]
    assert section(answer, "Relationship") == section(ask_device(request(GET)), "Relationship")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", [namespaces.WSDL, metadata_messages.RELATIONSHIP]),
        (f"<wsx:Dialect> {namespaces.WSDL} </wsx:Dialect>", [namespaces.WSDL]),
        (f"<wsx:Identifier>{DSP}</wsx:Identifier><wsx:Dialect>{namespaces.WSDL}</wsx:Dialect>", [namespaces.WSDL]),
        (f"<wsx:Identifier>{DSP}</wsx:Identifier>", [namespaces.WSDL]),
        (f"<wsx:Identifier>urn:other</wsx:Identifier><wsx:Dialect>{namespaces.WSDL}</wsx:Dialect>", []),
        ("<wsx:Dialect>http://www.w3.org/2001/XMLSchema</wsx:Dialect>", []),
        ("<wsx:Dialect/>", []),
        ('<a xmlns="urn:extension"/>', [namespaces.WSDL, metadata_messages.RELATIONSHIP]),
    ],
)
def test_get_metadata_gets_what_it_asks_for(content: str, expected: list[str]) -> None:
    """DPW-038: an unknown dialect is a Metadata without sections, no fault; an extension is ignored."""
    answer = ask_service(get_metadata(content))

    assert dialects(answer) == expected
    assert answer.find("soap:Body/wsx:Metadata", NAMES) is not None


def refused(message: message_request.SoapRequest) -> Fault:
    """Return the fault that the device answers with."""
    with pytest.raises((Fault, PostscanError)) as caught:
        ask_device(message)
    return faults.from_error(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "<wsx:Dialekt/>",
        "<wsx:Dialect>a</wsx:Dialect>" * 2,
        "<wsx:Dialect><a/></wsx:Dialect>",
        f"<wsx:Dialect>{'x' * 2049}</wsx:Dialect>",
    ],
)
def test_a_crooked_get_metadata_is_refused(content: str) -> None:
    """The Detail names the element (T-X8)."""
    fault = refused(get_metadata(content))

    assert (fault.code, fault.subcode) == ("Sender", "dsp:InvalidArgs")
    assert fault.detail is not None
    assert fault.detail[0].startswith(f"{{{namespaces.WSX}}}")


@pytest.mark.parametrize(
    ("action", "body"), [(GET, messages.CANCEL), (GET_METADATA, messages.CANCEL), (GET_METADATA, "")]
)
def test_action_and_body_must_agree(action: str, body: str) -> None:
    """T-X7, ruling 17."""
    assert refused(request(action, body)).subcode == "dsp:InvalidArgs"


@pytest.mark.parametrize(
    "action",
    [f"{namespaces.WXF}/Put", f"{namespaces.WXF}/Create", f"{namespaces.WXF}/Delete", f"{DSP}/CancelPostScanJob"],
)
def test_nothing_can_be_written(action: str) -> None:
    """DPW-039: nor does the device do what only the service does."""
    fault = refused(request(action))

    assert (fault.code, fault.subcode) == ("Sender", "wsa:ActionNotSupported")
    assert fault.detail == (namespaces.wsa("Action"), action)


def test_a_get_wants_everything() -> None:
    """Its body is empty, or it is none."""
    assert metadata_messages.read_get(request(GET).body) == MetadataQuery()
