"""Calls over HTTP: to the hosts of the settings and to no other, ended by a cancel, and patient with a busy host.

Nothing is taken from the environment, no redirect is followed, and no cookie is kept: a call goes to the address that
it was given, or nowhere (T-F6, I30).
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

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

CONNECTING: Final = 3.0  # seconds for one try to connect, which no cancel can interrupt
LEEWAY: Final = 2.0  # seconds that a commit, or clearing up, may take after the cancel
BUSY: Final = frozenset({408, 423, 429, 502, 503, 504})
_LARGEST: Final = 1 << 20  # bytes of an answer that are kept
_PAUSE: Final = (0.2, 5.0)  # seconds before the first try again, and at most; each is twice the one before


class HttpResponse(NamedTuple):
    """What a host said: the status, the headers by lower-case name, and the body, or the beginning of a large one."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def table(self) -> dict[str, Any]:
        """The body as a JSON object; empty if it is none."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.body)
            return found if isinstance(found, dict) else {}
        return {}


class TryAgainLater(Exception):
    """The call did not work, but the same call may work later.

    `after` is how many seconds the host asked for. `answered` is False if no answer came: then nobody knows whether
    the host has done what it was asked.
    """

    def __init__(self, why: str, *, after: float | None = None, answered: bool = True) -> None:
        super().__init__(why)
        self.after = after
        self.answered = answered


class Patience:
    """How long a host is waited for: `seconds` from its first excuse to its last, unless it gets on in between."""

    def __init__(self, job: FilterContext, seconds: float) -> None:
        self._job = job
        self._seconds = seconds
        self.relieve()

    def relieve(self) -> None:
        """Begin anew: the host has done something."""
        self._since: float | None = None
        self._pause = _PAUSE[0]

    def wait(self, busy: TryAgainLater) -> None:
        """Wait until it is worth trying again; raise `FilterFailed` if that would be too late."""
        now = time.monotonic()
        since = self._since = now if self._since is None else self._since
        pause = self._pause if busy.after is None else busy.after
        self._pause = min(2 * self._pause, _PAUSE[1])
        if now + pause - since > self._seconds:
            asked = "" if busy.after is None else f"; it wants to be asked again in {busy.after:g} s"
            raise FilterFailed(detail=f"{busy}{asked}; given up after {now - since:.0f} of {self._seconds:g} s")
        self._job.log(f"{busy}; trying again in {pause:g} s", "warning")
        self._job.token.wait(pause)
        self._job.token.check()


class HttpSession:
    """The way to a few hosts, for one run of a filter.

    `origins` are those that may be called, as `origin` spells them. `seconds` is how long a silent or busy host is
    waited for. `busy` are the statuses that mean: later. Raises `FilterFailed` if the file of certificates cannot be
    used.
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
        self._transport = httpx2.HTTPTransport(verify=_trust(self._origins, ca_file), trust_env=False)
        self._cut = _Cut(job.token)

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
        """Ask once and return the answer, whatever it is, unless it means: later. Then raise `TryAgainLater`.

        *content* that comes in pieces needs a Content-Length among its *headers*. A good answer's body goes *into* a
        function if there is one. Raises `Cancelled` if the cancel comes meanwhile.
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
            extensions={"trace": self._cut.watch, "timeout": _timeouts(longest)},
        )
        try:
            with self._cut.ready():
                answer = self._answer(request, into)
        except (httpx2.TransportError, httpx2.StreamError) as error:
            raise _no_answer(url, error) from None  # what the library says may hold the address, and that a secret
        if answer.status in self._busy:
            raise TryAgainLater(f"{origin(url)} answered {method} with {answer.status}", after=_retry_after(answer))
        return answer

    def _answer(self, request: httpx2.Request, into: Callable[[bytes], object] | None) -> HttpResponse:
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

    def patience(self) -> Patience:
        """Return fresh patience with these hosts."""
        return Patience(self._job, self._seconds)

    def patiently(self, step: Callable[[], T]) -> T:
        """Return what *step* returns, after as many tries as it takes; raise `FilterFailed` if it takes too long."""
        patience = self.patience()
        while True:
            try:
                return step()
            except TryAgainLater as busy:
                patience.wait(busy)

    def committing(self) -> contextlib.AbstractContextManager[None]:
        """Let the calls of the body go on for a moment after the cancel, as `FilterContext.publish` does."""
        return self._cut.later()

    def delete(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Clear up after everything failed or was cancelled: a few tries, a moment, and no complaint.

        What is not there is looked for once more: a host may still be taking in what has just been broken off.
        """
        until = time.monotonic() + LEEWAY
        missing = False
        with self._job.token.shield(), self._cut.later(), contextlib.suppress(FilterFailed):
            while (left := until - time.monotonic()) > 0:
                with contextlib.suppress(TryAgainLater):
                    if self.call("DELETE", url, headers, timeout=left).status != 404 or missing:
                        return
                    missing = True
                time.sleep(_PAUSE[0])


