"""HTTP requests to one device: pinned to its host, bounded in time and size, ended by `abort` from another thread.

The environment does not change a call, and redirects are not followed: a caller that may follow one sees its status.
Source: escl.md sections 2 and 6; ESCL-010 to ESCL-014, ESCL-029, ESCL-032.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from postscan.plugins.sources.escl.errors import DeviceRefused, PageLost, ScanBrokenOff, ScannerAway
from postscan.plugins.sources.escl.http.tls import CertificateRefused, TlsPolicy
from postscan.plugins.sources.escl.messages.xml import MOST_BYTES

if TYPE_CHECKING:
    import httpx2

SILENCE_SECONDS: Final = 60.0
"""Longest silence between two bytes (ESCL-032)."""


class _BadPacking(Exception):
    """A packed body cannot be unpacked."""


_PIECE: Final = 64 * 1024  # bytes of a body that are handed on at a time


@dataclass(frozen=True)
class HttpTimes:
    """Seconds: for a connection, for a whole answer other than a page, and of silence within one."""

    connect: float = 5.0
    answer: float = 30.0
    silence: float = SILENCE_SECONDS


@dataclass(frozen=True)
class DeviceAnswer:
    """A response: the status, the headers by lower-case name, and the body, unpacked; at most 1 MiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class PageStream:
    """A response whose body comes in `pieces`; `ends_itself` says that its end can be told from a broken connection."""

    status: int
    headers: Mapping[str, str]
    pieces: Iterator[bytes]
    ends_itself: bool


