"""What a supporter needs of a job, as plain text to copy.

It has no names of users, documents and files, no addresses, no destinations, and no instructions. Texts of filters are
in it: their details and progress, and for who may see the log, its last lines; the log has no secret of the settings.
Characters that are not printable are escaped, so that no text can look like a line of this page.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Final

from starlette.responses import PlainTextResponse, Response

from postscan.console.pages.jobs.job import event_text, line_text
from postscan.console.rendering import stamp
from postscan.console.request import ConsoleRequest
from postscan.core.model.job import FilterStep, Job
from postscan.core.model.records import Delivery, EventRow, JobLogLine

MOST_LINES: Final = 200
MOST_EVENTS: Final = 200
MOST_CHARACTERS: Final = 1000


def show(request: ConsoleRequest) -> Response:
    """Return the text about a job."""
    token, by, service = request.path_value("token"), request.by, request.console.engine.service
    job = service.job(token, by)
    parts = (
        _facts(job),
        *(_step(step) for step in job.steps),
        _deliveries(service.deliveries(token, by)),
        _events(service.events(token, by)),
        _lines(service.lines(token, by).lines),
    )
    return PlainTextResponse("\n".join(line for part in parts for line in part) + "\n")


def _facts(job: Job) -> Iterator[str]:
    yield f"postscan {importlib.metadata.version('postscan')}"
    yield "Without names of users, documents and destinations. Texts of filters are as the filters wrote them."
    yield ""
    yield f"Job {job.token}"
    yield f"State {_state(job.state, job.reasons)}"
    yield f"Owner proven by {job.owner.proof}"
    yield f"Created {stamp(job.created)}"
    if job.completed is not None:
        yield f"Ended {stamp(job.completed)}"
    kept = "kept" if job.images_kept else "removed"
    yield f"Images {len(job.documents)}, {sum(one.size for one in job.documents)} bytes, {kept}"
    yield f"Goes on after an error: {'yes' if job.continue_on_error else 'no'}"


def _step(step: FilterStep) -> Iterator[str]:
    receipt = step.receipt
    yield ""
    yield f"Filter {step.position + 1} {_plain(step.dialect)}"
    yield f"  {_state(step.state, step.reasons)}, run {step.attempt}, crashes {step.crashes}"
    if receipt.status is not None:
        yield f"  receipt {receipt.status}, {receipt.checks} token checks, longest gap {receipt.longest_gap:.3f} s"
    if receipt.stopped_after is not None:
        yield f"  stopped {receipt.stopped_after:.3f} s after the cancel"
    for name, text in (("progress", step.progress), ("detail", step.detail)):
        if text:
            yield f"  {name} {_plain(text)}"


def _deliveries(deliveries: Sequence[Delivery]) -> Iterator[str]:
    yield ""
    published = sum(one.published for one in deliveries)
    yield f"Outputs {published} delivered, {len(deliveries) - published} granted and not confirmed"


def _events(events: Sequence[EventRow]) -> Iterator[str]:
    yield ""
    yield f"Events {len(events)}" + (f", the last {MOST_EVENTS}" if len(events) > MOST_EVENTS else "")
    for event in events[-MOST_EVENTS:]:
        yield f"  {stamp(event.at)} {event.kind} {_plain(event_text(event))}"


def _lines(lines: Sequence[JobLogLine]) -> Iterator[str]:
    if lines:
        yield ""
        yield f"Log {len(lines)} lines" + (f", the last {MOST_LINES}" if len(lines) > MOST_LINES else "")
    for line in lines[-MOST_LINES:]:
        run = f"filter {line.position + 1} run {line.attempt} {line.level}"
        yield f"  {stamp(line.at)} {run}: {_plain(line_text(line))}"


def _state(state: str, reasons: Sequence[str]) -> str:
    return state + (f" ({', '.join(_plain(one) for one in reasons)})" if reasons else "")


def _plain(text: str) -> str:
    """Return a text as one line of printable characters."""
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:MOST_CHARACTERS]
    )
    return shown + ("..." if len(text) > MOST_CHARACTERS else "")
