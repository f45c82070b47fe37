"""What is said about jobs in JSON: its keys, their order and the form of each value are those of every version."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from postscan.core.model.job import Job, JobDocument, Receipt, RunStatus
from postscan.core.model.records import AuditLine, Delivery, EventRow, JobLogLine, JobOrigin, OriginProof
from postscan.core.model.states import FilterVerb, JobState
from postscan.core.service.administration.actions import JobAction
from postscan.core.service.administration.listing import HourOfJobs
from postscan.core.service.administration.records import (
    AuditRecord,
    CountsRecord,
    JobDetails,
    JobRecord,
    JsonRecord,
    LogLineRecord,
)

AT = datetime(2026, 3, 1, 9, 41, 7, 500_000, tzinfo=UTC)


def text(record: JsonRecord) -> str:
    """Return a record as the command line prints it, on one line."""
    return json.dumps(record.plain(), ensure_ascii=True)


def test_a_job_is_said_with_all_that_is_stored_with_it(job: Callable[..., Job]) -> None:
    """Scripts read it: no key is renamed, no time gets another form, and what is not there is null."""
    one = job("urn:acme:copy")
    one.created = AT
    one.receive(JobDocument(1, "png", 700, "ab", "blob"), AT)
    one.end(AT)
    one.claim(AT)
    one.start(0, AT)
    one.report(0, FilterVerb.SUCCEED, AT, receipt=Receipt(RunStatus.COMPLETED, 12, 0.25, None))
    origin = JobOrigin(one.token, "mail", "", OriginProof.DEVICE, "10.0.0.9", "", "Archive", 0.0, False)
    deliveries = [Delivery(0, None, "share", "Invoice.pdf", True, AT), Delivery(0, 1, "share", "x", False)]
    events = [EventRow(7, one.token, "FilterStateChanged", AT, {"position": 0, "state": "Processing", "reasons": []})]

    assert text(JobDetails.of(one, [JobAction.CANCEL], origin, ("no colour",), deliveries, events)) == (
        '{"token": "5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935", "state": "Processing", "reasons": [], '
        '"owner": {"name": "device:192.0.2.7", "proof": "address"}, '
        f'"user": {{"sid": "{one.user.sid}", "name": "{one.user.name}"}}, '
        '"process": {"id": "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7", "name": "Invoices"}, "document_root": "Invoice", '
        '"created": "2026-03-01T09:41:07.500000+00:00", "completed": null, "images_received": 1, "images_kept": true, '
        '"filters": [{"position": 0, "dialect": "urn:acme:copy", "state": "CompletedSuccessfully", "reasons": [], '
        '"detail": "", "progress": "", "attempt": 1, '
        '"receipt": {"fate": "completed", "checks": 12, "longest_gap": 0.25, "stopped_after": null}}], '
        '"documents": [{"id": 1, "format": "png", "size": 700, "sha256": "ab"}], "actions": ["cancel"], '
        '"origin": {"source": "mail", "proof": "device", "subject": "10.0.0.9", "account": null, '
        '"destination": "Archive", "told": null}, "notes": ["no colour"], '
        '"deliveries": [{"position": 0, "document": null, "destination": "share", "name": "Invoice.pdf", '
        '"published": true, "at": "2026-03-01T09:41:07.500000+00:00"}, '
        '{"position": 0, "document": 1, "destination": "share", "name": "x", "published": false, "at": null}], '
        '"events": [{"at": "2026-03-01T09:41:07.500000+00:00", "kind": "FilterStateChanged", '
        '"position": 0, "state": "Processing", "reasons": []}]}'
    )


def test_a_time_keeps_its_zone_and_its_form(job: Callable[..., Job]) -> None:
    """A whole second has no fraction, as `datetime.isoformat` writes it."""
    one = job()
    one.created = datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=1)))

    assert JobRecord.of(one).plain()["created"] == "2026-03-01T09:00:00+01:00"


def test_lines_and_numbers_have_the_keys_of_their_values() -> None:
    """The line of an audit trail is read again when it is dropped: its keys are those of the export."""
    line = AuditLine(AT, "local:root", "local", "cancel", "t", "done", "", 9)
    logged = JobLogLine(AT, 0, 1, "info", "page 3")
    hour = HourOfJobs(AT, {JobState.ABORTED: 1})

    assert list(AuditRecord.of(line).plain()) == list(AuditLine._fields)
    assert list(LogLineRecord.of(logged).plain()) == list(JobLogLine._fields)
    assert CountsRecord.of({JobState.COMPLETED: 2}, [hour]).plain() == {
        "states": {"Completed": 2},
        "hours": [{"begin": "2026-03-01T09:41:07.500000+00:00", "states": {"Aborted": 1}}],
    }
