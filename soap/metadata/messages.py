"""What we are, for those who ask: the device and its model, the services that it hosts, and where their WSDL lies.

No address here comes from a request: `ServerAddress` is made of the settings and of the interface that the caller
reached. Source: dpws.md sections 6.3, 6.4 and 7.
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
"""What the WSDL file says instead of an address."""

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
        """Where its WSDL lies."""
        return self.address + "?wsdl"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where the one who asks finds us: the device's name as an endpoint, its address, and its services.

    `told` are the services that metadata names.
    """

    endpoint: str
    device: str
    processing: Hosted
    configuration: Hosted
    told: tuple[Hosted, ...]

    def at(self, port: EventService) -> Hosted:
        """Return the service of a port."""
        return self.processing if port is EventService.PROCESSING else self.configuration


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to know: sections of this dialect and this identifier; None: of any."""

    dialect: str | None = None
    identifier: str | None = None

    def fits(self, section: Section) -> bool:
        """Return whether *section* is wanted."""
        return self.dialect in (None, section.dialect) and self.identifier in (None, section.identifier or None)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of metadata; *xml* is its content."""

    dialect: str
    xml: str
    identifier: str = ""


def origin(scheme: str, host: str, port: int) -> str:
    """Return scheme, host and port as a URL without a path; *host* is a name or an address, IPv6 without brackets."""
    host = host.partition("%")[0]  # the zone of a link-local address means nothing to anybody else
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def site(origin: str, settings: Settings, endpoint_id: str) -> ServerAddress:
    """Return where we are for somebody who reaches us at *origin*.

    Under https the endpoint is the device's address itself, for Windows drops all others (dpws.md section 6.3). The
    configuration service is told of where somebody may use it: under TLS, if there are administrators.
    """
    server, device = settings.server, origin + settings.server.device_path
    types = (*PROCESSING_TYPES, *settings.device.service_types)
    processing = Hosted(origin + server.path, namespaces.DSP, types, PROCESSING_ID)
    configuration = Hosted(origin + server.configuration_path, namespaces.DSC, CONFIGURATION_TYPES, CONFIGURATION_ID)
    administered = settings.tls.on and settings.identity.administrators
    told = (processing, configuration) if administered else (processing,)
    return ServerAddress(
        device if origin.startswith("https:") else endpoint_id, device, processing, configuration, told
    )


def read_get(body: etree._Element) -> Wanted:
    """Read a Get, which says nothing: everything is wanted. Raises `Fault` if it does say something."""
    if body.tag != namespaces.soap("Body"):
        raise faults.invalid_argument(reading.tag(body), "", "a Get has an empty Body")
    return Wanted()


def read_get_metadata(body: etree._Element) -> Wanted:
    """Read a GetMetadata: Dialect and Identifier, each at most once. Raises `Fault` or `InvalidArgument`."""
    expected = f"{{{namespaces.WSX}}}GetMetadata"
    if body.tag != expected:
        raise faults.invalid_argument(expected, "", f"the Body does not hold {expected}")
    found = reading.children(body, namespaces.WSX, ("Dialect", "Identifier"))
    asked = {name: reading.text(one, LONGEST_URI) for name, one in found.items()}
    return Wanted(asked.get("Dialect"), asked.get("Identifier"))


def of_device(site: ServerAddress, device: DeviceSettings, endpoint_id: str) -> tuple[Section, ...]:
    """Return what the device tells of itself: model, device, and what it hosts."""
    return (
        Section(THIS_MODEL, _this_model(device)),
        Section(THIS_DEVICE, _this_device(device, endpoint_id)),
        Section(RELATIONSHIP, _relationship(site, device)),
    )


def of_service(site: ServerAddress, service: Hosted, device: DeviceSettings) -> tuple[Section, ...]:
    """Return what a service tells of itself: its WSDL by address, and the device that it belongs to."""
    return (
        Section(namespaces.WSDL, f"<wsx:Location>{escape(service.wsdl)}</wsx:Location>", service.namespace),
        Section(RELATIONSHIP, _relationship(site, device)),
    )


def write(sections: Iterable[Section], wanted: Wanted, device: DeviceSettings) -> str:
    """Return the Metadata element with the sections that are wanted, which may be none.

    Its root declares the namespaces of all types: some readers look for the prefix without looking for its meaning.
    """
    declared = {**_PREFIXES, **_further_prefixes((*device.types, *device.service_types))}
    names = "".join(
        f' xmlns:{prefix}="{attribute(uri)}"' for uri, prefix in declared.items() if uri not in _ON_THE_ENVELOPE
    )
    return f"<wsx:Metadata{names}>{''.join(map(_section, filter(wanted.fits, sections)))}</wsx:Metadata>"


def wsdl(document: bytes, service: Hosted) -> bytes:
    """Return the WSDL with the service's address in its place."""
    return document.replace(LOCATION, attribute(service.address).encode())


def _section(section: Section) -> str:
    identifier = f' Identifier="{attribute(section.identifier)}"' if section.identifier else ""
    return f'<wsx:MetadataSection Dialect="{section.dialect}"{identifier}>{section.xml}</wsx:MetadataSection>'


def _this_model(device: DeviceSettings) -> str:
    return (
        "<wsdp:ThisModel>"
        f"{_spoken('Manufacturer', device.manufacturer)}{_optional('ManufacturerUrl', device.manufacturer_url)}"
        f"{_spoken('ModelName', device.model_name)}{_optional('ModelNumber', device.model_number)}"
        "</wsdp:ThisModel>"
    )


def _this_device(device: DeviceSettings, endpoint_id: str) -> str:
    serial = device.serial_number or endpoint_id.removeprefix("urn:uuid:")
    friendly = _spoken("FriendlyName", device.friendly_name)
    return f"<wsdp:ThisDevice>{friendly}{_optional('SerialNumber', serial)}</wsdp:ThisDevice>"


def _relationship(site: ServerAddress, device: DeviceSettings) -> str:
    host = _hosting("Host", site.endpoint, (*DEVICE_TYPES, *device.types), device, DEVICE_ID)
    hosted = "".join(_hosting("Hosted", one.address, one.types, device, one.id) for one in site.told)
    return f'<wsdp:Relationship Type="{namespaces.WSDP}/host">{host}{hosted}</wsdp:Relationship>'


def _hosting(name: str, address: str, types: Iterable[str], device: DeviceSettings, id: str) -> str:
    prefixes = {**_PREFIXES, **_further_prefixes((*device.types, *device.service_types))}
    names = " ".join(f"{prefixes[uri]}:{local}" for uri, local in map(namespaces.split, types))
    return (
        f"<wsdp:{name}><wsa:EndpointReference><wsa:Address>{escape(address)}</wsa:Address></wsa:EndpointReference>"
        f"<wsdp:Types>{escape(names)}</wsdp:Types><wsdp:ServiceId>{id}</wsdp:ServiceId></wsdp:{name}>"
    )


def _further_prefixes(types: Collection[str]) -> dict[str, str]:
    """Return a prefix for each namespace of types from the settings that has none yet."""
    uris = dict.fromkeys(uri for uri, _ in map(namespaces.split, types) if uri not in _PREFIXES)
    return {uri: f"t{number}" for number, uri in enumerate(uris)}


def _spoken(name: str, text: str) -> str:
    return f'<wsdp:{name} xml:lang="en">{escape(text)}</wsdp:{name}>'


def _optional(name: str, text: str) -> str:
    return f"<wsdp:{name}>{escape(text)}</wsdp:{name}>" if text else ""
