"""The ASGI application: each row of the route table behind the guard, with who asks, and errors as pages.

A page is refused as early as possible: by its head (the guard), by who asks, by the right, by the time of the last
proof, by its form. Only then its function is called, in one of a few threads.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from postscan.console.errors import PageError, page_error
from postscan.console.http import body, problems, static_files
from postscan.console.http.authentication import Authentication, IdentifiedCaller, address_of, no_token
from postscan.console.http.cookies import Cookies, form_token
from postscan.console.http.guard import Guard
from postscan.console.http.threads import CALLERS, LOGINS, PAGES, SLOW, PageThreads
from postscan.console.live.regions import Region
from postscan.console.metrics import ConsoleMetrics
from postscan.console.pages.regions import REGIONS, live_updates
from postscan.console.rendering import HtmlPage, SeeOther, environment, render, safe_path, see_other
from postscan.console.request import ANONYMOUS, Console, ConsoleRequest, ConsoleRoute, is_api
from postscan.console.routes import ROUTES
from postscan.console.state.examinations import Examinations, of_settings
from postscan.core.engine import Engine
from postscan.core.settings.console import is_in
from postscan.soap.http.body import ClientDisconnected

log = logging.getLogger(__name__)

FIELD: Final = "csrf"
LONGEST_SECRET: Final = 128  # characters of a cookie that is looked at


def create_app(
    engine: Engine,
    rows: Sequence[ConsoleRoute] = ROUTES,
    regions: Mapping[str, Region] = REGIONS,
    *,
    settings_file: Path | None = None,
    examinations: Examinations | None = None,
) -> Guard:
    """Return the ASGI application of the console on an engine; close it before the server stops.

    *settings_file* has the settings of the engine; None: no file. *examinations* check the installation; None: as the
    settings say, without a Probe.
    """
    authentication = Authentication(engine)
    examinations = examinations or of_settings(settings_file or engine.settings, engine.clock)
    console = Console(engine, rows, environment(), authentication, examinations, settings_file)
    front = FrontOfPages(console, authentication)
    routes: list[BaseRoute] = [static_files.route()]
    routes += [Route(row.path, PageEndpoint(row, front), methods=[row.method]) for row in console.routes]
    app = Starlette(routes=routes, exception_handlers={HTTPException: front.not_served, PageError: front.not_served})
    app.router.redirect_slashes = False
    app.state.live = live = live_updates(console, regions)
    return Guard(app, console.settings, live.close)


class PageEndpoint:
    """One row of the route table as an ASGI application."""

    def __init__(self, row: ConsoleRoute, front: FrontOfPages) -> None:
        self._row = row
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begin = time.monotonic()
        response = await self._front.respond(self._row, Request(scope, receive))
        self._front.metrics.count(response.status_code, time.monotonic() - begin)
        try:
            await response(scope, receive, send)
        except OSError as error:  # the connection is closed
            log.info("client disconnected before the response", extra={"reason": str(error)})


class FrontOfPages:
    """What all pages have in front of them."""

    def __init__(self, console: Console, authentication: Authentication) -> None:
        self.metrics = ConsoleMetrics.of(console)
        self._console = console
        self._authentication = authentication
        self._cookies = Cookies(console.settings)
        self._callers, self._pages, self._logins = PageThreads(CALLERS), PageThreads(PAGES), PageThreads(LOGINS)
        self._slow = PageThreads(SLOW)

    async def respond(self, row: ConsoleRoute, http: Request) -> Response:
        """Return the response to a request for this row; errors are pages, or problem documents for programs."""
        request = self._bare(http)
        try:
            request = await self._identified(row, http)
            response = self._refusal(row, request) or await self._answered(row, request)
        except ClientDisconnected:
            return Response(status_code=400)  # not received by the client
        except Exception as error:  # noqa: BLE001  (logged, if it is a defect)
            response = self._error(error, request)
        self._finish(response, request)
        return response

    async def not_served(self, http: Request, error: Exception) -> Response:
        """Return the response for an unknown path, for a method that a path does not have, and for static files."""
        if isinstance(error, HTTPException):
            error = _of_router(error)
        return self._error(error, self._bare(http))

    # --- who asks, and what for ----------------------------------------------------------------------------------

    async def _identified(self, row: ConsoleRoute, http: Request) -> ConsoleRequest:
        """Return the request with who asks; anonymous if the request proves nothing."""
        secret = self._cookies.session(http)[:LONGEST_SECRET]
        address = address_of(http, self._console.options.proxy)
        if row.is_api and row.is_write:
            secret = ""  # a token alone: a browser sends a cookie for pages of others, too
        asks = secret or (row.is_api and "authorization" in http.headers)
        caller = await self._callers.run(address, self._caller, row, http, secret, address) if asks else None
        if caller is None:
            return self._bare(http)
        http.state.session_secret = secret if caller.session is not None else ""
        return ConsoleRequest(
            http=http,
            by=caller.by,
            session=caller.session,
            console=self._console,
            form_token=form_token(secret),
            address=address,
            notice=self._cookies.notice(http),
        )

    def _caller(self, row: ConsoleRoute, http: Request, secret: str, address: str) -> IdentifiedCaller | None:
        return self._authentication.caller(http, secret, address, by_token=row.is_api, active=not row.background)

    def _bare(self, http: Request) -> ConsoleRequest:
        """Return the request of a client that proves nothing; its forms depend on a secret of their own."""
        secret = self._cookies.form_secret(http)[:LONGEST_SECRET] or secrets.token_urlsafe(32)
        http.state.form_secret = secret
        return ConsoleRequest(
            http=http,
            by=ANONYMOUS,
            session=None,
            console=self._console,
            form_token=form_token(secret),
            address=address_of(http, self._console.options.proxy),
            notice=self._cookies.notice(http),
        )

    def _refusal(self, row: ConsoleRoute, request: ConsoleRequest) -> Response | None:
        """Return why this caller does not get the page; None if it does. Raises `PageError`."""
        if row.public or self._is_open(row, request):
            return None
        if request.by is ANONYMOUS:
            if row.is_api:
                raise no_token()
            return see_other("/login" + ("" if row.is_write else f"?next={_asked(request.http)}"))
        if row.right is not None:
            request.require(row.right)
        if row.confirm and not request.is_confirmed:
            return see_other(f"/login/confirm?next={_asked_or_before(row, request.http)}", _to_confirm(row))
        return None

    def _is_open(self, row: ConsoleRoute, request: ConsoleRequest) -> bool:
        """Return whether anyone at the address of this request may ask."""
        return row.open_to is not None and is_in(request.address, row.open_to(self._console.options))

    async def _answered(self, row: ConsoleRoute, request: ConsoleRequest) -> Response:
        """Read the form, and call the page's function in a thread. Raises `PageError` without the token of forms."""
        if row.is_write:
            request = await self._with_body(row, request)
        if row.public:
            return await self._logins.run(request.address, row.function, request)
        threads = self._slow if row.slow else self._pages
        return await threads.run(f"{request.by.proof}:{request.by.name}", row.function, request)

    async def _with_body(self, row: ConsoleRoute, request: ConsoleRequest) -> ConsoleRequest:
        data = await body.read(request.http, self._console.settings.server)
        if row.is_api:
            return replace(request, body=data)
        form = body.fields(request.http, data)
        sent = form.pop(FIELD, [])
        if len(sent) != 1 or not secrets.compare_digest(sent[0].encode(), request.form_token.encode()):
            remedy = "Nothing was changed. Go back, load the page again, then send it again."
            raise PageError(403, "The form is too old, or is not from this console.", remedy)
        return replace(request, form=form)

    # --- responses -----------------------------------------------------------------------------------------------

    def _error(self, error: Exception, request: ConsoleRequest) -> Response:
        found, reference = page_error(error), ""
        if found is None:
            reference = secrets.token_hex(6)
            log.error("internal error of the console", extra={"reference": reference}, exc_info=error)
            found = PageError(500, "The console has failed.", "Nothing is known about the cause but what its log says.")
        if is_api(request.http.url.path):
            return problems.problem(found, request.http.url.path, reference)
        values = {"what": found.what, "remedy": found.remedy, "status": found.status, "reference": reference}
        page = render(request, "error.html", found.status, **values)
        page.headers.update(problems.fields(found))
        return page

    def _finish(self, response: Response, request: ConsoleRequest) -> None:
        """Set the cookies that go with a response: the notice, and the secret of forms before there is a session."""
        if isinstance(response, SeeOther) and response.notice:
            self._cookies.set_notice(response, response.notice)
        elif isinstance(response, HtmlPage) and request.notice:
            self._cookies.end_notice(response)
        if isinstance(response, SeeOther | HtmlPage):
            self._begin_or_end(response)
        secret = getattr(request.http.state, "form_secret", "")
        if (
            isinstance(response, HtmlPage)
            and request.session is None
            and secret != self._cookies.form_secret(request.http)
        ):
            self._cookies.set_form_secret(response, secret)

    def _begin_or_end(self, response: SeeOther | HtmlPage) -> None:
        if response.session:
            self._cookies.set_session(response, response.session)
        elif response.session == "":
            self._cookies.end_session(response)


def _asked(http: Request) -> str:
    """Return the path and the query of a request, for a field `next`."""
    query = f"?{http.url.query}" if http.url.query else ""
    return quote(safe_path(http.url.path + query), safe="")


def _asked_or_before(row: ConsoleRoute, http: Request) -> str:
    """Return where to go after a proof: the page that was asked for, or the one with the form that was sent."""
    if not row.is_write:
        return _asked(http)
    referer = http.headers.get("referer", "")
    own = f"{http.headers.get('origin', '')}/"
    return quote(safe_path("/" + referer.removeprefix(own)) if referer.startswith(own) else "/", safe="")


def _to_confirm(row: ConsoleRoute) -> str:
    return "Nothing was changed yet: prove first that it is you, then send the form again." if row.is_write else ""


def _of_router(error: HTTPException) -> PageError:
    if error.status_code == 405:
        return PageError(405, "This page does not take such a request.", "Use the forms of the console.")
    return PageError.not_found()
