"""Events as a scanner sends them, and what a stranger sends instead: bytes, and HTTP requests to an event sink."""

from __future__ import annotations

import http.client
import socket
import uuid
from contextlib import closing
from urllib.parse import urlsplit

SCAN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
EVENTING = "http://schemas.xmlsoap.org/ws/2004/08/eventing"


def envelope(action: str, body: str, identifier: str = "", message_id: str = "") -> bytes:
    """Return a message with the identifier of a subscription."""
    block = f"<e:Identifier>{identifier}</e:Identifier>" if identifier else ""
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
        f'xmlns:e="{EVENTING}" xmlns:w="{SCAN}"><s:Header><a:To>urn:to</a:To><a:Action>{action}</a:Action>'
        f"<a:MessageID>{message_id or uuid.uuid4().urn}</a:MessageID>{block}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def press(context: str, scan: str, identifier: str, source: str = "ADF", message_id: str = "") -> bytes:
    """Return a ScanAvailableEvent."""
    body = (
        f"<w:ScanAvailableEvent><w:ClientContext>{context}</w:ClientContext>"
        f"<w:ScanIdentifier>{scan}</w:ScanIdentifier><w:InputSource>{source}</w:InputSource></w:ScanAvailableEvent>"
    )
    return envelope(f"{SCAN}/ScanAvailableEvent", body, identifier, message_id)


def post(url: str, data: bytes, *, method: str = "POST", source: str = "") -> tuple[int, bytes]:
    """Send a message to a URL, from the address *source* of this machine; return status and body of the response."""
    parts = urlsplit(url)
    bound = (source, 0) if source else None
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20, source_address=bound)) as to:
        to.request(method, parts.path, data, {"Content-Type": "application/soap+xml"})
        response = to.getresponse()
        return response.status, response.read()


def begun(url: str, length: int) -> socket.socket:
    """Send the head of a POST with a body of so many bytes, and return the connection."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80), 20)
    connection.sendall(f"POST {parts.path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n".encode())
    return connection
