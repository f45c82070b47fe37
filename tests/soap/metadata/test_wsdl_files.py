"""The WSDL of each service against what is really served; and in the hands of a reader that has never heard of us."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import zeep
from example_messages import NAMES as EXAMPLES
from example_messages import example
from lxml import etree
from schemas import FILES, FOLDER, with_its_image

from postscan.core.model.subscription import EventService
from postscan.core.settings import Settings
from postscan.soap.eventing import notifications
from postscan.soap.message import faults
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata import wsdl_files
from postscan.soap.services import operations
from postscan.soap.xml import namespaces

NAMES = {
    "soap": "http://www.w3.org/2003/05/soap-envelope",
    "wsdp": "http://schemas.xmlsoap.org/ws/2006/02/devprof",
    "wsdl": "http://schemas.xmlsoap.org/wsdl/",
    "wsoap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
    "wsp": "http://schemas.xmlsoap.org/ws/2004/09/policy",
    "wsoma": "http://schemas.xmlsoap.org/ws/2004/09/policy/optimizedmimeserialization",
    "xs": "http://www.w3.org/2001/XMLSchema",
}
SITE = metadata_messages.site(
    "https://scan01.fabrikam.example:5362",
    Settings.model_validate({"tls": {"certificate": "a.pem"}, "identity": {"administrators": ["S-1-5-21-1-2-3-500"]}}),
    "urn:uuid:a5f3a0c8-51f7-4c4b-b1e5-0d9c8b7a6f03",
)


@dataclass(frozen=True)
class Described:
    """A service as its WSDL ought to describe it; `prefix` is that of its namespace, and of its examples."""

    service: wsdl_files.Service
    prefix: str
    served: Mapping[str, operations.Operation]
    told: Collection[str]
    hosted: metadata_messages.Hosted

    @property
    def wsdl(self) -> etree._Element:
        """The WSDL as somebody gets it."""
        return etree.fromstring(metadata_messages.wsdl(wsdl_files.wsdl(self.service), self.hosted))


assert SITE.configuration is not None
SERVICES = [
    Described(
        "processing", "dsp", operations.PROCESSING, notifications.EVENTS[EventService.PROCESSING], SITE.processing
    ),
    Described(
        "configuration",
        "dsc",
        operations.CONFIGURATION,
        notifications.EVENTS[EventService.CONFIGURATION],
        SITE.configuration,
    ),
]


@pytest.fixture(params=SERVICES, ids=[one.service for one in SERVICES])
def about(request: pytest.FixtureRequest) -> Described:
    """Each of the services."""
    described: Described = request.param
    return described


def test_it_has_the_operations_and_the_events_that_there_are(about: Described) -> None:
    """In port type and binding: with the actions of the tables, and messages whose elements the schema has."""
    wsdl, prefix = about.wsdl, about.prefix
    schema = etree.parse(FOLDER / f"{about.service}.xsd")
    elements = {f"{prefix}:{one.get('name')}" for one in schema.getroot().iterfind("xs:element", NAMES)}
    parts = {f"{prefix}:{one.get('name')}": one[0].get("element") for one in wsdl.iterfind("wsdl:message", NAMES)}
    described = {}
    for one in wsdl.iterfind("wsdl:portType/wsdl:operation", NAMES):
        ends = [one.find(f"wsdl:{end}", NAMES) for end in ("input", "output")]
        described[one.get("name")] = [
            end if end is None else (end.get(namespaces.wsa("Action")), parts[str(end.get("message"))]) for end in ends
        ]
    bound = {
        one.get("name"): one.find("wsoap12:operation", NAMES).get("soapAction")
        for one in wsdl.iterfind("wsdl:binding/wsdl:operation", NAMES)
    }
    served, told = ({action.rpartition("/")[2]: action for action in actions} for actions in (about.served, about.told))

    assert (len(served), len(told)) == {"dsp": (5, 2), "dsc": (5, 4)}[prefix]
    assert bound == {**served, **told}
    assert described == {
        name: [(action, f"{prefix}:{name}Request"), (f"{action}Response", f"{prefix}:{name}Response")]
        for name, action in served.items()
    } | {name: [None, (action, f"{prefix}:{name}")] for name, action in told.items()}
    assert {end[1] for ends in described.values() for end in ends if end} == elements


def test_it_is_a_source_of_events(about: Described) -> None:
    """DPW-056: the port type says so."""
    (port_type,) = about.wsdl.iterfind("wsdl:portType", NAMES)

    assert port_type.get(f"{{{namespaces.WSE}}}EventSource") == "true"


def test_it_names_the_faults_that_there_are(about: Described) -> None:
    """Every subcode of the service's own, somewhere; port type and binding name the same for each operation."""
    wsdl = about.wsdl

    def faults_of(path: str) -> dict[str | None, list[str | None]]:
        return {
            one.get("name"): [fault.get("name") for fault in one.iterfind("wsdl:fault", NAMES)]
            for one in wsdl.iterfind(f"wsdl:{path}/wsdl:operation", NAMES)
        }

    raised = {prefix: set(re.findall(rf'"{prefix}:(\w+)"', inspect.getsource(faults))) for prefix in ("dsp", "dsc")}
    mirrored = raised["dsp"] - {"ServerErrorPostScanJobCanceled"}  # nothing is sent to a job by this service
    named = faults_of("portType")

    assert all(raised.values())
    assert {name for names in named.values() for name in names} == (
        raised["dsp"] if about.prefix == "dsp" else mirrored | raised["dsc"]
    )
    assert faults_of("binding") == named


