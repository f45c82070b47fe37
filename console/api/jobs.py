"""Jobs: found, shown, and changed by the verbs of the service."""

from __future__ import annotations

import re
from datetime import UTC
from typing import Final

from pydantic import BaseModel, Field

from postscan.console.api.operations import BASE, ApiAnswer, ApiQuery, NoQuery, Text, Time, next_page, paged
from postscan.console.request import ConsoleRequest
from postscan.core.errors import JobNotFound
from postscan.core.model.states import JobReason, JobState
from postscan.core.service.administration.actions import actions
from postscan.core.service.administration.listing import FOUND, JobQuery, SearchCursor
from postscan.core.service.administration.records import (
    CountsRecord,
    DeliveryRecord,
    EventRecord,
    JobDetails,
    JobRecord,
    ListedJobRecord,
    LogLineRecord,
    Moment,
    PlannedFilterRecord,
)

MOST_JOBS: Final = 200
"""Most jobs of a page."""

_TOKEN: Final = re.compile(r"[!-~]{1,64}")


class JobSearch(ApiQuery):
    """Which jobs are wanted: those that fulfil every parameter that is given."""

    state: tuple[JobState, ...] = Field((), description="In one of these states.")
    reason: JobReason | None = Field(None, description="With this reason.")
    process: Text = Field("", description="Of this scan process: name or GUID.")
    user: Text = Field("", description="For this user: name or SID.")
    device: Text = Field("", description="Of this device: address, owner, or subject of a source's job.")
    destination: Text = Field("", description="That delivered there, or that a source has for it.")
    begin: Time | None = Field(None, alias="from", description="Created at this time or later.")
    end: Time | None = Field(None, alias="to", description="Created before this time.")
    text: Text = Field("", description="With this text in the root name, or in the name of process or user.")
    after: Text = Field("", description="Where the page begins: `next` of the page before has it.")
    limit: int = Field(FOUND, ge=1, le=MOST_JOBS, description="Most jobs of the page.")

    @property
    def wanted(self) -> JobQuery:
        """The query of the service."""
        return JobQuery(
            self.state,
            self.reason,
            self.process,
            self.user,
            self.device,
            self.destination,
            self.begin.astimezone(UTC) if self.begin else None,
            self.end.astimezone(UTC) if self.end else None,
            self.text,
        )


class RetryQuery(ApiQuery):
    """From which filter a job is processed again."""

    first: int | None = Field(
        None, alias="from", ge=1, le=1000, description="Number of the filter; default: that failed."
    )

    @property
    def position(self) -> int | None:
        """The position of the filter, counted from 0."""
        return None if self.first is None else self.first - 1


class LogQuery(ApiQuery):
    """Where the log of a job is read from."""

    after: int = Field(0, ge=0, le=1 << 40, description="Where the page begins: `next` of the page before has it.")


class FoundJobsRecord(BaseModel):
    """A page of jobs, newest first. `next` is null behind the oldest job.

    A search ends after a second, with the jobs that it has found until then: `searched_to` is how far it has come.
    """

    jobs: tuple[ListedJobRecord, ...]
    next: str | None
    searched_to: Moment | None


class EventsRecord(BaseModel):
    """The events of a job, oldest first."""

    events: tuple[EventRecord, ...]


class DeliveriesRecord(BaseModel):
    """What the filters of a job were granted to deliver."""

    deliveries: tuple[DeliveryRecord, ...]


class LogRecord(BaseModel):
    """What the filters of a job have logged, from `after` on; `next` has what follows, at once or later."""

    lines: tuple[LogLineRecord, ...]
    next: str


class PlanRecord(BaseModel):
    """What a retry would do with each filter of a job."""

    filters: tuple[PlannedFilterRecord, ...]


class JobTokenRecord(BaseModel):
    """The job that waits to be processed now: the same one, or a new one of the same images."""

    token: str


def list_jobs(request: ConsoleRequest, query: JobSearch) -> ApiAnswer:
    """Return a page of the jobs that the caller may see."""
    cursor = SearchCursor.parse(query.after) if query.after else None
    found = request.console.engine.listing.search(request.by, query.wanted, cursor, query.limit)
    link = next_page(request.http, after=str(found.cursor)) if found.cursor else None
    record = FoundJobsRecord(
        jobs=tuple(map(ListedJobRecord.of, found.jobs)),
        next=link,
        searched_to=found.cursor.created if found.cursor else None,
    )
    return paged(record, link)


def count_jobs(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return how many jobs that the caller may see are in each state, and those of each of the last 24 hours."""
    listing = request.console.engine.listing
    return ApiAnswer(CountsRecord.of(listing.counts(request.by), listing.hours(request.by)))


def get_job(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return a job with all that is stored with it."""
    engine, token, by = request.console.engine, _token(request), request.by
    job = engine.service.job(token, by)
    details = JobDetails.of(
        job,
        actions(job, by),
        engine.origins.of_job(job.token, by),
        engine.service.notes(token, by),
        engine.service.deliveries(token, by),
        engine.service.events(token, by),
    )
    return ApiAnswer(details)


def get_events(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return the events of a job."""
    rows = request.console.engine.service.events(_token(request), request.by)
    return ApiAnswer(EventsRecord(events=tuple(map(EventRecord.of, rows))))


def get_deliveries(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return what the filters of a job were granted to deliver."""
    rows = request.console.engine.service.deliveries(_token(request), request.by)
    return ApiAnswer(DeliveriesRecord(deliveries=tuple(map(DeliveryRecord.of, rows))))


def get_log(request: ConsoleRequest, query: LogQuery) -> ApiAnswer:
    """Return what the filters of a job have logged."""
    page = request.console.engine.service.lines(_token(request), request.by, query.after)
    link = next_page(request.http, after=str(page.end))
    return paged(LogRecord(lines=tuple(map(LogLineRecord.of, page.lines)), next=link), link)


def plan_retry(request: ConsoleRequest, query: RetryQuery) -> ApiAnswer:
    """Return what a retry would do, and change nothing."""
    planned = request.console.engine.service.plan_retry(_token(request), request.by, query.position)
    return ApiAnswer(PlanRecord(filters=tuple(map(PlannedFilterRecord.of, planned))))


def cancel_job(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Cancel a job, and return it: Canceled, or Terminating while its filters are being stopped.

    The cancel is stored before the response. A job that has ended is not found.
    """
    return ApiAnswer(JobRecord.of(request.console.engine.service.cancel(_token(request), request.by)))


def hold_job(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Keep a waiting job from being processed, until it is released."""
    token = _token(request)
    request.console.engine.service.hold(token, request.by)
    return ApiAnswer(JobTokenRecord(token=request.console.engine.service.job(token, request.by).token))


def release_job(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Release a held job, or the images of a job that timed out, as a new job."""
    return ApiAnswer(
        JobTokenRecord(token=request.console.engine.service.release(_token(request), request.by)),
    )


def retry_job(request: ConsoleRequest, query: RetryQuery) -> ApiAnswer:
    """Process the images of a job that failed again, as a new job."""
    token = request.console.engine.service.retry(_token(request), request.by, query.position)
    return ApiAnswer(JobTokenRecord(token=token), {"Location": f"{BASE}/jobs/{token}"})


def discard_job(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Remove the images and the log of a job that has ended."""
    request.console.engine.service.discard(_token(request), request.by)
    return ApiAnswer(None)


def _token(request: ConsoleRequest) -> str:
    """Return the token in the path; raise `JobNotFound` for what cannot be one, so that no database has to take it."""
    token = str(request.http.path_params["token"])
    if not _TOKEN.fullmatch(token):
        raise JobNotFound("")
    return token
