"""One message to one sink: a POST to the address that was pinned when it subscribed, within a deadline.

Nothing else decides where the message goes: no name is looked up, no redirect followed, no proxy asked, and no
connection used twice, so that it never matters whose certificate an earlier one has shown. A sink that speaks TLS has
to prove the name in its address. Source: dpws.md section 8.3; T-A2 and T-A6.
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
from postscan.soap.eventing.sinks import SinkAddress, taken_apart

MEDIA_TYPE: Final = "application/soap+xml; charset=utf-8"
MOST_READ: Final = 4096
"""Bytes of an answer that are read, for politeness: only its status means anything."""

_ONCE: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=0)


class NotDelivered(Exception):
    """The sink did not take the message; the sentence says how that showed."""


class EventPoster:
    """Posts messages; lives on one event loop. `seconds` is what a sink may take, from the first packet to its status.

    Raises `SettingsError` if `tls.client_ca`, the CAs that sinks are believed by as well, cannot be used.
    """

    def __init__(self, tls: TlsSettings, seconds: float) -> None:
        self._seconds = seconds
        self._transport = httpx2.AsyncHTTPTransport(verify=_trust(tls), trust_env=False, limits=_ONCE)

    async def post(self, sink: Sink, message: bytes) -> None:
        """Post a message; return when the sink has taken it with any 2xx, raise `NotDelivered` otherwise."""
        request = _request(taken_apart(sink.url), sink.address, message)
        status = 0
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._transport.handle_async_request(request)
                status = response.status_code
                await _hear_out(response)
        except TimeoutError:
            if not status:
                raise NotDelivered(f"no answer within {self._seconds:g} s") from None
        except (httpx2.TransportError, OSError) as error:
            if not status:
                raise NotDelivered(f"no answer ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise NotDelivered(f"the answer is {status}")

    async def close(self) -> None:
        """Close what is still open."""
        await self._transport.aclose()


async def _hear_out(response: httpx2.Response) -> None:
    """Read the beginning of an answer that means nothing, and hang up."""
    left = MOST_READ
    async with contextlib.aclosing(response):
        async for piece in response.aiter_raw():
            left -= len(piece)
            if left <= 0:
                return


def _request(place: SinkAddress, address: str, message: bytes) -> httpx2.Request:
    host = f"[{address}]" if ":" in address else address
    return httpx2.Request(
        "POST",
        httpx2.URL(f"{place.scheme}://{host}:{place.port}"),
        headers={"Host": place.netloc, "Content-Type": MEDIA_TYPE, "User-Agent": "postscan", "Connection": "close"},
        content=message,
        extensions={"sni_hostname": place.host.partition("%")[0], "target": place.target.encode()},
    )


def _trust(tls: TlsSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=tls.client_ca)
    except OSError as error:
        raise SettingsError(f"tls.client_ca: {tls.client_ca} cannot be used: {error.strerror or error}") from error