class _Cut:
    """What ends a call that waits for its host: the connection is shut down under it."""

    def __init__(self, token: CancellationToken) -> None:
        self._token = token
        self._sockets: list[socket.socket] = []
        self._leeway = 0.0
        self._cancelled_at: float | None = None
        self._over = threading.Event()
        self._shut = False

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of a new connection; the library calls this for each step of a request."""
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        self._sockets = [one for one in self._sockets if one.fileno() >= 0]
        self._sockets.append(info["return_value"].get_extra_info("socket"))
        if self._shut:
            self._shut_down()

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Let the cancel end what the body waits for."""
        self._shut = False
        self._over.clear()
        with self._token.calling(self._stop):
            try:
                yield
            finally:
                self._over.set()

    @contextlib.contextmanager
    def later(self) -> Iterator[None]:
        """Let the cancel end what the body waits for a moment later."""
        before, self._leeway, self._cancelled_at = self._leeway, LEEWAY, None
        try:
            yield
        finally:
            self._leeway = before

    def _stop(self) -> None:
        """Called at the cancel, from another thread."""
        if self._leeway:
            now = time.monotonic()
            began = self._cancelled_at = now if self._cancelled_at is None else self._cancelled_at
            if self._over.wait(began + self._leeway - now):
                return
        self._shut = True
        self._shut_down()

    def _shut_down(self) -> None:
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                # Not the method of an SSLSocket, which would forget its TLS state under the thread that uses it.
                socket.socket.shutdown(one, socket.SHUT_RDWR)


def origin(url: str) -> str:
    """Return scheme, host and port of an address: what decides whether it may be called."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return f"{parts.scheme}://{parts.hostname}:{port}"


def check_reachable(url: str, ca_file: str = "") -> None:
    """Connect to the host of an address, in TLS if that says so, and hang up without a word.

    Raises `FilterFailed` with the host, and never with the rest of the address, which may hold a secret.
    """
    there, parts = origin(url), urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    trust = _trust([there], ca_file)
    try:
        with socket.create_connection((str(parts.hostname), port), CONNECTING) as line:
            if parts.scheme == "https":
                trust.wrap_socket(line, server_hostname=parts.hostname).close()
    except ssl.SSLCertVerificationError as error:
        raise FilterFailed(detail=f"{there} is not believed: {error.verify_message}") from None
    except OSError as error:
        raise FilterFailed(detail=f"{there} cannot be reached: {error.strerror or error}") from None


def _timeouts(seconds: float) -> dict[str, float]:
    return {"connect": min(CONNECTING, seconds), "read": seconds, "write": seconds, "pool": seconds}


def _trust(origins: Iterable[str], ca_file: str) -> ssl.SSLContext:
    if not any(one.startswith("https:") for one in origins):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nobody is trusted, and no list of CAs is read for nothing
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise FilterFailed(detail=f"ca_file {ca_file} cannot be used: {error.strerror or error}") from error


def _no_answer(url: str, error: Exception) -> TryAgainLater | FilterFailed:
    """Return what a broken call means: a certificate that is not believed today will not be believed in a minute."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FilterFailed(detail=f"{origin(url)} is not believed: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__
    why = type(error).__name__
    return TryAgainLater(f"{origin(url)} does not answer ({why})", answered=False)


def _retry_after(answer: HttpResponse) -> float | None:
    """Return the seconds of Retry-After, which may be a date; None if there is none that makes sense."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text[:9])
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds())
    return None
