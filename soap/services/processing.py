"""The messages of WS-DSP: requests read into values, responses written from values.

Source: ws-dsp.md sections 3 to 6, 10 and 11. Children may come in any order, and those of other namespaces
are ignored; a missing, repeated or unknown child is a fault that names it (O-32).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.model.formats import KEYWORDS
from postscan.core.model.job import Job
from postscan.core.model.principal import is_sid
from postscan.core.model.process import Instructions
from postscan.soap.processes import instructions
from postscan.soap.services import arguments, job_elements, requested_elements
from postscan.soap.services.job_elements import is_word
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces
from postscan.soap.xml.reading import guid, tag, text, trim
from postscan.soap.xml.writing import escape

SEND_IMAGE: Final = namespaces.DSP + "/SendImage"
SEND_IMAGE_RESPONSE: Final = "<dsp:SendImageResponse/>"
END_RESPONSE: Final = "<dsp:EndPostScanJobResponse/>"
CANCEL_RESPONSE: Final = "<dsp:CancelPostScanJobResponse/>"

_INT: Final = re.compile(r"\+?0*([0-9]{1,10})")
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_LARGEST_INT: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """CreatePostScanJob: the user's SID, the scan process (a GUID in upper case without braces), and instructions."""

    user_sid: str
    process_id: str
    instructions: Instructions


@dataclass(frozen=True, slots=True)
class SendImageRequest:
    """SendImage: the job, the document, and the location of its bytes.

    Either `cid` is the reference to the MIME part, without its scheme and still percent-encoded, or `inline` holds
    the bytes themselves.
    """

    token: str
    document_id: int
    format: str
    cid: str | None
    inline: bytes | None


@arguments.raising_faults
def read_create(body: etree._Element) -> CreateRequest:
    """Read a CreatePostScanJobRequest; raise `Fault` for what is wrong with it."""
    found = arguments.of(
        body, namespaces.dsp("CreatePostScanJobRequest"), "UserIdentifier", "PSP_Identifier", "PostScanInstructions"
    )
    return CreateRequest(
        user_sid=_sid(found["UserIdentifier"]),
        process_id=_identifier(found["PSP_Identifier"]),
        instructions=instructions.read(found["PostScanInstructions"]),
    )


@arguments.raising_faults
def read_send_image(body: etree._Element) -> SendImageRequest:
    """Read a SendImageRequest; raise `Fault` for what is wrong with it."""
    found = arguments.of(body, namespaces.dsp("SendImageRequest"), "JobToken", "DocumentDescription", "ImageData")
    described = arguments.within(found["DocumentDescription"], "DocumentId", "Format")
    image = found["ImageData"]
    cid = included(image)
    return SendImageRequest(
        token=arguments.token(found["JobToken"]),
        document_id=_document_id(described["DocumentId"]),
        format=_format(described["Format"]),
        cid=cid,
        inline=_inline(image) if cid is None else None,
    )


read_end = arguments.token_request(namespaces.dsp("EndPostScanJobRequest"))
read_cancel = arguments.token_request(namespaces.dsp("CancelPostScanJobRequest"))
read_elements = arguments.elements_request(namespaces.dsp("GetPostScanJobElementsRequest"))


def included(image: etree._Element) -> str | None:
    """Return the Content-ID that the xop:Include of an ImageData refers to; None if the image is inline.

    Any other reference than `cid:` raises `InvalidArgument`; no reference is ever fetched.
    """
    inner = list(image)
    if not inner:
        return None
    include = inner[0]
    href = trim(include.get("href"))
    alone = len(inner) == 1 and not len(include) and not trim(image.text) and not trim(include.tail)
    if tag(include) not in (f"{{{namespaces.XOP}}}Include", f"{{{namespaces.XOP_2003}}}Include") or not alone:
        raise InvalidArgument(tag(image), f"{len(inner)} elements", "base64 text, or one xop:Include alone")
    if href[:4].lower() != "cid:" or not href[4:]:
        raise InvalidArgument(tag(image), href, "an xop:Include whose href is cid: and a Content-ID")
    return href[4:]


def write_created(token: str) -> str:
    """Write the body of a CreatePostScanJobResponse."""
    return (
        f"<dsp:CreatePostScanJobResponse><dsp:JobToken>{escape(token)}</dsp:JobToken></dsp:CreatePostScanJobResponse>"
    )


def write_elements(job: Job, names: Sequence[RequestedName], receipts: str = "") -> str:
    """Write the body of a GetPostScanJobElementsResponse: one ElementData for each name, in order.

    *receipts* is the content of our own element (`postscan.soap.services.receipts`), needed if it is requested.
    """
    data = requested_elements.write("dsp", names, lambda name: _content(job, name, receipts))
    return (
        f"<dsp:GetPostScanJobElementsResponse><dsp:JobElements>{data}</dsp:JobElements>"
        "</dsp:GetPostScanJobElementsResponse>"
    )


def _sid(element: etree._Element) -> str:
    """Return a SID in text form (ws-dsp.md section 10), its S in upper case."""
    value = text(element)
    sid = value.replace("s-", "S-", 1)
    if not is_sid(sid):
        raise InvalidArgument(tag(element), value, "a SID: S-1-<authority> and 1 to 15 sub-authorities")
    return sid


def _identifier(element: etree._Element) -> str:
    value = text(element)
    identifier = guid(value)
    if identifier is None:
        raise InvalidArgument(tag(element), value, "a GUID")
    return identifier


def _document_id(element: etree._Element) -> int:
    """Return an xs:int of at least 1; only ASCII digits count as digits."""
    value = text(element)
    match = _INT.fullmatch(value)
    number = int(match[1]) if match else 0
    if not 1 <= number <= _LARGEST_INT:
        raise InvalidArgument(tag(element), value, f"a number from 1 to {_LARGEST_INT}")
    return number


def _format(element: etree._Element) -> str:
    value = text(element)
    if value in KEYWORDS or (value and is_word(value[0]) and all(is_word(c) or c in ":/;_-\\+." for c in value)):
        return value
    raise InvalidArgument(tag(element), value, "a format of the protocol, or one like a media type")


def _inline(image: etree._Element) -> bytes:
    """Decode base64Binary; white space is allowed anywhere, other characters outside the alphabet are not."""
    encoded = _BLANKS.sub("", image.text or "").encode("ascii", "replace")
    try:
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        data = b""
    if not data:  # the fault contains the size, never the image
        raise InvalidArgument(tag(image), f"{len(encoded)} characters" if encoded else "", "an image in base64")
    return data


def _content(job: Job, name: RequestedName, receipts: str) -> str | None:
    """Return the content of the requested element; None if there is no such element."""
    if name.namespace == namespaces.DSP and name.local in _WRITERS:
        return _WRITERS[name.local]("dsp", job)
    return receipts if requested_elements.asks_for_receipts([name]) else None


_WRITERS: Final[dict[str, Callable[[str, Job], str]]] = {
    "JobStatus": job_elements.status,
    "JobDescription": job_elements.description,
    "Documents": job_elements.documents,
}
