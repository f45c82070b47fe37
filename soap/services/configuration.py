"""The messages of WS-DSC: administrators read the state of the server, and read and cancel the jobs of all users.

The namespace is `dsc`; `postscan.soap.services.job_elements` writes the elements of a job for both services. Source:
ws-dsc.md sections 2 to 5 and 8.
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
"""Namespaces that no dialect is split into: ours holds those that cannot be split, the others allow no prefix."""

_URI: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:"
    r"(?://[A-Za-z0-9._~-]+(?::[0-9]{1,5})?(?=/|$)|(?!//))"
    r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*"
)
"""Namespaces that every parser accepts: absolute, and without characters that need escaping."""

_NAME: Final = re.compile("[A-Za-z_][A-Za-z0-9_.-]*")
"""Local names that every edition of XML and of XML Schema accepts."""


@arguments.raising_faults
def read_repository_elements(body: etree._Element) -> tuple[RequestedName, ...]:
    """Return the names in a GetRepositoryElementsRequest; raise `Fault` if it is invalid."""
    found = arguments.of(body, namespaces.dsc("GetRepositoryElementsRequest"), "RequestedElements")
    return requested_elements.read(found["RequestedElements"])


read_cancel = arguments.token_request(namespaces.dsc("CancelPostScanJobRequest"))
read_elements = arguments.elements_request(namespaces.dsc("GetPostScanJobElementsRequest"))


def _without_arguments(*requests: str) -> Callable[[etree._Element], None]:
    """Return a reader for a request without arguments; *requests* are the Clark names that it may have."""

    @arguments.raising_faults
    def read(body: etree._Element) -> None:
        if tag(body) not in requests:
            arguments.of(body, requests[0])
        for child in body:
            if namespaces.split(tag(child))[0] == namespaces.DSC:
                raise InvalidArgument(tag(child), trim(child.text), "no arguments")

    return read


read_active = _without_arguments(namespaces.dsc("GetActiveJobsRequest"))
read_history = _without_arguments(namespaces.dsc("GetJobHistoryRequest"), namespaces.dsc("GetJobsHistoryRequest"))
"""The second name is that of Microsoft's example (ws-dsc.md section 8, number 4)."""


def write_repository_elements(names: Sequence[RequestedName], filters: Iterable[str], state: str) -> str:
    """Write the body of a GetRepositoryElementsResponse: one ElementData for each name, in order.

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
    """Write the body of a GetPostScanJobElementsResponse: one ElementData for each name, in order.

    *receipts* is the content of our own element (`postscan.soap.services.receipts`), needed if it is requested.
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
    """Write the body of a GetActiveJobsResponse: a JobSummary for each job; the list may be empty."""
    summaries = "".join(job_elements.summary("dsc", job) for job in jobs)
    return f"<dsc:GetActiveJobsResponse><dsc:ActiveJobs>{summaries}</dsc:ActiveJobs></dsc:GetActiveJobsResponse>"


def write_history(jobs: Iterable[Job], room: int) -> str:
    """Write the body of a GetJobHistoryResponse: as many of *jobs*, newest first, as *room* octets hold.

    The server chooses the length of the list (ws-dsc.md section 2.5); a strict client may refuse an envelope of more
    than 32,767 octets (DPW-043).
    """
    start, end = "<dsc:GetJobHistoryResponse><dsc:JobHistory>", "</dsc:JobHistory></dsc:GetJobHistoryResponse>"
    return start + "".join(_fitting(jobs, room - len(start) - len(end))) + end


def write_elements_change(filters: tuple[str, ...]) -> str:
    """Write the body of a RepositoryElementsChangeEvent; *filters* are the dialects of the usable filters."""
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

    It is split at its last `/` (ws-dsc.md section 2.1). A dialect that cannot be split becomes a local name in our own
    namespace, in which every character that is not allowed in a name, as `:`, is written as `_x003A_`, like the
    `XmlConvert.EncodeLocalName` of Windows.
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
    """Write a RepositoryConfiguration; its type requires that an empty list is omitted."""
    listed = "".join(map(_filter, sorted(filters)))
    inside = f"<dsc:Filters>{listed}</dsc:Filters>" if listed else ""
    return f"<dsc:RepositoryConfiguration>{inside}</dsc:RepositoryConfiguration>"


def _filter(dialect: str) -> str:
    """Write a Filter, with the dialect beside its qualified name if that is a name of our own."""
    namespace, local = qualified(dialect)
    prefix = {_FILTERS: "ftr", namespaces.PS: "ps"}.get(namespace, "x")
    dialect_element = (
        f'<ps:Dialect xmlns:ps="{namespaces.PS}">{escape(dialect)}</ps:Dialect>' if namespace == namespaces.PS else ""
    )
    return (
        f'<dsc:Filter><dsc:Dialect xmlns:{prefix}="{attribute(namespace)}">{prefix}:{local}</dsc:Dialect>'
        f"<dsc:FilterConfig/>{dialect_element}</dsc:Filter>"
    )


def _state(state: str) -> str:
    """Write the state of the repository; the protocol defines one reason, `None`."""
    return (
        f"<dsc:RepositoryState>{state}</dsc:RepositoryState><dsc:RepositoryStateReasons>"
        "<dsc:RepositoryStateReason>None</dsc:RepositoryStateReason></dsc:RepositoryStateReasons>"
    )


def _fitting(jobs: Iterable[Job], room: int) -> Iterator[str]:
    """Yield summaries until the next one does not fit; skip one that is larger than *room* alone."""
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
