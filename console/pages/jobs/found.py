"""The list of jobs: a search, page by page, and an action on several of the jobs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.live.regions import stream_url
from postscan.console.pages.jobs import query
from postscan.console.pages.jobs.actions import DONE, cancel_in
from postscan.console.pages.jobs.query import SearchForm
from postscan.console.rendering import render, see_other
from postscan.console.request import Console, ConsoleRequest
from postscan.core.errors import JobNotFound, Unavailable, WrongState
from postscan.core.model.principal import Principal
from postscan.core.model.process import short_name
from postscan.core.model.states import JobReason, JobState
from postscan.core.service.administration.actions import JobAction, actions
from postscan.core.service.administration.listing import FOUND, MOST_COUNTED, JobGroup, ListedJob

MOST_AT_ONCE: Final = 200
"""Jobs that one form changes."""

SECONDS: Final = 10.0
"""After which a form changes no further job: its thread is needed by others."""

_TAB_LABELS: Final = {"open": "Open", "attention": "Needs attention", "ended": "Ended", "all": "All"}


class FoundRow(NamedTuple):
    """A job of the list, and what the caller may do with it."""

    job: ListedJob
    actions: tuple[JobAction, ...]


class Tab(NamedTuple):
    """A group of jobs: its name, its URL, how many jobs it has (None if they are not counted)."""

    label: str
    url: str
    jobs: int | None
    is_here: bool


def show(request: ConsoleRequest) -> Response:
    """Show the jobs that the caller may see, and that are searched for."""
    form = query.read(request.http.query_params.multi_items())
    return render(
        request,
        "jobs/found.html",
        400 if form.errors else 200,
        live=stream_url("rows", rows=request.http.url.query),
        tabs=_tabs(request, form),
        states=JobState,
        reasons=JobReason,
        most_counted=MOST_COUNTED,
        **region(request.console, request.by, form),
    )


def region(console: Console, by: Principal, form: SearchForm) -> dict[str, Any]:
    """Return the values of `regions/rows.html`: a page of the jobs that a form asks for; none if it has errors."""
    if form.errors:
        return {"rows": [], "form": form, "next_url": "", "searched_to": None, "short_name": short_name}
    found = console.engine.listing.search(by, form.query, form.after, FOUND)
    cursor = found.cursor
    return {
        "rows": [FoundRow(job, actions(job, by)) for job in found.jobs],
        "form": form,
        "next_url": form.url(after=cursor) if cursor is not None else "",
        "searched_to": cursor.created if cursor is not None and len(found.jobs) < FOUND else None,
        "short_name": short_name,
    }


def change(request: ConsoleRequest) -> Response:
    """Do something with each chosen job, after a page that asks for a confirmation."""
    back = query.path(parse_qsl(request.value("back")))
    tokens = list(dict.fromkeys(request.form.get("job", ())))
    if request.value("action") not in [*JobAction]:
        raise PageError(400, "There is no such action.", "Use the buttons of the list.")
    action = JobAction(request.value("action"))
    if not tokens:
        return see_other(back, "Nothing was changed: no job was chosen.")
    if len(tokens) > MOST_AT_ONCE:
        raise PageError(400, f"{len(tokens)} jobs were chosen.", f"Choose at most {MOST_AT_ONCE} at once.")
    if not request.value("confirmed"):
        return render(request, "jobs/confirm_many.html", action=action, tokens=tokens, back=request.value("back"))
    return see_other(back, _change_each(request, action, tokens))


def _tabs(request: ConsoleRequest, form: SearchForm) -> list[Tab]:
    listing = request.console.engine.listing
    counted = {
        group: sum(listing.group_counts(request.by, group).values()) for group in (JobGroup.OPEN, JobGroup.FAILED)
    }
    return [
        Tab(_TAB_LABELS[name], form.url(tab=name), counted.get(group) if group else None, form.tab == name)
        for name, group in query.TABS.items()
    ]


def _change_each(request: ConsoleRequest, action: JobAction, tokens: Sequence[str]) -> str:
    """Change the jobs one after the other; return what came of it as a sentence."""
    clock, done, late, left = request.console.clock, 0, 0, 0
    until = clock.ticks() + SECONDS
    for place, token in enumerate(tokens):
        if clock.ticks() >= until:
            left = len(tokens) - place
            break
        try:
            _change_one(request, action, token)
            done += 1
        except (JobNotFound, WrongState):
            late += 1
        except Unavailable as error:
            return f"{_sentence(action, done, late, len(tokens) - place)} {error}."
    return _sentence(action, done, late, left)


def _change_one(request: ConsoleRequest, action: JobAction, token: str) -> None:
    service, by = request.console.engine.service, request.by
    match action:
        case JobAction.CANCEL:
            cancel_in(0, service, token, by)
        case JobAction.HOLD:
            service.hold(token, by)
        case JobAction.RELEASE:
            service.release(token, by)
        case JobAction.RETRY:
            service.retry(token, by)
        case JobAction.DISCARD:
            service.discard(token, by)


def _sentence(action: JobAction, done: int, late: int, left: int) -> str:
    parts = [f"{done} {DONE[action]}"]
    if late:
        parts.append(f"{late} had ended or changed before")
    if left:
        parts.append(f"{left} left as they are, for lack of time: choose them again")
    return ", ".join(parts) + "."
