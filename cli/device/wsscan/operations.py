"""The eight operations of the scan service: one row for each, from its action to its function.

Source: ws-scan.md sections 1, 6 and 8.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from lxml import etree

from postscan.cli.device.wsscan.behaviour.misbehaviours import WsdMisbehaviours
from postscan.cli.device.wsscan.behaviour.quirks import WsdTraits
from postscan.cli.device.wsscan.description.configuration import scanner_configuration, scanner_description
from postscan.cli.device.wsscan.description.status import ScannerStatus, scanner_status
from postscan.cli.device.wsscan.description.ticket import A4, FinalTicket, read_ticket
from postscan.cli.device.wsscan.description.ticket_elements import final_parameters, image_information, scan_ticket
from postscan.cli.device.wsscan.jobs.job_elements import documents, job_status, job_summary
from postscan.cli.device.wsscan.jobs.job_list import DeviceJob, JobList, WsdJobState
from postscan.cli.device.wsscan.jobs.pages import ScannedPage
from postscan.cli.device.wsscan.panel import PanelPress, ScannerPanel
from postscan.cli.device.wsscan.protocol.soap import SoapWriter, WsdFault, WsdRequest, child, clark, qname_value, text

SOURCES: Final = {"platen": "Platen", "feeder": "ADF", "duplex": "ADFDuplex"}
"""Where the paper lies, and the InputSource of that."""

MOST_DEVIATIONS: Final = 10_000
"""Deviations that are kept."""

_SCANNER_ELEMENTS: Final = ("ScannerDescription", "ScannerConfiguration", "ScannerStatus", "DefaultScanTicket")
_JOB_ELEMENTS: Final = ("JobStatus", "ScanTicket", "Documents")


class LoadedPaper(Protocol):
    """The paper in the scanner, and its place: a key of `SOURCES`."""

    source: str
    pages: Sequence[ScannedPage]


@dataclass(frozen=True)
class ScanServiceParts:
    """What the operations work with. `lock` is held while a press becomes a job."""

    name: str
    model: str
    writer: SoapWriter
    paper: LoadedPaper
    jobs: JobList
    panel: ScannerPanel
    status: ScannerStatus
    traits: WsdTraits
    misbehaviours: WsdMisbehaviours
    lock: threading.RLock
    deviations: list[str] = field(default_factory=list)

    def formats(self) -> list[str]:
        """Return the Format keywords of the paper; jfif if there is none."""
        return list(dict.fromkeys(page.format for page in self.paper.pages)) or ["jfif"]

    def default_ticket(self) -> FinalTicket:
        """Return the ticket that is used for what a client leaves out."""
        return FinalTicket(format=self.formats()[0], input_source=SOURCES[self.paper.source])

    def configuration(self) -> etree._Element:
        """Return ScannerConfiguration."""
        duplex, swapped = not self.traits.undeclared_duplex, self.traits.swapped_size
        return scanner_configuration(self.writer, self.formats(), says_duplex=duplex, swapped=swapped)

    def deviates(self, operation: str, what: str) -> None:
        """Record what a client does differently from the protocol."""
        self.deviations.append(f"{operation}: {what}")
        del self.deviations[:-MOST_DEVIATIONS]


Operation = Callable[[ScanServiceParts, etree._Element], etree._Element]


def get_scanner_elements(parts: ScanServiceParts, request: etree._Element) -> etree._Element:
    """Return the requested elements of the scanner; an unknown name is a fault."""
    w = parts.writer
    names = _requested(request, _SCANNER_ELEMENTS)
    if parts.traits.refuses_all_elements and len(names) > 1 and "DefaultScanTicket" in names:
        raise WsdFault("wscn:InvalidArgs", "These elements cannot be asked for at once.")
    makers: dict[str, Callable[[], etree._Element]] = {
        "ScannerDescription": lambda: scanner_description(w, parts.name),
        "ScannerConfiguration": parts.configuration,
        "ScannerStatus": lambda: scanner_status(w, parts.status, parts.jobs.active is not None),
        "DefaultScanTicket": lambda: scan_ticket(
            w, "wscn:DefaultScanTicket", parts.default_ticket(), region=(0, 0) if parts.traits.region_unset else A4
        ),
    }
    return w.element("wscn:GetScannerElementsResponse", _element_data(w, "wscn:ScannerElements", names, makers))


def validate_scan_ticket(parts: ScanServiceParts, request: etree._Element) -> etree._Element:
    """Return whether a ticket would be used as it is, and otherwise what would be used."""
    w = parts.writer
    read = read_ticket(child(request, "wscn:ScanTicket"), parts.formats(), parts.default_ticket())
    info = w.element(
        "wscn:ValidationInfo",
        w.element("wscn:ValidTicket", "false" if read.final.replaced else "true"),
        image_information(w, read.final, _pixels(parts, read.final)),
    )
    if read.final.replaced:
        info.append(scan_ticket(w, "wscn:ValidScanTicket", read.final, region=read.final.region))
    return w.element("wscn:ValidateScanTicketResponse", info)


def create_scan_job(parts: ScanServiceParts, request: etree._Element) -> etree._Element:
    """Create a job, for a press at the panel or for a client that asks by itself."""
    w = parts.writer
    _check_children(parts, request)
    identifier, token = text(request, "wscn:ScanIdentifier"), text(request, "wscn:DestinationToken")
    _check_readiness(parts, at_panel=bool(identifier))
    with parts.lock:
        press = None if not identifier and not token else _claim(parts, identifier, token)
        read = read_ticket(child(request, "wscn:ScanTicket"), parts.formats(), parts.default_ticket())
        ticket = read.final
        for deviation in read.deviations:
            parts.deviates("CreateScanJob", deviation)
        if parts.traits.information_required and not ticket.information:
            raise WsdFault("wscn:InvalidArgs", "JobInformation is missing.")
        if parts.traits.tiff_up_to_150_dpi and "uncompressed" in ticket.format and max(ticket.resolution) > 150:
            raise WsdFault("wscn:OperationFailed", "The image is too large.", sender=False)
        if press is not None and press.input_source and ticket.input_source != press.input_source:
            parts.deviates("CreateScanJob", f"InputSource {ticket.input_source} for a press of {press.input_source}")
        pages = _pages(parts, ticket)
        if not pages and parts.traits.empty_feeder_refuses:
            raise WsdFault("wscn:ServerErrorNotAcceptingJobs", "There is no paper.", sender=False)
        if parts.traits.zero_is_none and ticket.images == 0:
            pages = ()
        job = parts.jobs.create(ticket, pages, identifier)
        if press is not None:
            parts.panel.started(press, job)
    return w.element(
        "wscn:CreateScanJobResponse",
        w.element("wscn:JobId", str(job.id)),
        w.element("wscn:JobToken", job.token),
        image_information(w, ticket, _pixels(parts, ticket)),
        final_parameters(w, ticket),
    )


def cancel_job(parts: ScanServiceParts, request: etree._Element) -> etree._Element:
    """Cancel a job; a fault if it is unknown or has ended."""
    job = parts.jobs.find(text(request, "wscn:JobId"))
    if parts.misbehaviours.has("deny-cancel"):
        raise WsdFault("wscn:OperationFailed", "The job cannot be cancelled.", sender=False)
    if not parts.jobs.end(job, WsdJobState.CANCELED, "None"):
        raise WsdFault("wscn:ClientErrorJobIdNotFound", f"The job {job.id} has ended.")
    return parts.writer.element("wscn:CancelJobResponse")


def get_job_elements(parts: ScanServiceParts, request: etree._Element) -> etree._Element:
    """Return the requested elements of a job."""
    w = parts.writer
    job = parts.jobs.find(text(request, "wscn:JobId"))
    makers: dict[str, Callable[[], etree._Element]] = {
        "JobStatus": lambda: job_status(w, job),
        "ScanTicket": lambda: scan_ticket(w, "wscn:ScanTicket", job.ticket, region=job.ticket.region),
        "Documents": lambda: documents(w, job),
    }
    names = _requested(request, _JOB_ELEMENTS)
    return w.element("wscn:GetJobElementsResponse", _element_data(w, "wscn:JobElements", names, makers))


def get_active_jobs(parts: ScanServiceParts, _request: etree._Element) -> etree._Element:
    """Return a summary of the active job."""
    return _summaries(parts, "GetActiveJobsResponse", "ActiveJobs", [one for one in _jobs(parts) if not one.has_ended])


def get_job_history(parts: ScanServiceParts, _request: etree._Element) -> etree._Element:
    """Return a summary of each of the last hundred jobs that have ended."""
    ended = [one for one in _jobs(parts) if one.has_ended]
    return _summaries(parts, "GetJobHistoryResponse", "JobHistory", ended[-100:])


OPERATIONS: Final[dict[str, Operation]] = {
    "GetScannerElements": get_scanner_elements,
    "ValidateScanTicket": validate_scan_ticket,
    "CreateScanJob": create_scan_job,
    "CancelJob": cancel_job,
    "GetJobElements": get_job_elements,
    "GetActiveJobs": get_active_jobs,
    "GetJobHistory": get_job_history,
}
"""Seven of the eight operations; RetrieveImage is in `transfer.py`, since its response is a stream."""


def perform(parts: ScanServiceParts, request: WsdRequest) -> etree._Element:
    """Run an operation; raise `WsdFault`, also for a body that does not belong to the action."""
    return OPERATIONS[request.name](parts, checked_body(request))


def checked_body(request: WsdRequest) -> etree._Element:
    """Return the body's element; raise `WsdFault` if it is not that of the action."""
    if request.body is None or request.body.tag != clark(f"wscn:{request.name}Request"):
        raise WsdFault("wscn:InvalidArgs", f"The body has no {request.name}Request.")
    return request.body


