"""The metadata of the server: the device and its model, the hosted services, and the addresses of their WSDL.

No address is taken from a request: `ServerAddress` is built from the settings and from the local address that the
client connected to. Source: dpws.md sections 6.3, 6.4 and 7.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.model.subscription import EventService
from postscan.core.settings import Settings
from postscan.core.settings.network import DeviceSettings
from postscan.soap.message import faults
from postscan.soap.message.addressing import LONGEST_URI
from postscan.soap.xml import namespaces, reading
from postscan.soap.xml.writing import attribute, escape

THIS_MODEL: Final = namespaces.WSDP + "/ThisModel"
THIS_DEVICE: Final = namespaces.WSDP + "/ThisDevice"
RELATIONSHIP: Final = namespaces.WSDP + "/Relationship"

DEVICE_TYPES: Final = (f"{{{namespaces.WSDP}}}Device", namespaces.dsp("RepositoryDeviceType"))
PROCESSING_TYPES: Final = (namespaces.dsp("RepositoryProcessingServiceType"),)
CONFIGURATION_TYPES: Final = (namespaces.dsc("RepositoryConfigurationServiceType"),)
"""Types as Clark names. The first and the last are certain; no public document gives the other two (dpws.md
section 6.4)."""

DEVICE_ID: Final = namespaces.PS + ":Device"
PROCESSING_ID: Final = namespaces.PS + ":RepositoryProcessingService"
CONFIGURATION_ID: Final = namespaces.PS + ":RepositoryConfigurationService"

LOCATION: Final = b"urn:postscan:2026:location"
"""The placeholder for the address in the WSDL files."""

_ON_THE_ENVELOPE: Final = (namespaces.DSP, namespaces.DSC)
_PREFIXES: Final = {namespaces.WSX: "wsx", namespaces.WSDP: "wsdp", namespaces.DSP: "dsp", namespaces.DSC: "dsc"}


@dataclass(frozen=True, slots=True)
class Hosted:
    """A service at its address: the namespace of its messages, its types as Clark names, its ServiceId."""

    address: str
    namespace: str
    types: tuple[str, ...]
    id: str

    @property
    def wsdl(self) -> str:
        """The URL of its WSDL."""
        return self.address + "?wsdl"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """The server as a client reaches it: its endpoint name, its URL, and its services.

    `published` are the services that metadata lists.
    """

    endpoint: str
    device: str
    processing: Hosted
    configuration: Hosted
    published: tuple[Hosted, ...]

    def at(self, port: EventService) -> Hosted:
        """Return the hosted service of a port type."""
        return self.processing if port is EventService.PROCESSING else self.configuration


@dataclass(frozen=True, slots=True)
class MetadataQuery:
    """A request for the sections with this dialect and this identifier; None matches all."""

    dialect: str | None = None
    identifier: str | None = None

    def includes(self, section: Section) -> bool:
        """Return whether *section* is requested."""
        return self.dialect in (None, section.dialect) and self.identifier in (None, section.identifier or None)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of metadata; *xml* is its content."""

    dialect: str
    xml: str
    identifier: str = ""


def origin(scheme: str, host: str, port: int) -> str:
    """Return scheme, host and port as a URL without a path; *host* is a name or an address, IPv6 without brackets."""
    host = host.partition("%")[0]  # the zone of a link-local address has no meaning on another machine
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def site(origin: str, settings: Settings, endpoint_id: str) -> ServerAddress:
    """Return the addresses of the server for a client that reaches it at *origin*.

    Under https the endpoint is the URL of the device, since Windows ignores every other one (dpws.md section 6.3). The
    configuration service is published if it can be used: with TLS and with administrators in the settings.
    """
    server, device = settings.server, origin + settings.server.device_path
    types = (*PROCESSING_TYPES, *settings.device.service_types)
    processing = Hosted(origin + server.path, namespaces.DSP, types, PROCESSING_ID)
    configuration = Hosted(origin + server.configuration_path, namespaces.DSC, CONFIGURATION_TYPES, CONFIGURATION_ID)
    administered = settings.tls.on and settings.identity.administrators
    published = (processing, configuration) if administered else (processing,)
    return ServerAddress(
        device if origin.startswith("https:") else endpoint_id, device, processing, configuration, published
    )


def read_get(body: etree._Element) -> MetadataQuery:
    """Read a Get, which requests all sections. Raises `Fault` if its Body is not empty."""
    if body.tag != namespaces.soap("Body"):
        raise faults.invalid_argument(reading.tag(body), "", "a Get has an empty Body")
    return MetadataQuery()