def test_it_is_document_literal_over_soap_1_2(about: Described) -> None:
    """dpws.md section 7.3; the port type has the name that the service has as its type."""
    wsdl = about.wsdl
    binding = wsdl.find("wsdl:binding/wsoap12:binding", NAMES)
    uses = {str(one.get("use")) for one in wsdl.iter(f"{{{NAMES['wsoap12']}}}body", f"{{{NAMES['wsoap12']}}}fault")}
    port_types = [
        f"{{{wsdl.get('targetNamespace')}}}{one.get('name')}" for one in wsdl.iterfind("wsdl:portType", NAMES)
    ]

    assert binding is not None
    assert dict(binding.attrib) == {"style": "document", "transport": "http://schemas.xmlsoap.org/soap/http"}
    assert uses == {"literal"}
    assert tuple(port_types) == about.hosted.types


def test_it_says_what_of_the_profile_it_keeps_and_where_mtom_is(about: Described) -> None:
    """Each policy is referred to where it holds: the profile by the binding, MTOM by SendImage alone."""
    wsdl = about.wsdl
    id_name = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}Id"
    policies = {f"#{one.get(id_name)}": [child.tag for child in one] for one in wsdl.iterfind("wsp:Policy", NAMES)}
    references = {
        one.getparent().get("name"): policies[str(one.get("URI"))]
        for one in wsdl.iter(f"{{{NAMES['wsp']}}}PolicyReference")
    }
    kept = [f"{{{NAMES['wsdp']}}}{name}" for name in ("Profile", "PushDelivery", "DurationExpiration", "ActionFilter")]
    mtom = {"SendImage": [f"{{{NAMES['wsoma']}}}OptimizedMimeSerialization"]} if about.prefix == "dsp" else {}

    assert references == {wsdl.find("wsdl:binding", NAMES).get("name"): kept} | mtom


def test_it_has_the_address_and_no_mark_of_it(about: Described) -> None:
    """There is one place for it."""
    (address,) = about.wsdl.iterfind("wsdl:service/wsdl:port/wsoap12:address", NAMES)

    assert address.get("location") == about.hosted.address
    assert wsdl_files.wsdl(about.service).count(metadata_messages.LOCATION) == 1
    assert metadata_messages.LOCATION not in etree.tostring(about.wsdl)


def test_its_schemas_are_those_that_check_our_messages(about: Described, tmp_path: Path) -> None:
    """Alone in a folder they are complete: every import is relative, and the examples are valid by them."""
    for name, xsd in wsdl_files.schemas(about.service).items():
        (tmp_path / name).write_bytes(xsd)
    (inline,) = about.wsdl.iterfind("wsdl:types/xs:schema", NAMES)
    (tmp_path / "inline.xsd").write_bytes(etree.tostring(inline))
    schema = etree.XMLSchema(etree.parse(tmp_path / "inline.xsd"))
    messages = [with_its_image(example(name).decode()) for name in EXAMPLES if name.startswith(about.prefix)]
    contents = [content for one in messages for content in etree.fromstring(one).iterfind("soap:Body/*", NAMES)]
    ours = [one for one in contents if one.tag != namespaces.soap("Fault")]

    assert set(wsdl_files.schemas(about.service)) < set(FILES)
    assert len(ours) > 8
    for content in ours:
        schema.assertValid(etree.fromstring(etree.tostring(content)))
    wrong = etree.fromstring(etree.tostring(ours[0]))
    wrong.append(etree.Element("{urn:a}a"))
    wrong.append(etree.Element(ours[0].tag))
    assert not schema.validate(wrong)


def test_processing_is_what_is_meant_if_nothing_is_said() -> None:
    """It is the service that devices need."""
    assert wsdl_files.wsdl() == wsdl_files.wsdl("processing")
    assert wsdl_files.schemas() == wsdl_files.schemas("processing")


def test_a_client_that_never_heard_of_us_reads_it(about: Described) -> None:
    """It finds every operation, with what goes in; and of an event that nothing does, so that it cannot be called."""
    client = zeep.Client(str(FOLDER / f"{about.service}.wsdl"))
    ((port,),) = (service.ports.values() for service in client.wsdl.services.values())
    taken = {name: one.input is not None for name, one in port.binding._operations.items()}

    assert {name for name, takes in taken.items() if takes} == {one.rpartition("/")[2] for one in about.served}
    assert {name for name, takes in taken.items() if not takes} == {one.rpartition("/")[2] for one in about.told}