def _check_children(parts: ScanServiceParts, request: etree._Element) -> None:
    order = [clark(f"wscn:{name}") for name in ("ScanIdentifier", "DestinationToken", "ScanTicket")]
    given = [one.tag for one in request.iterchildren("*")]
    if given != [one for one in order if one in given]:
        parts.deviates("CreateScanJob", "its children are not ScanIdentifier, DestinationToken, ScanTicket")


def _check_readiness(parts: ScanServiceParts, *, at_panel: bool) -> None:
    """Raise `WsdFault` while the scanner takes no job."""
    bad, traits = parts.misbehaviours, parts.traits
    if bad.use("temporary-error"):
        raise WsdFault("wscn:ServerErrorTemporaryError", "Try again.", sender=False)
    calibrating = bad.use("not-accepting")
    (parts.status.set if calibrating else parts.status.clear)("Calibrating")
    if calibrating or parts.status.is_stopped:
        raise WsdFault("wscn:ServerErrorNotAcceptingJobs", "The scanner is not ready.", sender=False)
    if (traits.panel_only and not at_panel) or (traits.one_scan and parts.jobs.all):
        raise WsdFault("wscn:ServerErrorNotAcceptingJobs", "The scanner does not accept jobs.", sender=False)


def _claim(parts: ScanServiceParts, identifier: str, token: str) -> PanelPress:
    subcode = "ClientErrorInvalidDestinationToken"
    wrong = parts.misbehaviours.use("wrong-token")
    try:
        return parts.panel.claim(identifier, "" if wrong else token)
    except WsdFault as fault:
        if parts.traits.misspelt_token_fault and fault.subcode.endswith(subcode):
            raise WsdFault("wscn:ClientErrorInvalidDetinationToken", str(fault)) from None
        raise


