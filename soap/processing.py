"""The messages of WS-DSP: requests read into values, answers written from values.

Source: WS-DSP digest, sections 3 to 6, 10 and 11. Children may come in any order, foreign ones are ignored; a missing,
repeated or unknown one is a fault that names it (O-32).
"""

from __future__ import annotations

import binascii
import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.model import FilterStep, Instructions, Job
from postscan.core.states import FilterReason, JobReason
from postscan.soap import faults, instructions, ns
from postscan.soap.answer import attribute, escape
from postscan.soap.elements import children, guid, listed, required, tag, text, trim

MOST_NAMES: Final = 64
"""Most elements that one GetPostScanJobElements may ask for: each can bring the list of all documents."""

FORMATS: Final = (
    *("dib", "exif", "jbig", "jfif", "jpeg2k", "pdf-a", "png", "xps"),
    *(
        f"tiff-{pages}-{packed}"
        for pages in ("single", "multi")
        for packed in ("uncompressed", "g4", "g3mh", "jpeg-tn2")
    ),
)
"""The Format values that the protocol names; others must match its pattern."""

SEND_IMAGE_RESPONSE: Final = "<dsp:SendImageResponse/>"
END_RESPONSE: Final = "<dsp:EndPostScanJobResponse/>"
CANCEL_RESPONSE: Final = "<dsp:CancelPostScanJobResponse/>"

_Request = TypeVar("_Request")

_SID: Final = re.compile(r"S-1-(?:(?P<decimal>[0-9]{1,10})|0x[0-9A-F]{1,12})(?P<rest>(?:-[0-9]{1,10}){1,15})", re.I)
_INT: Final = re.compile(r"\+?0*([0-9]{1,10})")
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_BEYOND_32_BITS: Final = 1 << 32
_LARGEST_INT: Final = (1 << 31) - 1

_NAME_START: Final = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME: Final = rf"{_NAME_START}0-9.\-\xb7\u0300-\u036f\u203f\u2040"
_NCNAME: Final = rf"[{_NAME_START}][{_NAME}]*"
_NMTOKEN: Final = re.compile(rf"[{_NAME}:]{{1,255}}")
_QNAME: Final = re.compile(rf"(?:({_NCNAME}):)?({_NCNAME})")
_REASONS: Final = frozenset([*FilterReason, *JobReason])


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """CreatePostScanJob: the user's SID, the scan process (a GUID in upper case without braces), what to do."""

    user_sid: str
    process_id: str
    instructions: Instructions


@dataclass(frozen=True, slots=True)
class SendImageRequest:
    """SendImage: which job, which document, and where its bytes are.

    Either `cid` is the reference to the MIME part, without its scheme and still percent-encoded, or `inline` holds
    the bytes themselves.
    """

    token: str
    document_id: int
    format: str
    cid: str | None
    inline: bytes | None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """EndPostScanJob and CancelPostScanJob: which job."""

    token: str


@dataclass(frozen=True, slots=True)
class RequestedName:
    """One name of GetPostScanJobElements: the text as sent, without blanks around it, and what it resolves to."""

    text: str
    namespace: str
    local: str


@dataclass(frozen=True, slots=True)
class ElementsRequest:
    """GetPostScanJobElements: which job, and which of its elements."""

    token: str
    names: tuple[RequestedName, ...]


def _faulting(read: Callable[[etree._Element], _Request]) -> Callable[[etree._Element], _Request]:
    """Let *read* raise `Fault` where its parts raise `InvalidArgument`."""

    @functools.wraps(read)
    def reading(body: etree._Element) -> _Request:
        try:
            return read(body)
        except InvalidArgument as error:
            raise faults.from_error(error) from None

    return reading


@_faulting
def read_create(body: etree._Element) -> CreateRequest:
    """Read a CreatePostScanJobRequest; raise `Fault` for what is wrong with it."""
    found = _arguments(body, "CreatePostScanJobRequest", "UserIdentifier", "PSP_Identifier", "PostScanInstructions")
    return CreateRequest(
        user_sid=_sid(found["UserIdentifier"]),
        process_id=_identifier(found["PSP_Identifier"]),
        instructions=instructions.read(found["PostScanInstructions"]),
    )


@_faulting
def read_send_image(body: etree._Element) -> SendImageRequest:
    """Read a SendImageRequest; raise `Fault` for what is wrong with it."""
    found = _arguments(body, "SendImageRequest", "JobToken", "DocumentDescription", "ImageData")
    described = _all(found["DocumentDescription"], "DocumentId", "Format")
    image = found["ImageData"]
    cid = included(image)
    return SendImageRequest(
        token=_token(found["JobToken"]),
        document_id=_document_id(described["DocumentId"]),
        format=_format(described["Format"]),
        cid=cid,
        inline=_inline(image) if cid is None else None,
    )


@_faulting
def read_end(body: etree._Element) -> TokenRequest:
    """Read an EndPostScanJobRequest; raise `Fault` for what is wrong with it."""
    return TokenRequest(_token(_arguments(body, "EndPostScanJobRequest", "JobToken")["JobToken"]))


