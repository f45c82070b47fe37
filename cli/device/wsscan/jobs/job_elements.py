"""The elements that describe a job: JobStatus, JobSummary, JobEndState. Source: ws-scan.md sections 1 and 8."""

from __future__ import annotations

from lxml import etree

from postscan.cli.device.wsscan.description.status import written_time
from postscan.cli.device.wsscan.description.ticket_elements import final_parameters
from postscan.cli.device.wsscan.jobs.job_list import DeviceJob
from postscan.cli.device.wsscan.protocol.soap import SoapWriter


def job_status(w: SoapWriter, job: DeviceJob) -> etree._Element:
    """Return JobStatus."""
    e = w.element
    times = [e("wscn:JobCreatedTime", written_time(job.created))]
    if job.completed:
        times.append(e("wscn:JobCompletedTime", written_time(job.completed)))
    return e(
        "wscn:JobStatus",
        e("wscn:JobId", str(job.id)),
        e("wscn:JobState", job.state),
        _reasons(w, "wscn:JobStateReasons", job),
        e("wscn:ScansCompleted", str(job.whole)),
        *times,
    )


def job_summary(w: SoapWriter, job: DeviceJob) -> etree._Element:
    """Return JobSummary."""
    e = w.element
    return e(
        "wscn:JobSummary",
        e("wscn:JobId", str(job.id)),
        *_names(w, job),
        e("wscn:JobState", job.state),
        _reasons(w, "wscn:JobStateReasons", job),
        e("wscn:ScansCompleted", str(job.whole)),
    )


def job_end_state(w: SoapWriter, job: DeviceJob) -> etree._Element:
    """Return JobEndState."""
    e = w.element
    return e(
        "wscn:JobEndState",
        e("wscn:JobId", str(job.id)),
        e("wscn:JobCompletedState", job.state),
        _reasons(w, "wscn:JobCompletedStateReasons", job),
        *_names(w, job),
        e("wscn:ScansCompleted", str(job.whole)),
        e("wscn:JobCompletedTime", written_time(job.completed)),
    )


def documents(w: SoapWriter, job: DeviceJob) -> etree._Element:
    """Return Documents, with one entry for each page that was sent, at least one."""
    e = w.element
    names = [f"page-{number}" for number in range(1, max(1, job.whole) + 1)]
    return e(
        "wscn:Documents",
        final_parameters(w, job.ticket),
        *(e("wscn:Document", e("wscn:DocumentDescription", e("wscn:DocumentName", name))) for name in names),
    )


def _names(w: SoapWriter, job: DeviceJob) -> list[etree._Element]:
    return [
        w.element("wscn:JobName", job.ticket.job_name),
        w.element("wscn:JobOriginatingUserName", job.ticket.user_name),
    ]


def _reasons(w: SoapWriter, name: str, job: DeviceJob) -> etree._Element:
    return w.element(name, w.element("wscn:JobStateReason", job.reason))
