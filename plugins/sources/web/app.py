"""The application: routes, who may, and errors as statuses.

Every refusal is a status with one sentence, as JSON. A request is refused as early as possible: by its sender, by its
head, and then by its body.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from postscan.plugins import Busy, SourceContext
from postscan.plugins.sources.web.access import Access, address_of
from postscan.plugins.sources.web.body import BodyLimits, HttpRefused, RequestBody, SenderGone
from postscan.plugins.sources.web.dav.files import FileTable
from postscan.plugins.sources.web.dav.listing import Listing
from postscan.plugins.sources.web.dav.locks import LockTable
from postscan.plugins.sources.web.dav.methods import METHODS, OPTIONS, FileMethods
from postscan.plugins.sources.web.exchange import Exchange
from postscan.plugins.sources.web.paths import RESERVED, BadPath, DestinationFolders, parse
from postscan.plugins.sources.web.transfer import Transfer
from postscan.plugins.sources.web.upload.incoming import Incoming
from postscan.plugins.sources.web.upload.jobs import Jobs, busy_response

Handler = Callable[[Exchange], Awaitable[Response]]

JSON: Final = "application/json"
LOG_SECONDS: Final = 60.0
MOST_LOGGED: Final = 1000
"""Seconds between two log lines about refused requests of one address with one status, and how many such are known."""

ENDED: Final = frozenset({"Completed", "Aborted", "Canceled"})

_MAKES_JOBS: Final = frozenset({"PUT", "POST", "MOVE"})
_SECURITY: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_INLINE: Final = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


class WebApp:
    """The ASGI application of one inlet. *names* are those by which browsers reach its page."""

    def __init__(
        self,
        inlet: SourceContext,
        limits: BodyLimits,
        *,
        uploads: int,
        temporary: tuple[str, ...],
        names: frozenset[str],
    ) -> None:
        self._inlet = inlet
        self._limits = limits
        self._folders = DestinationFolders(inlet.destinations)
        self._access = Access(inlet, names, time.monotonic)
        self._files = FileTable(time.time, time.monotonic)
        self._jobs = Jobs(inlet)
        self._logged: dict[tuple[str, int], float] = {}
        self._page, self._page_fields = _page()
        locks = LockTable(time.monotonic)
        incoming = Incoming(inlet.workdir, uploads)
        listing = Listing(self._folders, self._files, locks, incoming.available)
        methods = FileMethods(listing, self._files, locks)
        transfer = Transfer(self._folders, self._files, locks, listing, incoming, self._jobs, temporary)
        self._read_file = methods.read
        self._handlers: Mapping[str, Handler] = {
            "GET": self._get,
            "HEAD": self._get,
            "POST": transfer.post,
            "PUT": transfer.put,
            "DELETE": methods.delete,
            "PROPFIND": listing.find,
            "PROPPATCH": listing.patch,
            "MKCOL": methods.make_folder,
            "MOVE": transfer.move,
            "LOCK": methods.lock,
            "UNLOCK": methods.unlock,
        }

    def close(self) -> None:
        """Remove the files that wait for their rename."""
        self._files.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = RequestBody(request, self._limits)
        try:
            response = await self._respond(request, body)
        except SenderGone:
            self._log(request, 400, "the client was gone before its request was complete")
            return
        if not await body.drain():
            response.headers["connection"] = "close"
        for name, value in _SECURITY.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _respond(self, request: Request, body: RequestBody) -> Response:
        try:
            return await self._served(request, body)
        except HttpRefused as refused:
            error = refused
        except Busy as busy:
            error = busy_response(busy)
        except SenderGone:
            raise
        except Exception as unexpected:  # noqa: BLE001  (one request fails, the others are served)
            self._inlet.log("request failed", "error", reason=f"{type(unexpected).__name__}: {unexpected}")
            error = HttpRefused(500, "an internal error; the file was not taken", {"connection": "close"})
        is_question = error.status == 401 and "authorization" not in request.headers
        if error.status != 404 and not is_question:
            self._log(request, error.status, str(error))
        return Response(
            json.dumps({"error": str(error)}), status_code=error.status, media_type=JSON, headers=error.headers
        )

    async def _served(self, request: Request, body: RequestBody) -> Response:
        if request.method == "OPTIONS":
            return Response(headers=OPTIONS)
        try:
            path = parse(request.scope["raw_path"])
        except BadPath as error:
            raise HttpRefused(400, str(error)) from None
        handler = self._handlers.get(request.method)
        if handler is None:
            raise HttpRefused(405, f"expected one of {', '.join(METHODS)}", {"allow": ", ".join(METHODS)})
        _check_framing(request)
        is_reserved = bool(path.parts) and path.parts[0] in RESERVED
        self._access.check_page(request, is_page_only=is_reserved)
        caller = await self._access.caller(request, is_fresh=request.method in _MAKES_JOBS)
        exchange = Exchange(request, path, caller, body)
        if is_reserved:
            return await self._reserved(exchange)
        return await handler(exchange)

    async def _get(self, exchange: Exchange) -> Response:
        """Return the page for the root and for the folder of a destination, else what is known of a file."""
        path = exchange.path
        if len(path.parts) < 2:
            if path.parts and self._folders.find(path.parts[0]) is None:
                raise HttpRefused(404, f"there is no destination {path.parts[0]!r}")
            return Response(self._page, media_type="text/html; charset=utf-8", headers=self._page_fields)
        return self._read_file(exchange)

    async def _reserved(self, exchange: Exchange) -> Response:
        """Return what the page asks for: the destinations, or the state of a job."""
        if exchange.request.method not in ("GET", "HEAD"):
            raise HttpRefused(405, "expected GET", {"allow": "GET, HEAD"})
        match exchange.path.parts:
            case ("destinations",):
                shown = [{"label": one.label, "folder": f"/{name}/"} for name, one in self._folders.by_name.items()]
                return _json({"destinations": shown, "most_bytes": self._limits.most_bytes})
            case ("jobs", name):
                token, status = await to_thread.run_sync(self._jobs.status, exchange.caller, name)
                return _json(
                    {
                        "job": token,
                        "state": status.state,
                        "reasons": list(status.reasons),
                        "ended": status.state in ENDED,
                    }
                )
        raise HttpRefused(404, "there is nothing at this address")

    def _log(self, request: Request, status: int, reason: str) -> None:
        """Log a refused request; of one address and one status, one in a minute."""
        now = time.monotonic()
        key = (address_of(request), status)
        if self._logged.get(key, 0.0) > now:
            return
        self._logged.pop(key, None)
        self._logged[key] = now + LOG_SECONDS
        while len(self._logged) > MOST_LOGGED:
            del self._logged[next(iter(self._logged))]
        self._inlet.log("request refused", "info", source=key[0], status=status, reason=reason)


def _check_framing(request: Request) -> None:
    """Raise `HttpRefused` for a head whose end of body another server could see elsewhere (RFC 9112 section 6.3)."""
    names = [name for name, _ in request.scope["headers"]]
    if b"transfer-encoding" in names and b"content-length" in names:
        raise HttpRefused(400, "both Transfer-Encoding and Content-Length", {"connection": "close"})


def _json(value: object) -> Response:
    return Response(json.dumps(value), media_type=JSON)


def _page() -> tuple[bytes, dict[str, str]]:
    """Return the page, and its fields: it may load nothing, and run only the script and style that stand in it."""
    page = (Path(__file__).parent / "page.html").read_bytes()
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        hashes[kind.decode()].append(f"'sha256-{digest}'")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(hashes['script'])}",
            f"style-src {' '.join(hashes['style'])}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return page, {"content-security-policy": policy, "x-frame-options": "DENY"}
