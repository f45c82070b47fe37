"""What the lines of the checklists look at: parts of an answer, and requests with one thing written differently."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from acceptance.scanning import Scanner, good, refusal
from acceptance.server import digest
from device import DSP, SOAP, WSA, Answer, Device
from works import until

STATUS = "<dsp:Name>dsp:JobStatus</dsp:Name>"
STRANGER = "127.0.0.2"
"""The address of another device."""


def dsp(name: str) -> str:
    """Return the Clark name of an element of WS-DSP."""
    return f"{{{DSP}}}{name}"


# --- answers -------------------------------------------------------------------------------------------------------


def content(answer: Answer) -> ET.Element:
    """Return the one element in the Body."""
    (only,) = ET.fromstring(answer.body).iterfind(f"{{{SOAP}}}Body/*")
    return only


def header(answer: Answer, name: str) -> str:
    """Return the text of a WS-Addressing header block, blanks and all."""
    (text,) = (block.text for block in ET.fromstring(answer.body).iterfind(f"{{{SOAP}}}Header/{{{WSA}}}{name}"))
    return text or ""


def element_data(answer: Answer) -> list[ET.Element]:
    """Return the ElementData of an answer that is good, in order."""
    return content(good(answer)).findall(f"{dsp('JobElements')}/{dsp('ElementData')}")


def invalid(answer: Answer) -> tuple[str, str] | None:
    """Return what a dsp:InvalidArgs complains of: an element's local name, and what it holds."""
    fault = refusal(answer)
    assert (fault.code, fault.subcode) == ("soap:Sender", "dsp:InvalidArgs")
    return fault.detail


def comparable(answer: Answer, *tokens: str) -> bytes:
    """Return the body of an answer without what is new in each: its MessageID, and these tokens."""
    body = re.sub(rb"(<wsa:MessageID>)[^<]*", rb"\1", answer.body)
    for token in tokens:
        body = body.replace(token.encode(), b"TOKEN")
    return body


# --- requests ------------------------------------------------------------------------------------------------------


def changed(message: bytes, written: str, instead: str) -> bytes:
    """Return a message in which something is written differently; it must have been there."""
    assert written.encode() in message, message
    return message.replace(written.encode(), instead.encode())


def padded(message: bytes, *names: str) -> bytes:
    """Return a message with blanks and line breaks around the texts of these elements."""
    for name in names:
        message, found = re.subn(rf"(<{name}>)([^<]+)".encode(), rb"\1\r\n\t \2 \n", message)
        assert found, name
    return message


def query(device: Device, token: str, names: str = STATUS, **more: str) -> bytes:
    """Return a GetPostScanJobElements; *names* is the content of its RequestedElements."""
    asked = f"<dsp:JobToken>{token}</dsp:JobToken><dsp:RequestedElements>{names}</dsp:RequestedElements>"
    return device.envelope("GetPostScanJobElements", asked, **more)


def creation(device: Device, process_id: str, instructions: str, **more: str) -> bytes:
    """Return a CreatePostScanJob; *instructions* is the content of its PostScanInstructions."""
    asked = (
        f"<dsp:UserIdentifier>{device.user}</dsp:UserIdentifier><dsp:PSP_Identifier>{process_id}</dsp:PSP_Identifier>"
    )
    asked += f"<dsp:PostScanInstructions>{instructions}</dsp:PostScanInstructions>"
    return device.envelope("CreatePostScanJob", asked, **more)


def send_changed(device: Device, token: str, written: str, instead: str, **variations: Any) -> Answer:
    """Send `a page` as image 1, in a package in which something is written differently."""
    kind, parts = device.package(token, 1, b"a page", **variations)
    return device.post(changed(b"".join(parts), written, instead), kind)


def send_inline(device: Device, token: str, base64: str) -> Answer:
    """Send image 1 as base64 in the message itself."""
    described = "<dsp:DocumentDescription><dsp:DocumentId>1</dsp:DocumentId><dsp:Format>png</dsp:Format>"
    sent = f"<dsp:JobToken>{token}</dsp:JobToken>{described}</dsp:DocumentDescription>"
    return device.post(device.envelope("SendImage", f"{sent}<dsp:ImageData>{base64}</dsp:ImageData>"))


def job_of(scanner: Scanner, asked: str, *, stored: str = "", allow: str = "", **more: str) -> str:
    """Create a job with these instructions, of a stored process that has them or *stored*; return its token."""
    process_id = scanner.server.store(stored or asked, allow=allow)
    token = good(scanner.device.create(process_id, asked, **more)).find("JobToken")
    assert token
    return token


def abandoned(scanner: Scanner) -> str:
    """Create a job, send its image in the time that the server has for silent jobs, and leave it; return its token."""
    tokens: list[str] = []

    def is_sent() -> bool:
        tokens.append(scanner.create("copy"))
        return scanner.device.send_image(tokens[-1], 1, b"a page").fault() is None

    until(is_sent, "for a device that was not late with its image")
    return tokens[-1]


def hashes(images: Iterable[bytes]) -> list[str]:
    """Return the SHA-256 of each image, as `Server.images` does for what is in the spool."""
    return sorted(hashlib.sha256(image).hexdigest() for image in images)


# --- files ---------------------------------------------------------------------------------------------------------


def copies(folder: Path, image: bytes, without: Path | None = None) -> list[Path]:
    """Return every file below a folder that holds this image, but those in *without*, which may vanish meanwhile."""
    files = (file for file in folder.rglob("*.png") if without not in file.parents)
    return [file for file in files if [digest(file)] == hashes([image])]
