"""Namespaces, fixed URIs and qualified names.

A qualified name is a Clark name, `{uri}local`, as lxml writes it. Source: ws-dsp.md section 1;
scan-process.md section 2; dpws.md section 2.
"""

from __future__ import annotations

from typing import Final

SOAP: Final = "http://www.w3.org/2003/05/soap-envelope"
SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
WSA: Final = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSE: Final = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
WSD: Final = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WXF: Final = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSX: Final = "http://schemas.xmlsoap.org/ws/2004/09/mex"
WSDP: Final = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
WSDL: Final = "http://schemas.xmlsoap.org/wsdl/"
DSP: Final = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
DSC: Final = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/configuration"
DSD: Final = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/device"
PSP: Final = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
SPX: Final = "http://schemas.microsoft.com/windows/2010/09/imaging/postscan/scanprocess/extensions"
XOP: Final = "http://www.w3.org/2004/08/xop/include"
XOP_2003: Final = "http://www.w3.org/2003/12/xop/include"
XML: Final = "http://www.w3.org/XML/1998/namespace"

FILESHARE: Final = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare"
EMAIL: Final = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/email"
SHAREPOINT: Final = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/sharepoint"

PS: Final = "urn:postscan:2026"
"""Our own namespace, for elements that the protocol does not define."""

ANONYMOUS: Final = WSA + "/role/anonymous"
FAULT_ACTION: Final = WSA + "/fault"
UNSPECIFIED: Final = WSA + "/id/unspecified"
"""The RelatesTo of a fault for a request without a MessageID."""

PREFIXES: Final[dict[str, str]] = {
    "soap": SOAP,
    "wsa": WSA,
    "wse": WSE,
    "dsp": DSP,
    "psp": PSP,
    "xop": XOP,
    "dsc": DSC,
    "dsd": DSD,
}
"""The prefixes declared on the Envelope of every message of the server. Some firmware accepts only these prefixes."""

DECLARATIONS: Final = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in PREFIXES.items())
"""The declarations of `PREFIXES` as XML attributes."""

LOCAL_PREFIXES: Final[dict[str, str]] = {
    "wsd": WSD,
    "wsdp": WSDP,
    "fsf": FILESHARE,
    "emlf": EMAIL,
    "spf": SHAREPOINT,
    "spx": SPX,
    "ps": PS,
}
"""Prefixes that are declared on the element that uses them."""

_BY_URI: Final = {uri: prefix for prefix, uri in (PREFIXES | LOCAL_PREFIXES).items()}


def soap(name: str) -> str:
    """Return the Clark name of *name* in the envelope namespace."""
    return f"{{{SOAP}}}{name}"


def wsa(name: str) -> str:
    """Return the Clark name of *name* in the addressing namespace."""
    return f"{{{WSA}}}{name}"


def dsp(name: str) -> str:
    """Return the Clark name of *name* in the namespace of the processing service."""
    return f"{{{DSP}}}{name}"


def dsc(name: str) -> str:
    """Return the Clark name of *name* in the namespace of the configuration service."""
    return f"{{{DSC}}}{name}"


def psp(name: str) -> str:
    """Return the Clark name of *name* in the scan-process namespace."""
    return f"{{{PSP}}}{name}"


def split(clark: str) -> tuple[str, str]:
    """Return the namespace ("" if there is none) and the local name of a Clark name."""
    if not clark.startswith("{"):
        return "", clark
    uri, _, local = clark[1:].rpartition("}")
    return uri, local


def prefix(uri: str) -> str:
    """Return our prefix for a namespace; `x` for an unknown one."""
    return _BY_URI.get(uri, "x")
