"""Questions of WS-Discovery as bytes, those that get no answer included, and how a test reads what is answered."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET

from postscan.soap.discovery.messages import Discoverable

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
NS = {"soap": SOAP, "wsa": WSA, "wsd": WSD}

DEVICE = f"{{{WSDP}}}Device"
SCANNER = f"{{{DSP}}}RepositoryDeviceType"
ENDPOINT = "urn:uuid:1b6f0d52-7c1e-4f7a-9d7e-2a6e5d0c9b13"
TARGET = Discoverable(ENDPOINT, (DEVICE, SCANNER), ("http://fabrikam.example/berlin/floor%202",), 7)
XADDR = "http://192.168.100.200:5362/ScanServer"


def usual(types: str = "wsdp:Device", message_id: str = "") -> bytes:
    """Return a Probe as Windows and scanners send it: with To, ReplyTo and Types."""
    scanning = f' xmlns:dsp="{DSP}"' if "dsp:" in types else ""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"'
        f' xmlns:wsd="{WSD}" xmlns:wsdp="{WSDP}"{scanning}><soap:Header>'
        "<wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</wsa:To>"
        f"<wsa:Action>{WSD}/Probe</wsa:Action><wsa:MessageID>{message_id or new_id()}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo></soap:Header>"
        f"<soap:Body><wsd:Probe><wsd:Types>{types}</wsd:Types></wsd:Probe></soap:Body></soap:Envelope>"
    ).encode()


def shortest(message_id: str = "1") -> bytes:
    """Return a Probe without a byte too many."""
    return (
        f'<e:Envelope xmlns:e="{SOAP}" xmlns="{WSA}"><e:Header><Action>{WSD}/Probe</Action>'
        f'<MessageID>{message_id}</MessageID></e:Header><e:Body><Probe xmlns="{WSD}"/></e:Body></e:Envelope>'
    ).encode()


def resolve(endpoint: str) -> bytes:
    """Return a Resolve."""
    reference = f"<wsa:EndpointReference><wsa:Address>\n{endpoint} </wsa:Address></wsa:EndpointReference>"
    probe = usual().decode().replace("/Probe</wsa:Action>", "/Resolve</wsa:Action>")
    before, _, _ = probe.partition("<wsd:Probe>")
    return f"{before}<wsd:Resolve>{reference}</wsd:Resolve></soap:Body></soap:Envelope>".encode()


def scoped(rule: str, scopes: str = "http://fabrikam.example/berlin") -> bytes:
    """Return the usual Probe with scopes and a rule."""
    return usual().replace(b"</wsd:Types>", f'</wsd:Types><wsd:Scopes MatchBy="{rule}">{scopes}</wsd:Scopes>'.encode())


def new_id() -> str:
    """Return a MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


HOSTILE = {
    "nothing": b"",
    "no XML": b"\x00\x01\x02",
    "cut": usual()[:-9],
    "a document type (DPW-084)": b"<!DOCTYPE e [<!ENTITY x 'y'>]>" + shortest(),
    "2009/01 discovery (DPW-086)": usual().replace(
        WSD.encode(), b"http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01"
    ),
    "2005/08 addressing (DPW-086)": usual().replace(WSA.encode(), b"http://www.w3.org/2005/08/addressing"),
    "SOAP 1.1": usual().replace(SOAP.encode(), b"http://schemas.xmlsoap.org/soap/envelope/"),
    "another action": usual().replace(b"/Probe</wsa:Action>", b"/Hello</wsa:Action>"),
    "an answer": usual().replace(b"/Probe</wsa:Action>", b"/ProbeMatches</wsa:Action>"),
    "action and body that disagree": usual().replace(b"/Probe</wsa:Action>", b"/Resolve</wsa:Action>"),
    "an empty body": usual().partition(b"<wsd:Probe>")[0] + b"</soap:Body></soap:Envelope>",
    "no MessageID": shortest("").replace(b"<MessageID></MessageID>", b""),
    "a ReplyTo of somebody else (DPW-025)": usual().replace(b"/role/anonymous", b"/victim"),
    "a type with an unknown prefix": usual("nobody:Device"),
    "a mandatory signature": usual().replace(
        b"</soap:Header>", b'<wsd:Security soap:mustUnderstand="1"/></soap:Header>'
    ),
}


def texts(data: bytes, path: str) -> list[str]:
    """Return the texts at a path below the Envelope; there must be no blanks around them."""
    found = [one.text or "" for one in ET.fromstring(data).findall(path, NS)]
    assert found == [one.strip() for one in found]
    return found
