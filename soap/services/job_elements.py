"""The elements of a job for both services: status, description, documents, summary, and the bodies of its events.

The two protocols use the same names in the same order; `namespace` selects one by our prefix for it, `dsp` or `dsc`.
Source: ws-dsp.md sections 5 and 10; ws-dsc.md sections 3.1 and 4.2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from postscan.core.model.job import Job
from postscan.core.model.principal import User
from postscan.core.model.states import FilterReason, FilterState, JobReason, JobState
from postscan.soap.xml.writing import escape

_NAME_START: Final = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME: Final = rf"{_NAME_START}0-9.\-\xb7\u0300-\u036f\u203f\u2040"
NCNAME: Final = rf"[{_NAME_START}][{_NAME}]*"
"""A name without a colon, as a regular expression (XML namespaces 1.0)."""

_NMTOKEN: Final = re.compile(rf"[{_NAME}:]{{1,255}}")
_REASONS: Final = frozenset([*FilterReason, *JobReason])


class FilterView(Protocol):
    """The state of one filter."""

    @property
    def dialect(self) -> str:
        """The dialect of the filter."""

    @property
    def state(self) -> FilterState:
        """The state."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the state."""


class JobView(Protocol):
    """A job as both protocols describe it: the job itself, or a snapshot of it after one commit."""

    @property
    def token(self) -> str:
        """The JobToken."""

    @property
    def user(self) -> User:
        """The user of the job."""

    @property
    def process_id(self) -> str:
        """The GUID of the scan process."""

    @property
    def process_name(self) -> str:
        """The display name of the scan process."""

    @property
    def state(self) -> JobState:
        """The state."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the state."""

    @property
    def steps(self) -> Sequence[FilterView]:
        """The filters, in order."""

    @property
    def images_received(self) -> int:
        """The number of documents received."""

    @property
    def created(self) -> datetime:
        """The time of its creation."""

    @property
    def completed(self) -> datetime | None:
        """The time of its end; None before."""


def status(namespace: str, job: JobView) -> str:
    """Write a JobStatus."""
    n = namespace
    completed = _time(n, "JobCompletedTime", job.completed) if job.completed else ""
    return (
        f"<{n}:JobStatus><{n}:JobToken>{escape(job.token)}</{n}:JobToken><{n}:JobState>{job.state}</{n}:JobState>"
        f"{_job_reasons(n, 'JobStateReasons', job)}{_filters(n, 'FilterStatuses', job)}"
        f"<{n}:ImagesReceived>{job.images_received}</{n}:ImagesReceived>"
        f"{_time(n, 'JobCreatedTime', job.created)}{completed}</{n}:JobStatus>"
    )


def description(namespace: str, job: JobView) -> str:
    """Write a JobDescription."""
    return f"<{namespace}:JobDescription>{_identity(namespace, job)}</{namespace}:JobDescription>"


def documents(namespace: str, job: Job) -> str:
    """Write the Documents that the device has sent."""
    n = namespace
    listed = "".join(
        f"<{n}:Document><{n}:DocumentDescription><{n}:DocumentId>{document.id}</{n}:DocumentId>"
        f"<{n}:Format>{escape(document.format)}</{n}:Format></{n}:DocumentDescription></{n}:Document>"
        for document in job.documents
    )
    return f"<{n}:Documents>{listed}</{n}:Documents>"


def summary(namespace: str, job: JobView) -> str:
    """Write a JobSummary (configuration service only)."""
    n = namespace
    return (
        f"<{n}:JobSummary><{n}:JobToken>{escape(job.token)}</{n}:JobToken>{_identity(n, job)}"
        f"<{n}:JobState>{job.state}</{n}:JobState>"
        f"{_job_reasons(n, 'JobStateReasons', job)}{_filters(n, 'FilterStatuses', job)}"
        f"<{n}:ImagesReceived>{job.images_received}</{n}:ImagesReceived></{n}:JobSummary>"
    )


def status_event(namespace: str, job: JobView) -> str:
    """Write the body of a PostScanJobStatusEvent."""
    return f"<{namespace}:PostScanJobStatusEvent>{status(namespace, job)}</{namespace}:PostScanJobStatusEvent>"


