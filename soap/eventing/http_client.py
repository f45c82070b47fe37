"""One message to one sink: a POST to the address that was pinned when it subscribed, within a deadline.

No name is resolved, no redirect followed, no proxy used, and no connection used twice, so a certificate is checked for
each message. A sink with TLS has to prove the host name in its URL. Source: dpws.md section 8.3; T-A2 and T-A6.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

import httpx2

from postscan.core.errors import SettingsError
from postscan.core.model.subscription import Sink
from postscan.core.settings.network import TlsSettings
from postscan.soap.eventing.sinks import SinkAddress, parse_url

MEDIA_TYPE: Final = "application/soap+xml; charset=utf-8"
MOST_READ: Final = 4096
"""Upper bound in bytes of a response body that is read. Only the status counts; the rest is for sinks that fail if
their connection is closed before they have written."""

_ONCE: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)


class NotDelivered(Exception):
    """The sink did not accept the message; the text gives the reason."""


class EventPoster:
    """Posts messages; on one event loop. *seconds* is the deadline from connecting to the status.

    Raises `SettingsError` if `tls.client_ca`, whose CAs verify sinks as well, cannot be used.
    """

    def __init__(self, tls: TlsSettings, seconds: float) -> None:
        self._seconds = seconds
        self._transport = httpx2.AsyncHTTPTransport(verify=_trust(tls), trust_env=False, limits=_ONCE)

    async def post(self, sink: Sink, message: bytes) -> None:
        """Post a message; return after a 2xx status, raise `NotDelivered` after any other, or none in time."""
        request = _request(parse_url(sink.url), sink.address, message)
        status = 0
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._transport.handle_async_request(request)
                status = response.status_code
                await _read_some(response)
        except TimeoutError:
            if not status:
                raise NotDelivered(f"no response within {self._seconds:g} s") from None
        except (httpx2.TransportError, OSError) as error:
            if not status:
                raise NotDelivered(f"no response ({type(error).__name__})") from None
        except AttributeError as error:
            # anyio asks the transport for its socket; uvloop has none if the sink has reset the connection by then.
            if error.name != "getpeername":
                raise
            raise NotDelivered("no response (the connection was reset)") from None
        if not 200 <= status < 300:
            raise NotDelivered(f"the status is {status}")

    async def close(self) -> None:
        """Close open connections."""
        await self._transport.aclose()


async def _read_some(response: httpx2.Response) -> None:
    """Read at most `MOST_READ` bytes of a body, then close the connection."""
    left = MOST_READ
    async with contextlib.aclosing(response):
        async for piece in response.aiter_raw():
            left -= len(piece)
            if left <= 0:
                return


def _request(url: SinkAddress, address: str, message: bytes) -> httpx2.Request:
    host = f"[{address}]" if ":" in address else address
    return httpx2.Request(
        "POST",
        httpx2.URL(f"{url.scheme}://{host}:{url.port}"),
        headers={"Host": url.netloc, "Content-Type": MEDIA_TYPE, "User-Agent": "postscan", "Connection": "close"},
        content=message,
        extensions={"sni_hostname": url.host.partition("%")[0], "target": url.target.encode()},
    )


def _trust(tls: TlsSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=tls.client_ca)
    except OSError as error:
        raise SettingsError(f"tls.client_ca: {tls.client_ca} cannot be used: {error.strerror or error}") from error
