"""HTTP calls to the hosts of the settings and to no other: a cancel ends them, and a busy host is called again.

The environment does not change a call, redirects are not followed, and cookies are not kept (T-F6, I30).
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from postscan.plugins import CancellationToken, FilterContext, FilterFailed
from postscan.plugins.retries import Attempts, TryAgainLater, attempts, growing_pauses

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

CONNECT_SECONDS: Final = 3.0  # for one attempt to connect, which a cancel cannot interrupt
LEEWAY: Final = 2.0  # seconds that a commit, or clearing up, may take after the cancel
BUSY: Final = frozenset({408, 423, 429, 502, 503, 504})
_LARGEST: Final = 1 << 20  # bytes of a response body that are kept
_PAUSES: Final = growing_pauses(0.2, factor=2, longest=5.0)  # seconds: 0.2, 0.4, 0.8 ... 5
_DELETE_PAUSE: Final = 0.2  # seconds between two attempts to delete


class HttpResponse(NamedTuple):
    """A response: the status, the headers by lower-case name, and the body or the first MiB of a larger one."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def table(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is not one."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.body)
            return found if isinstance(found, dict) else {}
        return {}


class HttpSession:
    """HTTP calls to a few hosts, for one run of a filter.

    `origins` are those that may be called, in the form of `origin`. `seconds` is the longest wait for a silent or busy
    host. `busy` are the statuses after which a call is repeated. Raises `FilterFailed` if the file of CA certificates
    cannot be used.
    """

    def __init__(
        self,
        job: FilterContext,
        origins: Iterable[str],
        *,
        seconds: float,
        ca_file: str = "",
        headers: Mapping[str, str] | None = None,
        busy: frozenset[int] = BUSY,
    ) -> None:
        import httpx2

        self._job = job
        self._origins = frozenset(origins)
        self._seconds = seconds
        self._headers = {"User-Agent": "postscan", "Accept-Encoding": "identity", **(headers or {})}
        self._busy = busy
        self._transport = httpx2.HTTPTransport(verify=_tls_context(self._origins, ca_file), trust_env=False)
        self._abort = _CallAbort(job.token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()

    def call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        *,
        into: Callable[[bytes], object] | None = None,
        timeout: float | None = None,
    ) -> HttpResponse:
        """Send one request and return the response, whatever its status; raise `TryAgainLater` for a busy status.

        *content* in pieces needs a Content-Length among the *headers*. The body of a response with status 200 goes to
        the function *into* if there is one. *timeout* replaces the session's `seconds`. Raises `Cancelled` if the job
        is cancelled meanwhile, and `FilterFailed` for a host that is not one of the session's.
        """
        import httpx2

        if origin(url) not in self._origins:
            known = ", ".join(sorted(self._origins))
            raise FilterFailed(detail=f"a call would have gone to {origin(url)}; the settings name only {known}")
        longest = self._seconds if timeout is None else timeout
        request = httpx2.Request(
            method,
            url,
            headers={**self._headers, **(headers or {})},
            content=content,
            extensions={"trace": self._abort.trace, "timeout": _timeouts(longest)},
        )
        try:
            with self._abort.during_call():
                response = self._receive(request, into)
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise _transport_failure(url, error) from None  # the library's text may contain the URL and its secrets
        if response.status in self._busy:
            detail = f"{origin(url)} answered {method} with {response.status}"
            raise TryAgainLater(detail, after=_retry_after(response))
        return response

    def _receive(self, request: httpx2.Request, into: Callable[[bytes], object] | None) -> HttpResponse:
        response = self._transport.handle_request(request)
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = bytearray()
        with contextlib.closing(response):
            for piece in response.iter_raw():
                self._job.token.check()
                if into and response.status_code == 200:
                    into(piece)
                elif len(body) < _LARGEST:
                    body += piece
        return HttpResponse(response.status_code, headers, bytes(body[:_LARGEST]))

    def attempts(self) -> Attempts:
        """Return the attempts of one operation on these hosts; see `postscan.plugins.retries`."""
        return attempts(self._job, _PAUSES, seconds=self._seconds)

    def with_retries(self, step: Callable[[], T]) -> T:
        """Return the result of *step*, after several attempts if need be; raise `FilterFailed` after the last one."""
        return self.attempts()(step)

    def committing(self) -> contextlib.AbstractContextManager[None]:
        """Let the calls of the body go on for `LEEWAY` seconds after the cancel, as `FilterContext.publish` does."""
        return self._abort.delayed()

    def delete(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Delete what a failed or cancelled operation has left; do not raise if that fails.

        There are a few attempts within `LEEWAY` seconds. After a 404 there is one more: the host may still be
        storing the request that was aborted.
        """
        until = time.monotonic() + LEEWAY
        missing = False
        with self._job.token.shield(), self._abort.delayed(), contextlib.suppress(FilterFailed):
            while (left := until - time.monotonic()) > 0:
                with contextlib.suppress(TryAgainLater):
                    if self.call("DELETE", url, headers, timeout=left).status != 404 or missing:
                        return
                    missing = True
                time.sleep(_DELETE_PAUSE)


class _CallAbort:
    """Ends a call at the cancel: shuts down the socket on which the call waits."""

    def __init__(self, token: CancellationToken) -> None:
        self._token = token
        self._sockets: list[socket.socket] = []
        self._leeway = 0.0
        self._cancelled_at: float | None = None
        self._finished = threading.Event()
        self._shut = False

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket of a new connection; httpx2 calls this for each step of a request."""
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        self._sockets = [one for one in self._sockets if one.fileno() >= 0]
        self._sockets.append(info["return_value"].get_extra_info("socket"))
        if self._shut:
            self._shut_down()

    @contextlib.contextmanager
    def during_call(self) -> Iterator[None]:
        """Let the cancel end the call in the body."""
        self._shut = False
        self._finished.clear()
        with self._token.calling(self._stop):
            try:
                yield
            finally:
                self._finished.set()

    @contextlib.contextmanager
    def delayed(self) -> Iterator[None]:
        """Let the calls of the body go on for `LEEWAY` seconds after the cancel."""
        before, self._leeway, self._cancelled_at = self._leeway, LEEWAY, None
        try:
            yield
        finally:
            self._leeway = before

    def _stop(self) -> None:
        """End the call; the token calls this at the cancel, in another thread."""
        if self._leeway:
            now = time.monotonic()
            began = self._cancelled_at = now if self._cancelled_at is None else self._cancelled_at
            if self._finished.wait(began + self._leeway - now):
                return
        self._shut = True
        self._shut_down()

    def _shut_down(self) -> None:
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: it drops the TLS state that another thread is using.
                socket.socket.shutdown(one, socket.SHUT_RDWR)


def origin(url: str) -> str:
    """Return scheme, host and port of a URL: they decide whether it may be called."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port}"


def check_reachable(url: str, ca_file: str = "") -> None:
    """Connect to the host of a URL, with TLS if it is https, and close the connection without a request.

    Raises `FilterFailed` with the origin; the rest of the URL may contain a secret and is left out.
    """
    there, parts = origin(url), urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    context = _tls_context([there], ca_file)
    try:
        with socket.create_connection((str(parts.hostname), port), CONNECT_SECONDS) as connection:
            if parts.scheme == "https":
                context.wrap_socket(connection, server_hostname=parts.hostname).close()
    except ssl.SSLCertVerificationError as error:
        raise FilterFailed(detail=f"{there}: its certificate is not accepted: {error.verify_message}") from None
    except OSError as error:
        raise FilterFailed(detail=f"{there} cannot be reached: {error.strerror or error}") from None


def _timeouts(seconds: float) -> dict[str, float]:
    return {"connect": min(CONNECT_SECONDS, seconds), "read": seconds, "write": seconds, "pool": seconds}


def _tls_context(origins: Iterable[str], ca_file: str) -> ssl.SSLContext:
    if not any(one.startswith("https:") for one in origins):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts no CA, and saves reading the system's list
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise FilterFailed(detail=f"ca_file {ca_file} cannot be used: {error.strerror or error}") from error


def _transport_failure(url: str, error: Exception) -> TryAgainLater | FilterFailed:
    """Return the error for a call without a response; a certificate that is refused is refused for good."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FilterFailed(detail=f"{origin(url)}: its certificate is not accepted: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__
    return TryAgainLater(f"{origin(url)} does not answer ({type(error).__name__})", answered=False)


def _retry_after(response: HttpResponse) -> float | None:
    """Return the seconds of Retry-After, which may be a date; None if it is missing or malformed."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text[:9])
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds())
    return None