def read_get_metadata(body: etree._Element) -> MetadataQuery:
    """Read a GetMetadata: Dialect and Identifier, each at most once. Raises `Fault` or `InvalidArgument`."""
    expected = f"{{{namespaces.WSX}}}GetMetadata"
    if body.tag != expected:
        raise faults.invalid_argument(expected, "", f"the Body does not hold {expected}")
    found = reading.children(body, namespaces.WSX, ("Dialect", "Identifier"))
    asked = {name: reading.text(one, LONGEST_URI) for name, one in found.items()}
    return MetadataQuery(asked.get("Dialect"), asked.get("Identifier"))


def of_device(site: ServerAddress, device: DeviceSettings, endpoint_id: str) -> tuple[Section, ...]:
    """Return the sections of the device: model, device, and hosted services."""
    return (
        Section(THIS_MODEL, _this_model(device)),
        Section(THIS_DEVICE, _this_device(device, endpoint_id)),
        Section(RELATIONSHIP, _relationship(site, device)),
    )


def of_service(site: ServerAddress, service: Hosted, device: DeviceSettings) -> tuple[Section, ...]:
    """Return the sections of a service: the address of its WSDL, and the device that hosts it."""
    return (
        Section(namespaces.WSDL, f"<wsx:Location>{escape(service.wsdl)}</wsx:Location>", service.namespace),
        Section(RELATIONSHIP, _relationship(site, device)),
    )


def write(sections: Iterable[Section], query: MetadataQuery, device: DeviceSettings) -> str:
    """Return the Metadata element with the requested sections, possibly none.

    Its root declares the namespaces of all types, since some clients look for a prefix without resolving it.
    """
    declared = {**_PREFIXES, **_added_prefixes((*device.types, *device.service_types))}
    names = "".join(
        f' xmlns:{prefix}="{attribute(uri)}"' for uri, prefix in declared.items() if uri not in _ON_THE_ENVELOPE
    )
    return f"<wsx:Metadata{names}>{''.join(map(_section, filter(query.includes, sections)))}</wsx:Metadata>"


def wsdl(document: bytes, service: Hosted) -> bytes:
    """Return the WSDL with the service's address in place of `LOCATION`."""
    return document.replace(LOCATION, attribute(service.address).encode())


def _section(section: Section) -> str:
    identifier = f' Identifier="{attribute(section.identifier)}"' if section.identifier else ""
    return f'<wsx:MetadataSection Dialect="{section.dialect}"{identifier}>{section.xml}</wsx:MetadataSection>'


def _this_model(device: DeviceSettings) -> str:
    return (
        "<wsdp:ThisModel>"
        f"{_localized('Manufacturer', device.manufacturer)}{_optional('ManufacturerUrl', device.manufacturer_url)}"
        f"{_localized('ModelName', device.model_name)}{_optional('ModelNumber', device.model_number)}"
        "</wsdp:ThisModel>"
    )


def _this_device(device: DeviceSettings, endpoint_id: str) -> str:
    serial = device.serial_number or endpoint_id.removeprefix("urn:uuid:")
    friendly = _localized("FriendlyName", device.friendly_name)
    return f"<wsdp:ThisDevice>{friendly}{_optional('SerialNumber', serial)}</wsdp:ThisDevice>"


def _relationship(site: ServerAddress, device: DeviceSettings) -> str:
    host = _hosting("Host", site.endpoint, (*DEVICE_TYPES, *device.types), device, DEVICE_ID)
    hosted = "".join(_hosting("Hosted", one.address, one.types, device, one.id) for one in site.published)
    return f'<wsdp:Relationship Type="{namespaces.WSDP}/host">{host}{hosted}</wsdp:Relationship>'


def _hosting(name: str, address: str, types: Iterable[str], device: DeviceSettings, id: str) -> str:
    prefixes = {**_PREFIXES, **_added_prefixes((*device.types, *device.service_types))}
    names = " ".join(f"{prefixes[uri]}:{local}" for uri, local in map(namespaces.split, types))
    return (
        f"<wsdp:{name}><wsa:EndpointReference><wsa:Address>{escape(address)}</wsa:Address></wsa:EndpointReference>"
        f"<wsdp:Types>{escape(names)}</wsdp:Types><wsdp:ServiceId>{id}</wsdp:ServiceId></wsdp:{name}>"
    )


def _added_prefixes(types: Collection[str]) -> dict[str, str]:
    """Return a prefix for each namespace of types in the settings without one."""
    uris = dict.fromkeys(uri for uri, _ in map(namespaces.split, types) if uri not in _PREFIXES)
    return {uri: f"t{number}" for number, uri in enumerate(uris)}


def _localized(name: str, text: str) -> str:
    return f'<wsdp:{name} xml:lang="en">{escape(text)}</wsdp:{name}>'


def _optional(name: str, text: str) -> str:
    return f"<wsdp:{name}>{escape(text)}</wsdp:{name}>" if text else ""
