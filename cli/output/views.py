"""Views of jobs, events and audit lines: text and tables. Their JSON is in `core.service.administration.records`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from postscan.cli.output import terminal
from postscan.core.model.process import short_name

if TYPE_CHECKING:
    from rich.table import Table

    from postscan.core.model.job import FilterStep, Job
    from postscan.core.model.records import AuditLine, Delivery, EventRow, JobLogLine, JobOrigin
    from postscan.core.model.states import JobState
    from postscan.core.service.administration.listing import HourOfJobs, ListedJob, ListedStep
    from postscan.core.service.administration.reprocessing import PlannedFilter

_TOLD = {"stopped": "has stopped", "refused": "goes on", "away": "did not answer"}
COLUMNS = ("TOKEN", "STATE", "CREATED", "USER", "PROCESS", "IMAGES", "FILTERS")


def listed(jobs: Iterable[Job | ListedJob]) -> Table:
    """Return jobs as a table, one per line."""
    return terminal.table(COLUMNS, (_row(job) for job in jobs))


def line(job: Job) -> str:
    """Return a job as one line of text, for a pipe."""
    return terminal.plain("  ".join(part for part in (job.token, _state(job.state, job.reasons), _steps(job)) if part))


def page(
    job: Job,
    deliveries: Sequence[Delivery],
    events: Sequence[EventRow],
    origin: JobOrigin | None = None,
    actions: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Iterator[str | Table]:
    """Yield the parts of a job's page: facts, filters, receipts, documents, deliveries, events."""
    for name, value in (*_facts(job), *_origin(origin), *(("Note", note) for note in notes), *_actions(actions)):
        yield f"{name + ':':<11} {terminal.plain(value)}"
    yield "\nFilters"
    yield terminal.table(
        ("#", "DIALECT", "STATE", "ATTEMPT", "PROGRESS", "DETAIL"), (_step(step) for step in job.steps)
    )
    yield "\nReceipts"
    yield terminal.table(
        ("#", "RUN", "TOKEN CHECKS", "LONGEST GAP", "STOPPED AFTER"), (_receipt(step) for step in job.steps)
    )
    yield "\nDocuments"
    rows = ((str(one.id), one.format, f"{one.size:,}", one.sha256) for one in job.documents)
    yield terminal.table(("ID", "FORMAT", "BYTES", "SHA-256"), rows)
    yield "\nDelivered"
    columns = ("FILTER", "DOCUMENT", "DESTINATION", "NAME", "GRANTED")
    yield terminal.table(columns, (_delivery(one) for one in deliveries))
    yield "\nEvents"
    yield terminal.table(("TIME", "EVENT", ""), ((moment(one.at), one.kind, _fields(one.fields)) for one in events))


def planned(filters: Iterable[PlannedFilter]) -> Iterator[str]:
    """Yield what a retry does with each filter, one line each."""
    for one in filters:
        yield terminal.plain(f"{one.step.position + 1} {short_name(one.step.dialect)} {_plan(one)}")


def counted(states: Mapping[JobState, int], hours: Iterable[HourOfJobs]) -> Iterator[str | Table]:
    """Yield the numbers of jobs by state, and those that were created in each hour."""
    yield terminal.table(("STATE", "JOBS"), ((state, str(number)) for state, number in states.items()))
    yield "\nCreated"
    yield terminal.table(("HOUR", "JOBS", "STATES"), (_hour(one) for one in hours))


def as_json(value: object) -> str:
    """Return plain values as JSON text."""
    return json.dumps(value, indent=2, ensure_ascii=True)


def audited(lines: Iterable[AuditLine]) -> Table:
    """Return lines of the audit trail as a table."""
    columns = ("TIME", "WHO", "PROOF", "ACTION", "JOB", "OUTCOME", "DETAIL")
    return terminal.table(columns, (_audited(one) for one in lines))


def log_line(line: JobLogLine) -> str:
    """Return a line of the log of a job as text, with filters counted from 1."""
    run = f" run {line.attempt}" if line.attempt > 1 else ""
    head = f"{moment(line.at)} filter {line.position + 1}{run} {line.level}: "
    if line.dropped_lines:
        lines = "1 line" if line.dropped_lines == 1 else f"{line.dropped_lines} lines"
        return f"{head}({lines} of {line.dropped_bytes} bytes missing here)"
    missing = f" ({line.dropped_bytes} more bytes)" if line.dropped_bytes else ""
    return f"{terminal.plain(head + line.text)}{missing}"