def end_event(namespace: str, job: JobView) -> str:
    """Write the body of a PostScanJobEndStateEvent; raise `ValueError` if the job has not ended."""
    n = namespace
    if job.completed is None:
        raise ValueError(f"job {job.token} has not ended")
    return (
        f"<{n}:PostScanJobEndStateEvent><{n}:PostScanJobEndState>"
        f"<{n}:JobToken>{escape(job.token)}</{n}:JobToken>{_identity(n, job)}"
        f"<{n}:JobCompletedState>{job.state}</{n}:JobCompletedState>"
        f"{_job_reasons(n, 'JobCompletedStateReasons', job)}{_filters(n, 'FilterCompletedStatuses', job)}"
        f"<{n}:ImagesReceived>{job.images_received}</{n}:ImagesReceived>"
        f"{_time(n, 'JobCompletedTime', job.completed)}"
        f"</{n}:PostScanJobEndState></{n}:PostScanJobEndStateEvent>"
    )


def is_word(character: str) -> bool:
    r"""Return whether the `\w` of XML Schema matches the character: no punctuation, separator or control.

    Unlike Python's, it matches symbols and marks, and does not match the underscore.
    """
    return unicodedata.category(character)[0] not in "PZC"


def _identity(n: str, job: JobView) -> str:
    return (
        f"<{n}:PSP_Identifier>{escape(job.process_id)}</{n}:PSP_Identifier>"
        f"<{n}:PSP_DisplayName>{escape(job.process_name[:255])}</{n}:PSP_DisplayName>"
        f"<{n}:JobOriginatingUserName>{escape(job.user.name[:255])}</{n}:JobOriginatingUserName>"
    )


def _filters(n: str, name: str, job: JobView) -> str:
    return f"<{n}:{name}>{''.join(_filter_status(n, step) for step in job.steps)}</{n}:{name}>"


def _filter_status(n: str, step: FilterView) -> str:
    reasons = _reasons(n, "FilterStateReasons", "FilterStateReason", step.reasons, FilterReason.UNKNOWN_ERROR)
    return (
        f"<{n}:FilterStatus><{n}:Dialect>{escape(step.dialect)}</{n}:Dialect>"
        f"<{n}:FilterState>{step.state}</{n}:FilterState>{reasons}</{n}:FilterStatus>"
    )


def _job_reasons(n: str, name: str, job: JobView) -> str:
    return _reasons(n, name, "JobStateReason", job.reasons, "None")


def _reasons(n: str, name: str, item: str, reasons: Sequence[str], otherwise: str) -> str:
    """Write a list of reasons; a reason that is no keyword of the protocol or of a vendor becomes *otherwise*."""
    if not reasons:
        return ""
    known = dict.fromkeys(reason if _is_keyword(reason) else otherwise for reason in reasons)
    items = "".join(f"<{n}:{item}>{escape(reason)}</{n}:{item}>" for reason in known)
    return f"<{n}:{name}>{items}</{n}:{name}>"


def _is_keyword(value: str) -> bool:
    r"""Return whether *value* is a keyword of the protocol, or of a vendor: an NMTOKEN of the form `\w+:[\w_\-\.]+`."""
    if value in _REASONS:
        return True
    vendor, _, own = value.partition(":")
    words = vendor and own and all(map(is_word, vendor)) and all(is_word(c) or c in "_-." for c in own)
    return bool(words and _NMTOKEN.fullmatch(value))


def _time(n: str, name: str, at: datetime) -> str:
    return f"<{n}:{name}>{_TIMES[n](at)}</{n}:{name}>"


def _utc(at: datetime) -> str:
    """Write an xs:dateTime in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _local(at: datetime) -> str:
    """Write an xs:dateTime in the server's local time, with the offset from UTC."""
    return at.astimezone().isoformat(timespec="milliseconds")


_TIMES: Final[dict[str, Callable[[datetime], str]]] = {"dsp": _utc, "dsc": _local}
"""WS-DSP has its times in UTC, WS-DSC in local time (DSC-018)."""