def _pages(parts: ScanServiceParts, ticket: FinalTicket) -> Sequence[ScannedPage]:
    """Return the sides that a ticket scans: none where no paper lies, every other one if only fronts are wanted."""
    here, wanted, pages = SOURCES[parts.paper.source], ticket.input_source, parts.paper.pages
    if (wanted == "Platen") != (here == "Platen"):
        return ()
    if wanted == "Platen":
        return pages[:1]
    sides = pages[::2] if (here, wanted) == ("ADFDuplex", "ADF") else pages
    return sides[: ticket.images] if ticket.images else sides


def _pixels(parts: ScanServiceParts, ticket: FinalTicket) -> tuple[int, int]:
    pages = _pages(parts, replace(ticket, images=0))
    if pages:
        return pages[0].pixels
    width, height = (side * dpi // 1000 for side, dpi in zip(ticket.region, ticket.resolution, strict=True))
    return max(1, width), max(1, height)


def _requested(request: etree._Element, known: Sequence[str]) -> list[str]:
    elements = request.iterfind(f"{clark('wscn:RequestedElements')}/{clark('wscn:Name')}")
    names = [qname_value(one) for one in elements]
    wscn = clark("wscn:")
    found = list(dict.fromkeys(name.removeprefix(wscn) for name in names))
    unknown = [name for name in found if name not in known]
    if not found or unknown:
        raise WsdFault("wscn:InvalidArgs", f"Elements that can be asked for are {', '.join(known)}.")
    return found


def _element_data(
    w: SoapWriter, name: str, names: Sequence[str], makers: dict[str, Callable[[], etree._Element]]
) -> etree._Element:
    return w.element(
        name,
        *(w.element("wscn:ElementData", makers[one](), Name=w.qname(f"wscn:{one}"), Valid="true") for one in names),
    )


def _summaries(parts: ScanServiceParts, response: str, name: str, jobs: Sequence[DeviceJob]) -> etree._Element:
    w = parts.writer
    return w.element(f"wscn:{response}", w.element(f"wscn:{name}", *(job_summary(w, one) for one in jobs)))


def _jobs(parts: ScanServiceParts) -> list[DeviceJob]:
    return parts.jobs.all
