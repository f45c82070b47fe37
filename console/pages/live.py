"""The stream of a page that is open in a browser, and its replacement for pages that get none: the same by polls."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import JSONResponse, Response

from postscan.console.errors import PageError
from postscan.console.live.regions import MOST, MOST_CHARACTERS, SERVER, RegionKey, group_of
from postscan.console.live.stream import EventStream
from postscan.console.live.updates import LiveUpdates
from postscan.console.request import ConsoleRequest


def stream(request: ConsoleRequest) -> Response:
    """Return server-sent events with the regions that the URL names; 204 if there are too many streams."""
    opened = _live(request).open(request.by, request.secret, _keys(request))
    return Response(status_code=204) if opened is None else EventStream(opened)


def newest(request: ConsoleRequest) -> Response:
    """Return the same regions once, as a list in JSON."""
    return JSONResponse([rendering.html for rendering in _live(request).newest(request.by, _keys(request))])


def _live(request: ConsoleRequest) -> LiveUpdates:
    live = request.http.app.state.live
    assert isinstance(live, LiveUpdates)
    return live


def _keys(request: ConsoleRequest) -> Sequence[RegionKey]:
    """Return the regions of the URL: each `region` once, with the argument that the URL has under its name."""
    fields = request.http.query_params
    names = list(dict.fromkeys(fields.getlist("region")))
    arguments = {name: fields.get(name, "") for name in [SERVER, *names]}
    are_offered = all(_live(request).offers(name, request.by) for name in names)
    if not are_offered or not 0 < len(names) <= MOST or any(len(one) > MOST_CHARACTERS for one in arguments.values()):
        raise PageError(400, "No page has such a part.")
    group = group_of(request.by)
    return [RegionKey(group, name, argument) for name, argument in arguments.items()]
