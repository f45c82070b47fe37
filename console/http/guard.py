"""The guard in front of all pages: which names and origins are ours, and the fields of each response.

A request for another name of the host is refused (DNS rebinding), and a write from a page of another origin
(T-C1, T-C2). RFC 9110 section 15.5.20 (421); https://www.w3.org/TR/CSP3/; https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from postscan.console.errors import PageError
from postscan.console.http.problems import problem
from postscan.console.request import is_api
from postscan.core.settings import Settings

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types postscan"
)
FIELDS: Final = {
    "content-security-policy": CSP,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",  # with no-referrer, browsers send `Origin: null` with our own forms
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
HSTS: Final = "max-age=31536000"
SAFE: Final = frozenset({"GET", "HEAD"})


class Guard:
    """An ASGI application that lets through what may reach the pages, and completes their responses.

    `close` ends the responses that would not end by themselves.
    """

    def __init__(self, app: ASGIApp, settings: Settings, close: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self.close = close
        self._public = urlsplit(settings.console.public_url)
        self._scheme = "https" if settings.console_uses_tls else "http"
        self._fields = dict(FIELDS)
        if settings.console_is_https:
            self._fields["strict-transport-security"] = HSTS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(MutableHeaders(scope=message))
            await send(message)

        error = self._refusal(scope["method"], scope["path"], Headers(scope=scope))
        app: ASGIApp = self._app if error is None else _refused(scope["path"], error)
        await app(scope, receive, complete)

    def _complete(self, headers: MutableHeaders) -> None:
        """Add the fields that the page has not set itself."""
        for name, value in self._fields.items():
            headers.setdefault(name, value)
        headers.setdefault("cache-control", "no-store")

    def _refusal(self, method: str, path: str, headers: Headers) -> PageError | None:
        hosts = headers.getlist("host")
        origin = self._origin(hosts[0]) if len(hosts) == 1 else None
        if origin is None:
            what = "The console is not known by this name."
            return PageError(421, what, "Use its own address, or set console.public_url to this one.")
        if method in SAFE:
            return None
        if not _is_ours(headers, origin, may_lack=is_api(path)):
            return PageError(403, "The request comes from a page of another site.", "Use the forms of the console.")
        return None

    def _origin(self, host: str) -> str | None:
        """Return our origin for this Host field (scheme, name, port); None if the name is not ours."""
        host = host.lower()
        if self._public.netloc and host == _without_default(self._public.netloc.lower(), self._public.scheme):
            return f"{self._public.scheme}://{host}"
        return f"{self._scheme}://{host}" if _is_loopback(host) else None


def _is_ours(headers: Headers, origin: str, *, may_lack: bool) -> bool:
    """Return whether a write comes from a page of this origin; programs may send no origin, since they send a token."""
    sent = headers.getlist("origin")
    if sent != [origin] and not (may_lack and not sent):
        return False
    return headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _without_default(netloc: str, scheme: str) -> str:
    """Return host and port as browsers send them: without the port that the scheme has anyway."""
    return netloc.removesuffix(":443" if scheme == "https" else ":80")


def _is_loopback(host: str) -> bool:
    """Return whether a Host field names this machine by a loopback name; any port, since tunnels have other ones."""
    try:
        parts = urlsplit(f"//{host}")
        name, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.netloc != host or parts.username is not None or parts.path:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refused(path: str, error: PageError) -> Response:
    if is_api(path):
        return problem(error, path)
    return PlainTextResponse(f"{error.what}\n{error.remedy}\n", error.status, {"connection": "close"})
