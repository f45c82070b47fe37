"""The server for comparison: minimal Starlette handlers for the same bytes.

POST /stream    stream the body to a file, sync it, respond
POST /receive   the same for the image in a multipart: cut it out, hash and write it in a thread
POST /parse     parse the body with lxml, build a response of the same shape with lxml
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import uvicorn
from anyio import to_thread
from lxml import etree
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(tempfile.mkdtemp(dir=sys.argv[2])) if len(sys.argv) > 2 else Path()
SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
NSMAP = {"soap": SOAP, "wsa": WSA, "dsp": DSP}


async def stream(request: Request) -> Response:
    """Write the body to a file, and sync it."""
    path = FOLDER / "image"
    with path.open("wb", buffering=0) as file:
        async for chunk in request.stream():
            file.write(chunk)
        os.fsync(file.fileno())
    path.unlink()
    return Response(b"ok")


async def receive(request: Request) -> Response:
    """Write the second part of a multipart to a file in batches of 1 MiB, hash it, and sync it."""
    path, digest = FOLDER / "image", hashlib.sha256()
    boundary = request.headers["content-type"].partition('boundary="')[2].partition('"')[0]
    end = f"\r\n--{boundary}--\r\n".encode()
    with path.open("wb", buffering=0) as file:

        def keep(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        waiting, heads = b"", 0
        async for chunk in request.stream():
            waiting += chunk
            while heads < 2 and b"\r\n\r\n" in waiting:
                waiting, heads = waiting.partition(b"\r\n\r\n")[2], heads + 1
            if heads == 2 and len(waiting) >= (1 << 20) + len(end):
                await to_thread.run_sync(keep, waiting[: -len(end)])
                waiting = waiting[-len(end) :]
        await to_thread.run_sync(keep, waiting.removesuffix(end))
        await to_thread.run_sync(os.fsync, file.fileno())
    path.unlink()
    return Response(digest.hexdigest())


async def parse(request: Request) -> Response:
    """Read the requested names, and build a response as long as ours."""
    root = etree.fromstring(await request.body())
    names = [name.text for name in root.iter(f"{{{DSP}}}Name")]
    envelope = etree.Element(f"{{{SOAP}}}Envelope", nsmap=NSMAP)
    header = etree.SubElement(envelope, f"{{{SOAP}}}Header")
    for name in ("To", "Action", "MessageID", "RelatesTo"):
        etree.SubElement(header, f"{{{WSA}}}{name}").text = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role"
    body = etree.SubElement(envelope, f"{{{SOAP}}}Body")
    elements = etree.SubElement(etree.SubElement(body, f"{{{DSP}}}Response"), f"{{{DSP}}}JobElements")
    for name in names:
        data = etree.SubElement(
            elements, f"{{{DSP}}}ElementData", {f"{{{DSP}}}Name": name or "", f"{{{DSP}}}Valid": "true"}
        )
        status = etree.SubElement(data, f"{{{DSP}}}JobStatus")
        for child in ("JobToken", "JobState", "ImagesReceived", "JobCreatedTime"):
            etree.SubElement(status, f"{{{DSP}}}{child}").text = "5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935"
        filters = etree.SubElement(status, f"{{{DSP}}}FilterStatuses")
        for _ in range(2):
            one = etree.SubElement(filters, f"{{{DSP}}}FilterStatus")
            etree.SubElement(one, f"{{{DSP}}}Dialect").text = "http://schemas.microsoft.com/windows/2007/10/imaging"
            etree.SubElement(one, f"{{{DSP}}}FilterState").text = "Pending"
    return Response(etree.tostring(envelope), media_type="application/soap+xml")


app = Starlette(routes=[Route(f"/{one.__name__}", one, methods=["POST"]) for one in (stream, receive, parse)])

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False)
