"""What an administrator's program asks the configuration service, as text, and how a test reads what it is told."""

from __future__ import annotations

import messages
from lxml import etree
from schemas import assert_valid

from postscan.core.model.principal import Principal, Proof
from postscan.soap.message import request
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces, writing

DSC = namespaces.DSC
TOKEN = messages.TOKEN
ADMIN = Principal("user:S-1-5-21-1-2-3-500", Proof.CERTIFICATE, admin=True, sid="S-1-5-21-1-2-3-500")

ASKED = "<dsc:RequestedElements>{}</dsc:RequestedElements>"
BODIES = {
    "GetRepositoryElements": "<dsc:GetRepositoryElementsRequest>"
    + ASKED.format("<dsc:Name>dsc:RepositoryConfiguration</dsc:Name><dsc:Name>dsc:RepositoryStatus</dsc:Name>")
    + "</dsc:GetRepositoryElementsRequest>",
    "CancelPostScanJob": f"<dsc:CancelPostScanJobRequest><dsc:JobToken>{TOKEN}</dsc:JobToken>"
    "</dsc:CancelPostScanJobRequest>",
    "GetPostScanJobElements": f"<dsc:GetPostScanJobElementsRequest><dsc:JobToken>{TOKEN}</dsc:JobToken>"
    + ASKED.format("<dsc:Name>dsc:JobStatus</dsc:Name>")
    + "</dsc:GetPostScanJobElementsRequest>",
    "GetActiveJobs": "<dsc:GetActiveJobsRequest></dsc:GetActiveJobsRequest>",
    "GetJobHistory": "<dsc:GetJobHistoryRequest></dsc:GetJobHistoryRequest>",
}


def message(action: str, body: str | None = None, message_id: str = messages.MESSAGE_ID) -> request.SoapRequest:
    """Return a request to the configuration service as it was read, with the usual body or another."""
    blocks = messages.headers(f"{DSC}/{action}", message_id)
    data = messages.envelope(blocks, BODIES[action] if body is None else body)
    return request.parse_request(data.replace(b"<soap:Envelope ", f'<soap:Envelope xmlns:dsc="{DSC}" '.encode()))


def written(body: str) -> etree._Element:
    """Return the one element in the body of a valid answer."""
    root = assert_valid(writing.write("urn:a", "urn:b", writing.new_message_id(), body))
    only: etree._Element = root[1][0]
    return only


def one(element: etree._Element, path: str) -> etree._Element:
    """Return the one element at a path with our prefixes."""
    (found,) = element.findall(path, namespaces.PREFIXES)
    return found


def texts(element: etree._Element, path: str) -> list[str]:
    """Return the texts of all elements at a path with our prefixes."""
    return [found.text or "" for found in element.findall(path, namespaces.PREFIXES)]


def names(*locals: str) -> tuple[RequestedName, ...]:
    """Return requested names of the service's own."""
    return tuple(RequestedName(f"dsc:{local}", DSC, local) for local in locals)
