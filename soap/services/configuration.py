"""The messages of WS-DSC, by which administrators see what the server is, and every job of everybody.

The namespace is `dsc`; what both services tell of a job is in `telling`. Source: ws-dsc.md sections 2 to 5 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.model.job import Job
from postscan.soap.services import arguments, job_elements, requested_elements
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces
from postscan.soap.xml.reading import tag, trim
from postscan.soap.xml.writing import attribute, escape

CANCEL_RESPONSE: Final = "<dsc:CancelPostScanJobResponse/>"

_FILTERS: Final = namespaces.FILESHARE.rpartition("/")[0]
_NAMELESS: Final = (namespaces.PS, namespaces.XML, "http://www.w3.org/2000/xmlns/")
"""Namespaces that no dialect is cut to: ours holds those that cannot be cut, the others may have no prefix."""

_URI: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:"
    r"(?://[A-Za-z0-9._~-]+(?::[0-9]{1,5})?(?=/|$)|(?!//))"
    r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*"
)
"""Namespaces that no parser finds fault with: absolute, and with nothing in them that is ever escaped."""

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_.-]*")
"""Local names that every edition of XML and of its schemas takes for one."""


@arguments.faulting
def read_repository_elements(body: etree._Element) -> tuple[RequestedName, ...]:
    """Read a GetRepositoryElementsRequest: which elements. Raises `Fault` for what is wrong with it."""
    found = arguments.of(body, namespaces.dsc("GetRepositoryElementsRequest"), "RequestedElements")
    return requested_elements.read(found["RequestedElements"])


read_cancel = arguments.token_request(namespaces.dsc("CancelPostScanJobRequest"))
read_elements = arguments.elements_request(namespaces.dsc("GetPostScanJobElementsRequest"))


def _without_arguments(*requests: str) -> Callable[[etree._Element], None]:
    """Return what reads a request that says nothing; *requests* are the Clark names that it may have."""

    @arguments.faulting
    def read(body: etree._Element) -> None:
        if tag(body) not in requests:
            arguments.of(body, requests[0])
        for child in body:
            if namespaces.split(tag(child))[0] == namespaces.DSC:
                raise InvalidArgument(tag(child), trim(child.text), "no arguments")

    return read


read_active = _without_arguments(namespaces.dsc("GetActiveJobsRequest"))
read_history = _without_arguments(namespaces.dsc("GetJobHistoryRequest"), namespaces.dsc("GetJobsHistoryRequest"))
"""The second name stands in Microsoft's example (ws-dsc.md section 8, number 4)."""


def write_repository_elements(names: Sequence[RequestedName], filters: Iterable[str], state: str) -> str:
    """Write the body of a GetRepositoryElementsResponse: one ElementData a name, in order.

    *filters* are the dialects of the usable filters, *state* is `Idle` or `Processing`.
    """
    elements = {
        "RepositoryConfiguration": _configuration(filters),
        "RepositoryStatus": f"<dsc:RepositoryStatus>{_state(state)}</dsc:RepositoryStatus>",
    }
    data = requested_elements.write(
        "dsc", names, lambda name: elements.get(name.local) if name.namespace == namespaces.DSC else None
    )
    return (
        f"<dsc:GetRepositoryElementsResponse><dsc:RepositoryElements>{data}</dsc:RepositoryElements>"
        "</dsc:GetRepositoryElementsResponse>"
    )


def write_elements(job: Job, names: Sequence[RequestedName], receipts: str = "") -> str:
    """Write the body of a GetPostScanJobElementsResponse: one ElementData a name, in order.

    *receipts* is the content of our own element (`postscan.soap.services.receipts`), needed if it is asked for.
    """

    def content(name: RequestedName) -> str | None:
        if name.namespace == namespaces.DSC and name.local in _OF_JOB:
            return _OF_JOB[name.local]("dsc", job)
        return receipts if requested_elements.asks_for_receipts([name]) else None

    data = requested_elements.write("dsc", names, content)
    return (
        f"<dsc:GetPostScanJobElementsResponse><dsc:JobElements>{data}</dsc:JobElements>"
        "</dsc:GetPostScanJobElementsResponse>"
    )


def write_active(jobs: Iterable[Job]) -> str:
    """Write the body of a GetActiveJobsResponse: a JobSummary for each job, and a list that may be empty."""
    summaries = "".join(job_elements.summary("dsc", job) for job in jobs)
    return f"<dsc:GetActiveJobsResponse><dsc:ActiveJobs>{summaries}</dsc:ActiveJobs></dsc:GetActiveJobsResponse>"