@_faulting
def read_cancel(body: etree._Element) -> TokenRequest:
    """Read a CancelPostScanJobRequest; raise `Fault` for what is wrong with it."""
    return TokenRequest(_token(_arguments(body, "CancelPostScanJobRequest", "JobToken")["JobToken"]))


@_faulting
def read_elements(body: etree._Element) -> ElementsRequest:
    """Read a GetPostScanJobElementsRequest; raise `Fault` for what is wrong with it."""
    found = _arguments(body, "GetPostScanJobElementsRequest", "JobToken", "RequestedElements")
    names = listed(found["RequestedElements"], "Name")
    if len(names) > MOST_NAMES:
        raise InvalidArgument(ns.dsp("RequestedElements"), f"{len(names)} names", f"at most {MOST_NAMES}")
    return ElementsRequest(_token(found["JobToken"]), tuple(_requested(name) for name in names))


def included(image: etree._Element) -> str | None:
    """Return what the xop:Include of an ImageData refers to; None if the image is inline.

    Only a `cid:` reference is ever looked at; any other is `InvalidArgument`, and nothing is fetched.
    """
    inner = list(image)
    if not inner:
        return None
    include = inner[0]
    href = trim(include.get("href"))
    alone = len(inner) == 1 and not len(include) and not trim(image.text) and not trim(include.tail)
    if tag(include) not in (f"{{{ns.XOP}}}Include", f"{{{ns.XOP_2003}}}Include") or not alone:
        raise InvalidArgument(tag(image), f"{len(inner)} elements", "base64 text, or one xop:Include and nothing else")
    if href[:4].lower() != "cid:" or not href[4:]:
        raise InvalidArgument(tag(image), href, "an xop:Include whose href is cid: and a Content-ID")
    return href[4:]


def write_created(token: str) -> str:
    """Write the body of a CreatePostScanJobResponse."""
    return (
        f"<dsp:CreatePostScanJobResponse><dsp:JobToken>{escape(token)}</dsp:JobToken></dsp:CreatePostScanJobResponse>"
    )


def write_elements(job: Job, names: Sequence[RequestedName], receipts: str = "") -> str:
    """Write the body of a GetPostScanJobElementsResponse: one ElementData a name, in order.

    *receipts* is the content of our own element (`postscan.soap.receipts`), needed if `asks_for_receipts`.
    """
    data = "".join(_element_data(name, _content(job, name, receipts)) for name in names)
    return (
        f"<dsp:GetPostScanJobElementsResponse><dsp:JobElements>{data}</dsp:JobElements>"
        "</dsp:GetPostScanJobElementsResponse>"
    )


def _arguments(body: etree._Element, request: str, *names: str) -> dict[str, etree._Element]:
    if tag(body) != ns.dsp(request):
        raise faults.invalid_argument(tag(body), "", f"the body is {tag(body)}; the action wants {request}")
    return _all(body, *names)


def _all(element: etree._Element, *names: str) -> dict[str, etree._Element]:
    """Return the children of the service's namespace; each of *names* must be there."""
    found = children(element, ns.DSP, names)
    for name in names:
        required(found, ns.DSP, name)
    return found


def _token(element: etree._Element) -> str:
    token = text(element)
    if not token:
        raise InvalidArgument(tag(element), "", "the JobToken of a job")
    return token


def _sid(element: etree._Element) -> str:
    """Return a SID in text form (WS-DSP digest, section 10), its S in upper case."""
    value = text(element)
    match = _SID.fullmatch(value)
    if match is None or any(int(part) >= _BEYOND_32_BITS for part in _sid_numbers(match)):
        raise InvalidArgument(tag(element), value, "a SID: S-1-<authority> and 1 to 15 sub-authorities")
    return "S" + value[1:]


def _sid_numbers(match: re.Match[str]) -> list[str]:
    decimal = [match["decimal"]] if match["decimal"] else []
    return decimal + match["rest"].split("-")[1:]


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
    if value in FORMATS or (value and _is_word(value[0]) and all(_is_word(c) or c in ":/;_-\\+." for c in value)):
        return value
    raise InvalidArgument(tag(element), value, "a format of the protocol, or one like a media type")


def _is_word(character: str) -> bool:
    r"""Return whether XSD's `\w` takes the character: neither punctuation, nor separator, nor control.

    Unlike Python's it takes symbols and marks, and it does not take the underscore.
    """
    return unicodedata.category(character)[0] not in "PZC"


def _inline(image: etree._Element) -> bytes:
    """Decode base64Binary; white space may stand anywhere, other strange characters nowhere."""
    encoded = _BLANKS.sub("", image.text or "").encode("ascii", "replace")
    try:
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        data = b""
    if not data:  # the fault tells the size, and never the image
        raise InvalidArgument(tag(image), f"{len(encoded)} characters" if encoded else "", "an image in base64")
    return data


