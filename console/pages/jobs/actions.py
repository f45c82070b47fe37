"""What can be done with one job: a page that says what will happen, and the form of that page, which does it."""

from __future__ import annotations

import time
from concurrent import futures
from typing import Final

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.rendering import moment, render, see_other
from postscan.console.request import ConsoleRequest
from postscan.core.errors import JobNotFound, WrongState
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal
from postscan.core.model.process import short_name
from postscan.core.service.administration.actions import JobAction, actions, is_unfinished
from postscan.core.service.administration.reprocessing import PlannedFilter
from postscan.core.service.jobs import PostScanService

DONE: Final = {
    JobAction.CANCEL: "canceled",
    JobAction.HOLD: "held",
    JobAction.RELEASE: "released",
    JobAction.RETRY: "retried",
    JobAction.DISCARD: "discarded",
}

CANCEL_SECONDS: Final = 1.0
"""How long a page waits for the filters of a canceled job to stop."""


def confirm(action: JobAction, request: ConsoleRequest) -> Response:
    """Show what the action will do with the job; nothing is changed."""
    token, service = request.path_value("token"), request.console.engine.service
    job = service.job(token, request.by)
    if action not in actions(job, request.by):
        return render(request, "jobs/confirm.html", 409, action=action, job=job, late=late(job), **_NOTHING)
    planned = service.plan_retry(token, request.by, _first(request)) if action is JobAction.RETRY else []
    deliveries = [one for one in service.deliveries(token, request.by) if one.published]
    return render(
        request,
        "jobs/confirm.html",
        action=action,
        job=job,
        late="",
        planned=planned,
        first=_first_planned(planned),
        delivered=deliveries,
        unfinished=is_unfinished(job),
        short_name=short_name,
    )


def do(action: JobAction, request: ConsoleRequest) -> Response:
    """Do it, and lead to the job, or to the new one that came of it; a job that was changed meanwhile says so."""
    token = request.path_value("token")
    try:
        return _do(action, token, request)
    except (JobNotFound, WrongState):
        job = request.console.engine.service.job(token, request.by)
        return see_other(f"/jobs/{job.token}", late(job))


def cancel_in(seconds: float, service: PostScanService, token: str, by: Principal) -> Job | None:
    """Cancel a job, and wait at most so long for its filters to stop; return the job, None if they have not yet.

    The cancel is stored when this returns. Raises as `PostScanService.cancel`.
    """
    until = time.monotonic() + seconds
    steps = service.cancel_steps(token, by)
    try:
        wait = next(steps)
        while (left := until - time.monotonic()) > 0:
            done, _ = futures.wait([wait.event], min(wait.seconds, left))
            wait = steps.send(bool(done))
    except StopIteration as ended:
        job: Job = ended.value
        return job
    finally:
        steps.close()
    return None


def late(job: Job) -> str:
    """Return why an action came too late, as a sentence."""
    if job.completed is not None:
        return f"It had ended already ({job.state}, {moment(job.completed)})."
    return f"It is {job.state} meanwhile, so nothing was changed."


def _do(action: JobAction, token: str, request: ConsoleRequest) -> Response:
    service, by = request.console.engine.service, request.by
    match action:
        case JobAction.CANCEL:
            return see_other(f"/jobs/{token}", _canceled(cancel_in(CANCEL_SECONDS, service, token, by)))
        case JobAction.HOLD:
            service.hold(token, by)
            return see_other(f"/jobs/{token}", "The job is held until it is released.")
        case JobAction.RELEASE:
            new = service.release(token, by)
            return see_other(
                f"/jobs/{new}", "The job was released." if new == token else "This job has the images now."
            )
        case JobAction.RETRY:
            return see_other(f"/jobs/{service.retry(token, by, _first(request))}", "This is the new job.")
        case JobAction.DISCARD:
            service.discard(token, by)
            return see_other(f"/jobs/{token}", "The images and the log of the job were removed.")


def _canceled(job: Job | None) -> str:
    if job is None or not job.state.ended:
        return "The cancel is stored. Its filters are being stopped; nothing more will be delivered."
    return "The job is canceled: none of its filters runs any more."


def _first(request: ConsoleRequest) -> int | None:
    """Return the position of the filter from which to retry; None for the first that failed."""
    text = request.value("from") or request.query("from")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 4:
        raise PageError(400, "There is no filter with this number.", "Choose one of the list.")
    return int(text) - 1


def _first_planned(planned: list[PlannedFilter]) -> int:
    """Return the number of the filter from which a plan retries: the first that runs, and not for its documents."""
    return next((one.step.position + 1 for one in planned if one.runs and not one.remakes), 1)


_NOTHING: Final = {
    "planned": [],
    "first": 1,
    "delivered": [],
    "unfinished": False,
    "short_name": short_name,
}
