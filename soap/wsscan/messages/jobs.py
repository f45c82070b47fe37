"""The operations of a scan job: requests as XML, answers as values. Source: ws-scan.md sections 6, 9 and 14."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import fields
from postscan.soap.wsscan.messages.configuration import DeviceTicket, DocumentParameters
from postscan.soap.wsscan.messages.names import wscn
from postscan.soap.wsscan.messages.tickets import read_parameters, write_ticket
from postscan.soap.xml import namespaces
from postscan.soap.xml.reading import trim
from postscan.soap.xml.writing import escape

_INCLUDE: Final = f"{{{namespaces.XOP}}}Include"
_SCHEME: Final = "cid:"


@dataclass(frozen=True, slots=True)
class CreatedJob:
    """A job that the device created: its JobId and JobToken, and what it really uses."""

    id: int
    token: str
    parameters: DocumentParameters


@dataclass(frozen=True, slots=True)
class ImageReference:
    """The image of an answer: the Content-ID of its part, or its bytes if the answer has them inline."""

    content_id: str = ""
    data: bytes | None = None


def write_create_job(ticket: DeviceTicket, scan_identifier: str = "", token: str = "") -> str:
    """Return the body of a CreateScanJobRequest; identifier and token are left out for a scan without a press."""
    press = ""
    if scan_identifier:
        press += f"<wscn:ScanIdentifier>{escape(scan_identifier)}</wscn:ScanIdentifier>"
    if token:
        press += f"<wscn:DestinationToken>{escape(token)}</wscn:DestinationToken>"
    return f"<wscn:CreateScanJobRequest>{press}{write_ticket(ticket)}</wscn:CreateScanJobRequest>"


def read_created_job(body: etree._Element) -> CreatedJob:
    """Return the job in a CreateScanJobResponse; raise `InvalidAnswer` for another message, or one without a JobId."""
    job_id = fields.number(body, "JobId")
    if body.tag != wscn("CreateScanJobResponse") or not job_id:
        raise InvalidAnswer("expected a CreateScanJobResponse with a JobId")
    final = fields.find(body, "DocumentFinalParameters")
    if final is None:
        final = fields.find(body, "DocumentFinalParamters")  # as a published example spells it
    return CreatedJob(job_id, fields.text(body, "JobToken"), read_parameters(final))


def write_retrieve_image(job: CreatedJob, number: int) -> str:
    """Return the body of a RetrieveImageRequest; *number* counts the pages from 1."""
    return (
        f"<wscn:RetrieveImageRequest><wscn:JobId>{job.id}</wscn:JobId>"
        f"<wscn:JobToken>{escape(job.token)}</wscn:JobToken><wscn:DocumentDescription>"
        f"<wscn:DocumentName>page-{number}</wscn:DocumentName></wscn:DocumentDescription></wscn:RetrieveImageRequest>"
    )


def read_image(body: etree._Element) -> ImageReference:
    """Return the image of a RetrieveImageResponse; raise `InvalidAnswer` for another message, or without an image."""
    data = fields.find(body, "ScanData")
    if body.tag != wscn("RetrieveImageResponse") or data is None:
        raise InvalidAnswer("expected a RetrieveImageResponse with ScanData")
    include = data.find(_INCLUDE)
    if include is not None:
        href = trim(include.get("href"))
        if not href.startswith(_SCHEME):
            raise InvalidAnswer(f"the image is at {href[:80]!r}; expected a part of the message")
        return ImageReference(content_id=href.removeprefix(_SCHEME))
    try:
        image = base64.b64decode("".join(trim(data.text).split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidAnswer("the ScanData are neither an Include nor base64") from None
    if not image:
        raise InvalidAnswer("the ScanData are empty")
    return ImageReference(data=image)


def write_cancel_job(job_id: int) -> str:
    """Return the body of a CancelJobRequest: the JobId alone."""
    return f"<wscn:CancelJobRequest><wscn:JobId>{job_id}</wscn:JobId></wscn:CancelJobRequest>"


def write_get_job_status(job_id: int) -> str:
    """Return the body of a GetJobElementsRequest for the JobStatus of a job."""
    return (
        f"<wscn:GetJobElementsRequest><wscn:JobId>{job_id}</wscn:JobId><wscn:RequestedElements>"
        "<wscn:Name>wscn:JobStatus</wscn:Name></wscn:RequestedElements></wscn:GetJobElementsRequest>"
    )


def read_job_status(body: etree._Element) -> tuple[str, tuple[str, ...]]:
    """Return state and reasons of a job in a GetJobElementsResponse; raise `InvalidAnswer` if there is no state."""
    for data in fields.items(body, "JobElements", "ElementData"):
        if state := fields.text(data, "JobStatus", "JobState"):
            return state, fields.texts(data, "JobStatus", "JobStateReasons", "JobStateReason")
    raise InvalidAnswer("expected a GetJobElementsResponse with a JobStatus")