def write_history(jobs: Iterable[Job], room: int) -> str:
    """Write the body of a GetJobHistoryResponse: as many of *jobs*, newest first, as *room* octets hold.

    The length of the list is the server's to choose (ws-dsc.md section 2.5), and an envelope over 32,767 octets is one
    that a strict client may refuse (DPW-043).
    """
    start, end = "<dsc:GetJobHistoryResponse><dsc:JobHistory>", "</dsc:JobHistory></dsc:GetJobHistoryResponse>"
    return start + "".join(_fitting(jobs, room - len(start) - len(end))) + end


def write_elements_change(filters: tuple[str, ...]) -> str:
    """Write the body of a RepositoryElementsChangeEvent: the dialects of the filters that can be used now."""
    return (
        f"<dsc:RepositoryElementsChangeEvent><dsc:ElementChanges>{_configuration(filters)}</dsc:ElementChanges>"
        "</dsc:RepositoryElementsChangeEvent>"
    )


def write_status_summary(state: str) -> str:
    """Write the body of a RepositoryStatusSummaryEvent: *state* is `Idle` or `Processing`."""
    return (
        f"<dsc:RepositoryStatusSummaryEvent><dsc:StatusSummary>{_state(state)}</dsc:StatusSummary>"
        "</dsc:RepositoryStatusSummaryEvent>"
    )


def qualified(dialect: str) -> tuple[str, str]:
    """Return a dialect as a qualified name: namespace and local name. No two dialects have the same.

    It is cut at its last `/` (ws-dsc.md section 2.1). What has no such halves becomes a name of our own: there, a `:`
    and whatever else is no part of a name is written as `_x003A_`, the way of Windows' `XmlConvert.EncodeLocalName`.
    """
    namespace, _, local = dialect.rpartition("/")
    if _URI.fullmatch(namespace) and namespace not in _NAMELESS and _NAME.fullmatch(local):
        return namespace, local
    plain = dialect.replace("_x", "_x005F_x")
    return namespaces.PS, "".join(_in_name(character, first=at == 0) for at, character in enumerate(plain)) or "_x_"


def _in_name(character: str, *, first: bool) -> str:
    fits = _NAME.fullmatch(character if first else f"a{character}")
    return character if fits else f"_x{ord(character):04X}_"


def _configuration(filters: Iterable[str]) -> str:
    """Write a RepositoryConfiguration, in which an empty list is left out, as its type demands."""
    listed = "".join(map(_filter, sorted(filters)))
    inside = f"<dsc:Filters>{listed}</dsc:Filters>" if listed else ""
    return f"<dsc:RepositoryConfiguration>{inside}</dsc:RepositoryConfiguration>"


def _filter(dialect: str) -> str:
    """Write a Filter; a dialect that its qualified name does not spell stands beside it."""
    namespace, local = qualified(dialect)
    prefix = {_FILTERS: "ftr", namespaces.PS: "ps"}.get(namespace, "x")
    beside = (
        f'<ps:Dialect xmlns:ps="{namespaces.PS}">{escape(dialect)}</ps:Dialect>' if namespace == namespaces.PS else ""
    )
    return (
        f'<dsc:Filter><dsc:Dialect xmlns:{prefix}="{attribute(namespace)}">{prefix}:{local}</dsc:Dialect>'
        f"<dsc:FilterConfig/>{beside}</dsc:Filter>"
    )


def _state(state: str) -> str:
    """Write how the repository stands; the protocol knows one reason, `None`."""
    return (
        f"<dsc:RepositoryState>{state}</dsc:RepositoryState><dsc:RepositoryStateReasons>"
        "<dsc:RepositoryStateReason>None</dsc:RepositoryStateReason></dsc:RepositoryStateReasons>"
    )


def _fitting(jobs: Iterable[Job], room: int) -> Iterator[str]:
    """Yield summaries until the next would not fit; one that never could is passed over, so that it hides no other."""
    left = room
    for job in jobs:
        summary = job_elements.summary("dsc", job)
        size = len(summary.encode())
        if size > room:
            continue
        if size > left:
            return
        left -= size
        yield summary


_OF_JOB: Final[dict[str, Callable[[str, Job], str]]] = {
    "JobStatus": job_elements.status,
    "JobDescription": job_elements.description,
    "Documents": job_elements.documents,
}