def _plan(one: PlannedFilter) -> str:
    """Return whether a filter runs again, why, and how many outputs it has delivered, which it may deliver again."""
    state = _state(one.step.state, one.step.reasons)
    if not one.runs:
        return f"does not run again: {state}"
    why = "the filters after it need what it made" if one.remakes else state
    again = f"; outputs that it has delivered already: {len(one.published)}" if one.published else ""
    return f"runs again: {why}{again}"


def _hour(one: HourOfJobs) -> tuple[str, ...]:
    states = ", ".join(f"{state} {number}" for state, number in one.states.items())
    return (one.begin.strftime("%Y-%m-%d %H:%MZ"), str(sum(one.states.values())), states)


def _facts(job: Job) -> Iterator[tuple[str, str]]:
    yield "Job", job.token
    yield "State", _state(job.state, job.reasons)
    yield "Process", f"{job.process_name} ({job.process_id})"
    yield "Owner", f"{job.owner.name} (proof: {job.owner.proof})"
    yield "User", f"{job.user.name} ({job.user.sid})" if job.user.name != job.user.sid else job.user.sid
    yield "Root name", job.document_root
    yield "Created", moment(job.created)
    if job.completed:
        yield (
            "Ended",
            f"{moment(job.completed)}, {(job.completed - job.created).total_seconds():.1f} s after its creation",
        )
    yield "Images", f"{job.images_received}{'' if job.images_kept else ', removed from the spool'}"


def _origin(origin: JobOrigin | None) -> Iterator[tuple[str, str]]:
    if origin is not None:
        account = f", account {origin.account}" if origin.account not in ("", origin.subject) else ""
        by = f"{origin.proof} {origin.subject}{account}"
        yield "Origin", f"source {origin.inlet}, by {by}, for destination {origin.destination}"
        if origin.told:
            yield "Cancel", f"the origin {_TOLD.get(origin.told, origin.told)}"


def _actions(actions: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    if actions is not None:
        yield "Actions", ", ".join(actions) or "none"


def _audited(one: AuditLine) -> tuple[str, ...]:
    return (moment(one.at), one.who, one.proof, one.verb, one.token, one.outcome, one.detail)


def _row(job: Job | ListedJob) -> tuple[str, ...]:
    user = job.user.name or job.user.sid
    return (job.token, job.state, moment(job.created), user, job.process_name, str(job.images_received), _steps(job))


def _step(step: FilterStep) -> tuple[str, ...]:
    state = _state(step.state, step.reasons)
    return (str(step.position + 1), step.dialect, state, str(step.attempt), _progress(step), step.detail)


def _receipt(step: FilterStep) -> tuple[str, ...]:
    """Return the receipt of a filter run; blank before its start."""
    receipt = step.receipt
    ran = receipt.status is not None and receipt.status != "not-started"
    return (
        str(step.position + 1),
        receipt.status or "",
        str(receipt.checks) if ran else "",
        f"{receipt.longest_gap:.3f} s" if ran else "",
        f"{receipt.stopped_after:.3f} s" if receipt.stopped_after is not None else "",
    )


def _delivery(one: Delivery) -> tuple[str, ...]:
    name = one.name if one.published else f"{one.name} (granted, not confirmed)"
    granted = moment(one.at) if one.at else ""
    return (str(one.position + 1), str(one.document or "all"), one.destination, name, granted)


def _progress(step: FilterStep | ListedStep) -> str:
    """Return the progress of a filter; blank after success, which completes it."""
    return "" if step.state == "CompletedSuccessfully" else step.progress


def _steps(job: Job | ListedJob) -> str:
    """Return the states of the filters in order, with their progress."""
    return ", ".join(f"{step.state} {_progress(step)}".rstrip() for step in job.steps)


def _state(state: str, reasons: Sequence[str]) -> str:
    return f"{state} ({', '.join(reasons)})" if reasons else str(state)


def _fields(fields: dict[str, Any]) -> str:
    """Return the fields of an event as text; filters are counted from 1, digests are omitted."""
    shown: dict[str, Any] = {name: value for name, value in fields.items() if name != "sha256"}
    if "position" in shown:
        shown = {"filter": shown.pop("position") + 1} | shown
    if "reasons" in shown:
        shown["reasons"] = ", ".join(shown["reasons"])
    return "  ".join(f"{name}={value}" for name, value in shown.items() if value != "")


def moment(at: datetime) -> str:
    """Return a time in UTC with milliseconds, the precision of the store."""
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