class EsclClient:
    """Requests to one origin, one after another; leaving its block closes the connection.

    *host* replaces the Host field; "" for the usual one. *authorization* is sent only over HTTPS. After `abort` each
    request, also the one that waits, raises `ScanBrokenOff`. Requests raise `ScannerAway` if nothing answers, and
    `DeviceRefused` for what is no HTTP, and for a certificate that is not the right one.
    """

    def __init__(
        self, origin: str, tls: TlsPolicy, times: HttpTimes, *, host: str = "", authorization: str = ""
    ) -> None:
        import httpx2

        self.origin = origin
        self._is_secure = urlsplit(origin).scheme == "https"
        self._tls, self._times = tls, times
        headers = {"User-Agent": "postscan", "Accept": "*/*", "Accept-Encoding": "identity"}
        if host:
            headers["Host"] = host
        if authorization and self._is_secure:
            headers["Authorization"] = authorization
        self._headers = headers
        try:
            context = tls.context() if self._is_secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        except OSError as error:
            raise DeviceRefused(f"the certificates in {tls.ca_file} cannot be used: {error}") from None
        self._transport = httpx2.HTTPTransport(verify=context, trust_env=False)
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._aborted = False

    def __enter__(self) -> EsclClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self._transport.close()

    def abort(self) -> None:
        """End the request that waits, and all later ones; from any thread."""
        with self._lock:
            self._aborted = True
            self._shut_down()

    def request(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        needs_body: bool = True,
        seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> DeviceAnswer:
        """Send one request and return the whole response, whatever its status.

        Without *needs_body* the head alone is read (ESCL-024). *seconds* is the longest time in all. *headers* are
        sent beside those of every request.
        """
        with self._deadline(seconds or self._times.answer) as late, self._errors(late, ScannerAway):
            response = self._send(method, path, content, headers or {})
            with contextlib.closing(response):
                body = _whole_body(response) if needs_body else b""
        return DeviceAnswer(response.status_code, _headers(response), body)

    @contextlib.contextmanager
    def page(self, path: str) -> Iterator[PageStream]:
        """GET a page; its pieces raise `PageLost` if it breaks off, or is silent for too long (ESCL-029, ESCL-032)."""
        with self._deadline(self._times.silence) as late, self._errors(late, ScannerAway):
            response = self._send("GET", path, b"", {})
        with contextlib.closing(response):
            headers = _headers(response)
            ends = "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()
            yield PageStream(response.status_code, headers, self._pieces(response), ends)

    def _pieces(self, response: httpx2.Response) -> Iterator[bytes]:
        with self._errors(threading.Event(), PageLost):
            yield from _unpacked(response)

    def _send(self, method: str, path: str, content: bytes, further: Mapping[str, str]) -> httpx2.Response:
        import httpx2

        headers = self._headers | dict(further)
        if content:
            headers |= {"Content-Type": "text/xml", "Content-Length": str(len(content))}
        silence, connect = self._times.silence, min(self._times.connect, self._times.silence)
        times = {"connect": connect, "read": silence, "write": silence, "pool": connect}
        request = httpx2.Request(
            method,
            f"{self.origin}{path}",
            headers=headers,
            content=content or None,
            extensions={"trace": self._trace, "timeout": times},
        )
        return self._transport.handle_request(request)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Keep the socket of a new connection, and check its certificate; httpx2 calls this for each step."""
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        stream = info["return_value"]
        with self._lock:
            self._sockets = [one for one in self._sockets if one.fileno() >= 0]
            self._sockets.append(stream.get_extra_info("socket"))
            if self._aborted:
                self._shut_down()
        if event == "connection.start_tls.complete":
            try:
                self._tls.check(stream.get_extra_info("ssl_object").getpeercert(True))
            except BaseException:
                stream.close()
                raise

    @contextlib.contextmanager
    def _deadline(self, seconds: float) -> Iterator[threading.Event]:
        """Shut the connection down when the body takes longer; the event is set then."""
        late = threading.Event()

        def end() -> None:
            with self._lock:
                late.set()
                self._shut_down()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def _errors(self, late: threading.Event, broken: type[ScannerAway | PageLost]) -> Iterator[None]:
        """Turn the errors of the library into those of a device; *broken* is that of a connection that ends."""
        import httpx2

        if self._aborted:
            raise ScanBrokenOff("the scan was broken off")
        try:
            yield
        except (
            httpx2.TransportError, httpx2.StreamError, httpx2.InvalidURL, CertificateRefused, _BadPacking, OSError,
            UnicodeError,
        ) as error:  # fmt: skip
            if self._aborted:
                raise ScanBrokenOff("the scan was broken off") from None
            raise _device_error(self.origin, error, late=late.is_set(), broken=broken) from None

    def _shut_down(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: it drops the TLS state that another thread is using.
                socket.socket.shutdown(one, socket.SHUT_RDWR)


def _device_error(
    origin: str, error: Exception, *, late: bool, broken: type[ScannerAway | PageLost]
) -> ScannerAway | DeviceRefused | PageLost:
    import httpx2

    if isinstance(error, CertificateRefused):
        return DeviceRefused(f"{origin}: {error}")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return DeviceRefused(
                f"{origin}: its certificate is not accepted ({cause.verify_message}); "
                "set fingerprint, ca_file or first_use for this device"
            )
        cause = cause.__cause__ or cause.__context__
    if late or isinstance(error, httpx2.TimeoutException):
        return broken(f"{origin} was silent for too long, or did not end its answer in time")
    if isinstance(error, httpx2.RemoteProtocolError) and broken is ScannerAway:
        return ScannerAway(f"{origin} broke off its answer, or answered with what is no HTTP: {error}")
    if isinstance(error, _BadPacking):
        return broken(f"{origin}: its body cannot be unpacked: {error}")
    return broken(f"{origin}: {error or type(error).__name__}")


def _headers(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _whole_body(response: httpx2.Response) -> bytes:
    """Return the body; raise `DeviceRefused` if it has more than 1 MiB, packed or unpacked (ESCL-014)."""
    body = bytearray()
    for piece in _unpacked(response):
        body += piece
        if len(body) > MOST_BYTES:
            raise DeviceRefused(f"the device sent more than {MOST_BYTES} bytes")
    return bytes(body)


def _unpacked(response: httpx2.Response) -> Iterator[bytes]:
    """Yield the body in pieces, unpacked if it is gzip or deflate; a piece is small however well it was packed."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        yield from response.iter_raw()
        return
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise DeviceRefused(f"the device sent a body in the coding {coding[:80]!r}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        for packed in response.iter_raw():
            while packed:
                yield unpacker.decompress(packed, _PIECE)
                packed = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise _BadPacking(str(error)) from None
    if not unpacker.eof:
        raise _BadPacking("it has no end")
