"""The messages of WS-Discovery: Probe and Resolve read as values, their match with a target, and all answers as bytes.

`responder` decides whether a question is answered. Answers declare only the namespaces that they use, which keeps
them small: the source of a UDP question may be forged.
Source: dpws.md sections 2, 6, 10 and 11.7; D24.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.soap.message import addressing, envelope, faults
from postscan.soap.xml import namespaces, writing
from postscan.soap.xml.reading import children, required, tag, text, trim
from postscan.soap.xml.uris import is_below

DEVICE: Final = f"{{{namespaces.WSDP}}}Device"
"""The type of every device with this profile."""

DIRECTED_PATH: Final = "/StableWSDiscoveryEndpoint/schemas-xmlsoap-org_ws_2005_04_discovery"
"""The path of the Probes that Windows sends over HTTP to a device whose host name was typed in."""

TO_ALL: Final = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"
PROBE: Final = namespaces.WSD + "/Probe"
RESOLVE: Final = namespaces.WSD + "/Resolve"
FAULT: Final = namespaces.WSD + "/fault"
BY_PATH: Final = namespaces.WSD + "/rfc2396"
BY_TEXT: Final = namespaces.WSD + "/strcmp0"
BY_UUID: Final = namespaces.WSD + "/uuid"

_PREFIXES: Final = {
    namespaces.SOAP: "soap",
    namespaces.WSA: "wsa",
    namespaces.WSD: "wsd",
    namespaces.WSDP: "wsdp",
    namespaces.DSP: "dsp",
    namespaces.DSC: "dsc",
}
_NO_SUCH_RULE: Final = "the matching rule specified is not supported"
_REFERENCE: Final = ("Address", "ReferenceProperties", "ReferenceParameters", "PortType", "ServiceName")
_QNAME: Final = re.compile(r"(?:([\w.-]+):)?([\w.-]+)")
_OF_SCANNING: Final = re.compile(
    r"http://schemas\.microsoft\.com/windows/2008/.*/wdp/(?:distributedscan|repository)/.*"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """A question for the targets that have all these types (Clark names) and are in all these scopes."""

    message_id: str
    types: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    rule: str = BY_PATH


@dataclass(frozen=True, slots=True)
class Resolve:
    """A question for the address of one endpoint."""

    message_id: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Discoverable:
    """A target of discovery: its constant endpoint, its types and scopes, and the version of its metadata."""

    endpoint: str
    types: tuple[str, ...]
    scopes: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class SequenceNumber:
    """The AppSequence of a message: the run of the server, and the number within the run."""

    instance: int
    number: int


def read(data: bytes) -> Probe | Resolve:
    """Return the question in *data*; raise `Fault` if it is malformed, something else, or cannot be answered."""
    message = envelope.read(data)
    return question(addressing.read(message.headers), message.body)


def question(header: addressing.Header, body: etree._Element | None) -> Probe | Resolve:
    """Return the question in a parsed message; raise `Fault` if it is something else."""
    decode = _QUESTIONS.get(header.action)
    if decode is None:
        raise faults.action_not_supported(header.action)
    if body is None or tag(body) != f"{{{namespaces.WSD}}}{header.action.rpartition('/')[2]}":
        raise faults.malformed("the Body does not contain the element of the Action")
    try:
        return decode(header.message_id, body)
    except InvalidArgument as error:
        raise faults.from_error(error) from error


def types_for(probe: Probe, target: Discoverable, *, lenient: bool = False) -> tuple[str, ...] | None:
    """Return the types for the answer to a probe; None if it does not match the target.

    With *lenient*, other types of scan servers match too and are added to the answer: which ones devices ask for is
    not documented (dpws.md section 6.4).
    """
    unknown = tuple(name for name in dict.fromkeys(probe.types) if name not in target.types)
    if unknown and not (lenient and all(map(_is_of_scanning, unknown))):
        return None
    matches = _RULES.get(probe.rule)
    if probe.scopes and matches is None:
        return None
    if not all(any(matches(asked, ours) for ours in target.scopes) for asked in probe.scopes if matches):
        return None
    return target.types + unknown


def check_rule(probe: Probe) -> None:
    """Raise `Fault` if a probe with scopes asks for a matching rule that is not implemented."""
    if not probe.scopes or probe.rule in _RULES:
        return
    supported = (f"{{{namespaces.WSD}}}SupportedMatchingRules", " ".join(_RULES))
    sentence = f"MatchBy is {probe.rule[: faults.LONGEST_VALUE]!r}; expected one of {supported[1]}"
    raise faults.Fault(
        "Sender", "wsd:MatchingRuleNotSupported", _NO_SUCH_RULE, supported, sentence=sentence, action=FAULT
    )


def is_meant(resolve: Resolve, target: Discoverable) -> bool:
    """Return whether the endpoint of a resolve is that of the target."""
    return _comparable(resolve.endpoint) == _comparable(target.endpoint)


def probe_matches(probe: Probe, target: Discoverable, types: Iterable[str], xaddr: str, stamp: SequenceNumber) -> bytes:
    """Return the answer to a probe."""
    return _found("Probe", probe.message_id, target, tuple(types), xaddr, stamp)


def resolve_matches(
    resolve: Resolve, target: Discoverable, types: Iterable[str], xaddr: str, stamp: SequenceNumber
) -> bytes:
    """Return the answer to a resolve."""
    return _found("Resolve", resolve.message_id, target, tuple(types), xaddr, stamp)


def hello(target: Discoverable, stamp: SequenceNumber) -> bytes:
    """Return a Hello. It contains no address; clients send a Resolve for it (DPW-027)."""
    body = f"{_endpoint(target)}{_describe(target, target.types)}{_version(target)}"
    return _write("Hello", TO_ALL, None, stamp, f"<wsd:Hello>{body}</wsd:Hello>", target.types)


def bye(target: Discoverable, stamp: SequenceNumber) -> bytes:
    """Return a Bye."""
    return _write("Bye", TO_ALL, None, stamp, f"<wsd:Bye>{_endpoint(target)}</wsd:Bye>", ())


# --- reading -----------------------------------------------------------------------------------------------------


def _probe(message_id: str, body: etree._Element) -> Probe:
    found = children(body, namespaces.WSD, ("Types", "Scopes"))
    types = _qnames(found["Types"]) if "Types" in found else ()
    if "Scopes" not in found:
        return Probe(message_id, types)
    scopes = found["Scopes"]
    return Probe(message_id, types, tuple((scopes.text or "").split()), trim(scopes.get("MatchBy")) or BY_PATH)


def _resolve(message_id: str, body: etree._Element) -> Resolve:
    endpoint = required(children(body, namespaces.WSA, ("EndpointReference",)), namespaces.WSA, "EndpointReference")
    address = required(children(endpoint, namespaces.WSA, _REFERENCE), namespaces.WSA, "Address")
    return Resolve(message_id, text(address, addressing.LONGEST_URI))


def _qnames(element: etree._Element) -> tuple[str, ...]:
    return tuple(_clark(element, name) for name in (element.text or "").split())


def _clark(element: etree._Element, name: str) -> str:
    parts = _QNAME.fullmatch(name)
    if parts is None or (parts[1] and parts[1] not in element.nsmap):
        raise InvalidArgument(tag(element), name, "qualified names whose prefixes are declared")
    uri = element.nsmap.get(parts[1])
    return f"{{{uri}}}{parts[2]}" if uri else parts[2]


_QUESTIONS: Final[dict[str, Callable[[str, etree._Element], Probe | Resolve]]] = {PROBE: _probe, RESOLVE: _resolve}


# --- matching ----------------------------------------------------------------------------------------------------


def _is_of_scanning(clark: str) -> bool:
    uri = namespaces.split(clark)[0]
    return uri == namespaces.WSDP or _OF_SCANNING.fullmatch(uri) is not None


def _comparable(uri: str) -> str:
    return uri.lower() if uri.lower().startswith("urn:uuid:") else uri


_RULES: Final[dict[str, Callable[[str, str], bool]]] = {
    BY_PATH: is_below,
    BY_TEXT: lambda asked, ours: asked == ours,
    BY_UUID: lambda asked, ours: asked.lower() == ours.lower(),
}


# --- writing -----------------------------------------------------------------------------------------------------


def _found(
    kind: str, relates_to: str, target: Discoverable, types: tuple[str, ...], xaddr: str, stamp: SequenceNumber
) -> bytes:
    about = f"{_describe(target, types)}<wsd:XAddrs>{writing.escape(xaddr)}</wsd:XAddrs>{_version(target)}"
    match = f"<wsd:{kind}Match>{_endpoint(target)}{about}</wsd:{kind}Match>"
    body = f"<wsd:{kind}Matches>{match}</wsd:{kind}Matches>"
    return _write(f"{kind}Matches", namespaces.ANONYMOUS, relates_to, stamp, body, types)


def _endpoint(target: Discoverable) -> str:
    address = f"<wsa:Address>{writing.escape(target.endpoint)}</wsa:Address>"
    return f"<wsa:EndpointReference>{address}</wsa:EndpointReference>"


def _describe(target: Discoverable, types: tuple[str, ...]) -> str:
    prefixes = _prefixes(types)
    names = (f"{prefixes[uri]}:{local}" if uri else local for uri, local in map(namespaces.split, types))
    scopes = f"<wsd:Scopes>{writing.escape(' '.join(target.scopes))}</wsd:Scopes>" if target.scopes else ""
    return f"<wsd:Types>{writing.escape(' '.join(names))}</wsd:Types>{scopes}"


def _version(target: Discoverable) -> str:
    return f"<wsd:MetadataVersion>{target.version}</wsd:MetadataVersion>"


def _prefixes(types: Iterable[str]) -> dict[str, str]:
    """Return the namespaces that a message with these types uses, and their prefixes."""
    used = dict.fromkeys(
        (namespaces.SOAP, namespaces.WSA, namespaces.WSD, *(uri for uri, _local in map(namespaces.split, types) if uri))
    )
    return {uri: _PREFIXES.get(uri, f"x{number}") for number, uri in enumerate(used)}


def _write(
    name: str, to: str, relates_to: str | None, stamp: SequenceNumber, body: str, types: tuple[str, ...]
) -> bytes:
    """Return an envelope in the form that clients without an XML parser expect (dpws.md quirks 1 to 3)."""
    declared = "".join(f' xmlns:{prefix}="{writing.attribute(uri)}"' for uri, prefix in _prefixes(types).items())
    related = "" if relates_to is None else f"<wsa:RelatesTo>{writing.escape(relates_to)}</wsa:RelatesTo>"
    return (
        f"<soap:Envelope{declared}><soap:Header><wsa:To>{to}</wsa:To><wsa:Action>{namespaces.WSD}/{name}</wsa:Action>"
        f"<wsa:MessageID>{writing.new_message_id()}</wsa:MessageID>{related}"
        f'<wsd:AppSequence InstanceId="{stamp.instance}" MessageNumber="{stamp.number}"/></soap:Header>'
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()
