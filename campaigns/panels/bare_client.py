"""A client of WS-Scan that does nothing with the pages: how long the transfer alone takes."""

from __future__ import annotations

import http.client
import re
import time
import uuid
from typing import Final
from urllib.parse import urlsplit

_SCAN: Final = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
_ENVELOPE: Final = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="{scan}"><s:Header><a:To>{url}</a:To>'
    "<a:Action>{scan}/{name}</a:Action><a:MessageID>urn:uuid:{id}</a:MessageID></s:Header>"
    "<s:Body><w:{name}Request>{inside}</w:{name}Request></s:Body></s:Envelope>"
)
_SIDE: Final = "<w:MediaFront><w:ColorProcessing>RGB24</w:ColorProcessing></w:MediaFront>"
_TICKET: Final = (
    "<w:ScanTicket><w:JobDescription><w:JobName>n</w:JobName><w:JobOriginatingUserName>u</w:JobOriginatingUserName>"
    "<w:JobInformation>i</w:JobInformation></w:JobDescription><w:DocumentParameters><w:Format>{format}</w:Format>"
    f"<w:ImagesToTransfer>0</w:ImagesToTransfer><w:InputSource>ADF</w:InputSource><w:MediaSides>{_SIDE}"
    "</w:MediaSides></w:DocumentParameters></w:ScanTicket>"
)
_IMAGE: Final = (
    "<w:JobId>{job}</w:JobId><w:JobToken>{token}</w:JobToken><w:DocumentDescription>"
    "<w:DocumentName>page</w:DocumentName></w:DocumentDescription>"
)


def transfer_seconds(service: str, pages: int, format: str = "jfif") -> float:
    """Create a job without a press, fetch so many pages, and return the seconds that it took."""
    begun = time.monotonic()
    created = _ask(service, "CreateScanJob", _TICKET.format(format=format))
    job, token = (re.findall(rb":%s>([^<]+)<" % name, created)[0].decode() for name in (b"JobId", b"JobToken"))
    for _ in range(pages):
        image = _ask(service, "RetrieveImage", _IMAGE.format(job=job, token=token))
        if b"xop:Include" not in image and b":Include" not in image:
            raise RuntimeError(f"the scanner sent no image: {image[:300]!r}")
    seconds = time.monotonic() - begun
    _ask(service, "RetrieveImage", _IMAGE.format(job=job, token=token))  # which ends the job
    return seconds


def _ask(service: str, name: str, inside: str) -> bytes:
    parts = urlsplit(service)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    body = _ENVELOPE.format(scan=_SCAN, url=service, name=name, id=uuid.uuid4(), inside=inside)
    try:
        connection.request("POST", parts.path, body.encode(), {"Content-Type": "application/soap+xml"})
        return connection.getresponse().read()
    finally:
        connection.close()