def _requested(element: etree._Element) -> RequestedName:
    """Resolve a QName with the namespaces in scope where it stands; a bare one falls back to the service's own."""
    value = text(element)
    match = _QNAME.fullmatch(value)
    if match is None:
        raise InvalidArgument(tag(element), value, "a qualified name")
    prefix, local = match.groups()
    uri = ns.XML if prefix == "xml" else element.nsmap.get(prefix, ns.DSP if prefix is None else "")
    if not uri:
        raise InvalidArgument(tag(element), value, f"a name whose prefix is declared; {prefix!r} is not")
    return RequestedName(value, uri, local)


def asks_for_receipts(names: Sequence[RequestedName]) -> bool:
    """Return whether our own element is among the names."""
    return any((name.namespace, name.local) == (ns.PS, "Receipts") for name in names)


def _content(job: Job, name: RequestedName, receipts: str) -> str | None:
    """Return the content of the element that is asked for; None if there is no such element."""
    if name.namespace == ns.DSP and name.local in _WRITERS:
        return _WRITERS[name.local](job)
    return receipts if asks_for_receipts([name]) else None


def _element_data(name: RequestedName, content: str | None) -> str:
    prefix = name.text.rpartition(":")[0]
    own, declared = "dsp", ""
    if prefix == "dsp" and name.namespace != ns.DSP:  # the client's dsp is not ours: step aside for it
        own, declared = "ours", f' xmlns:ours="{ns.DSP}" xmlns:dsp="{attribute(name.namespace)}"'
    elif ns.PREFIXES.get(prefix) != name.namespace:
        declared = f' xmlns{":" if prefix else ""}{prefix}="{attribute(name.namespace)}"'
    start = f'<{own}:ElementData{declared} {own}:Name="{attribute(name.text)}" {own}:Valid='
    if content is None:
        return f'{start}"false"/>'
    return f'{start}"true">{content}</{own}:ElementData>'


def _job_status(job: Job) -> str:
    filters = "".join(map(_filter_status, job.steps))
    completed = f"<dsp:JobCompletedTime>{_date_time(job.completed)}</dsp:JobCompletedTime>" if job.completed else ""
    return (
        f"<dsp:JobStatus><dsp:JobToken>{escape(job.token)}</dsp:JobToken><dsp:JobState>{job.state}</dsp:JobState>"
        f"{_reasons('JobStateReason', job.reasons, 'None')}<dsp:FilterStatuses>{filters}</dsp:FilterStatuses>"
        f"<dsp:ImagesReceived>{job.images_received}</dsp:ImagesReceived>"
        f"<dsp:JobCreatedTime>{_date_time(job.created)}</dsp:JobCreatedTime>{completed}</dsp:JobStatus>"
    )


def _filter_status(step: FilterStep) -> str:
    reasons = _reasons("FilterStateReason", step.reasons, FilterReason.UNKNOWN_ERROR)
    return (
        f"<dsp:FilterStatus><dsp:Dialect>{escape(step.dialect)}</dsp:Dialect>"
        f"<dsp:FilterState>{step.state}</dsp:FilterState>{reasons}</dsp:FilterStatus>"
    )


def _reasons(name: str, reasons: Sequence[str], otherwise: str) -> str:
    """Write a list of reasons; what is neither the protocol's nor a vendor's keyword becomes *otherwise*."""
    if not reasons:
        return ""
    known = dict.fromkeys(reason if _is_keyword(reason) else otherwise for reason in reasons)
    items = "".join(f"<dsp:{name}>{escape(reason)}</dsp:{name}>" for reason in known)
    return f"<dsp:{name}s>{items}</dsp:{name}s>"


def _is_keyword(value: str) -> bool:
    r"""Return whether *value* is the protocol's, or a vendor's: an NMTOKEN of the form `\w+:[\w_\-\.]+`."""
    if value in _REASONS:
        return True
    vendor, _, own = value.partition(":")
    words = vendor and own and all(map(_is_word, vendor)) and all(_is_word(c) or c in "_-." for c in own)
    return bool(words and _NMTOKEN.fullmatch(value))


def _job_description(job: Job) -> str:
    return (
        f"<dsp:JobDescription><dsp:PSP_Identifier>{escape(job.process_id)}</dsp:PSP_Identifier>"
        f"<dsp:PSP_DisplayName>{escape(job.process_name[:255])}</dsp:PSP_DisplayName>"
        f"<dsp:JobOriginatingUserName>{escape(job.user.name[:255])}</dsp:JobOriginatingUserName></dsp:JobDescription>"
    )


def _documents(job: Job) -> str:
    documents = "".join(
        f"<dsp:Document><dsp:DocumentDescription><dsp:DocumentId>{document.id}</dsp:DocumentId>"
        f"<dsp:Format>{escape(document.format)}</dsp:Format></dsp:DocumentDescription></dsp:Document>"
        for document in job.documents
    )
    return f"<dsp:Documents>{documents}</dsp:Documents>"


def _date_time(at: datetime) -> str:
    """Write an xs:dateTime in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_WRITERS: Final = {"JobStatus": _job_status, "JobDescription": _job_description, "Documents": _documents}
