"""Callers and what they have done lately, subscriptions with their backlogs, and sources, which start and stop here."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime
from typing import Final, NamedTuple

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.rendering import render, see_other
from postscan.console.request import ConsoleRequest
from postscan.core.errors import SubscriptionNotFound
from postscan.core.model.subscription import Subscription
from postscan.core.service.administration.callers import CallerActivity
from postscan.core.service.subscriptions import Backlog

PATH: Final = "/devices"

MOST_CALLERS: Final = 200
MOST_SUBSCRIPTIONS: Final = 25
BACKLOG_SECONDS: Final = 0.2
"""For how long a page counts what waits for its subscribers."""

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class ListedSubscription(NamedTuple):
    """A subscription with what waits for its subscriber, None if not counted, and the seconds until it expires."""

    subscription: Subscription
    backlog: Backlog | None
    seconds: float


def show(request: ConsoleRequest) -> Response:
    """Return the page; subscriptions are shown a page at a time."""
    console = request.console
    recent = console.engine.callers.all(request.by)
    callers = sorted(recent.callers, key=_newest_first)
    subscriptions, next_one = _subscriptions(request)
    return render(
        request,
        "administration/devices.html",
        recent=recent,
        callers=callers[:MOST_CALLERS],
        left_out=max(0, len(callers) - MOST_CALLERS),
        subscriptions=subscriptions,
        next_url=f"{PATH}?subscription={next_one}#subscriptions" if next_one else "",
        first_url=f"{PATH}#subscriptions" if request.query("subscription") else "",
        sources=console.engine.inlets.statuses(request.by),
    )


def confirm_end(request: ConsoleRequest) -> Response:
    """Return the page that says whose subscription would be ended."""
    id = request.path_value("id")
    found = next((one for one in request.console.engine.subscriptions.all(request.by) if one.id == id), None)
    if found is None:
        raise SubscriptionNotFound(id)
    return render(request, "administration/subscription_end.html", listed=_listed(request, found))


def end(request: ConsoleRequest) -> Response:
    """End a subscription; its subscriber is told by the server."""
    ended = request.console.engine.subscriptions.cancel(request.path_value("id"), request.by)
    told = "; the server tells the subscriber" if ended.end_to else ""
    return see_other(f"{PATH}#subscriptions", f"The subscription of {ended.owner.name} has ended{told}.")


def start(request: ConsoleRequest) -> Response:
    """Let an inlet run that was stopped or is in quarantine."""
    name = _inlet(request)
    request.console.engine.inlets.start(name, request.by)
    return see_other(f"{PATH}#sources", f"{name} is started.")


def stop(request: ConsoleRequest) -> Response:
    """Let an inlet end until it is started again."""
    name = _inlet(request)
    request.console.engine.inlets.stop(name, request.by)
    return see_other(f"{PATH}#sources", f"{name} is stopped; its open jobs have the time that its source gives them.")


def scan(request: ConsoleRequest) -> Response:
    """Order a scan of an inlet whose source fetches scans."""
    name = _inlet(request)
    request.console.engine.inlets.scan(name, request.value("destination"), request.by)
    return see_other(f"{PATH}#sources", f"A scan of {name} is ordered.")


def _inlet(request: ConsoleRequest) -> str:
    """Return the name of the inlet in the path; raise `PageError` (404) if the settings have none of that name."""
    name = request.path_value("name")
    if name not in request.console.settings.sources:
        raise PageError.not_found()
    return name


def _newest_first(caller: CallerActivity) -> tuple[float, int, str]:
    last = caller.last_job or _LONG_AGO
    return (-(last - _LONG_AGO).total_seconds(), -caller.refusals, caller.name)


def _subscriptions(request: ConsoleRequest) -> tuple[list[ListedSubscription], str]:
    """Return the subscriptions of this page, and the identifier of the first one of the next, "" if there is none."""
    first = request.query("subscription")
    found = (one for one in request.console.engine.subscriptions.all(request.by) if one.id >= first)
    page = list(itertools.islice(found, MOST_SUBSCRIPTIONS + 1))
    next_one = page[MOST_SUBSCRIPTIONS].id if len(page) > MOST_SUBSCRIPTIONS else ""
    until = request.console.clock.ticks() + BACKLOG_SECONDS
    return [_listed(request, one, until) for one in page[:MOST_SUBSCRIPTIONS]], next_one


def _listed(request: ConsoleRequest, one: Subscription, until: float = math.inf) -> ListedSubscription:
    """Return what the page shows of a subscription; its backlog is not counted after the tick *until*."""
    subscriptions = request.console.engine.subscriptions
    is_late = request.console.clock.ticks() >= until
    backlog = None if is_late else subscriptions.backlog(one.scope, one.cursor)
    return ListedSubscription(one, backlog, subscriptions.left(one))
