"""The web source: a file that comes by HTTP becomes a job, from a program, a device, a file manager or a browser.

A response of success to a file says that its job is stored. Only the empty file that file managers create first, their
own files, and one under a name for the time being are answered with success before, since they are no job.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from postscan.plugins import CancellationToken, Source, SourceContext, hookimpl, setting
from postscan.plugins.sources.web.app import WebApp
from postscan.plugins.sources.web.body import BodyLimits
from postscan.plugins.sources.web.connections import WebLimits
from postscan.plugins.sources.web.server import CannotListen, listen, serve, tls_context

ANSWER_SECONDS: Final = 5.0
LEAST_GRACE: Final = 1.0
TEMPORARY: Final = ("*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.uploading", "~*")


@dataclass(frozen=True)
class Settings:
    """`[sources.<name>]` with `plugin = "web"`: where it listens, and the limits of what it takes."""

    host: str = setting("127.0.0.1", help="address on which it listens; only this machine unless it is another one")
    port: int = setting(8480, help="its port")
    certificate: str = setting("", help="file with the certificate and its chain (PEM); empty: plain HTTP")
    key: str = setting("", help="file with the private key (PEM); empty: it stands in the file of the certificate")
    names: tuple[str, ...] = setting(
        (), help="host names by which browsers reach the page, beside addresses and localhost"
    )
    temporary: tuple[str, ...] = setting(
        TEMPORARY, help="patterns of names under which a file only arrives; MOVE to another name makes it a job"
    )
    most_bytes: int = setting(2 << 30, help="most bytes of one request")
    uploads: int = setting(16, help="most files that arrive at the same time; one sender may have half of them")
    connections: int = setting(200, help="most connections; an eighth is left to addresses with fewer than four")
    connections_per_address: int = setting(32, help="most connections of one address")
    body_seconds: float = setting(3600.0, help="most seconds of one body")
    body_bytes_per_second: int = setting(1024, help="slower bodies are ended, after half a minute")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a value that cannot be used."""
        if not 0 <= self.port < 1 << 16:
            raise ValueError(f"port: {self.port}; expected 0 to 65535")
        for name in ("most_bytes", "uploads", "connections", "connections_per_address", "body_seconds",
                     "body_bytes_per_second"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)}; expected more than 0")
        for name in ("names", "temporary"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(one, str) and one for one in value):
                raise ValueError(f"{name}: expected a list of texts")
        for name in ("certificate", "key"):
            path = getattr(self, name)
            if path and not Path(path).is_absolute():
                raise ValueError(f"{name}: {path!r} is not an absolute path")
        if self.key and not self.certificate:
            raise ValueError("key: without certificate")


class Web(Source):
    """Take files that are sent by PUT, by POST, from a file manager, or on a page."""

    title = "Web"
    proofs = ("password", "clear", "device")
    grace = 10.0
    Settings = Settings

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Check the certificate, and that the source answers at its address."""
        settings: Settings = inlet.settings
        if not settings.certificate and not inlet.allow_clear and not inlet.started.devices:
            yield "no one can send: there is no certificate, no device in 'devices', and allow_clear is false"
        try:
            context = tls_context(settings.certificate, settings.key)
            if context is not None:
                yield from _outdated(settings.certificate)
            _ask(settings)
        except CannotListen as error:
            yield str(error)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Serve until the token is set."""
        settings: Settings = inlet.settings
        context = tls_context(settings.certificate, settings.key)
        with contextlib.closing(listen(settings.host, settings.port)) as listener:
            host, port = listener.getsockname()[:2]
            url = f"{'https' if context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
            app = WebApp(
                inlet,
                BodyLimits(
                    settings.most_bytes, bytes_per_second=settings.body_bytes_per_second, seconds=settings.body_seconds
                ),
                uploads=settings.uploads,
                temporary=settings.temporary,
                names=frozenset({*settings.names, "localhost", socket.gethostname()}),
            )
            with contextlib.closing(app):
                serve(
                    app,
                    listener,
                    context,
                    WebLimits(settings.connections, settings.connections_per_address),
                    token,
                    grace=self.grace - LEAST_GRACE,
                    ready=lambda: inlet.health("ready", f"listens on {url}"),
                    log=inlet.log,
                )


def _outdated(certificate: str) -> Iterable[str]:
    """Yield a sentence if the certificate is outside its dates."""
    own = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
    now = datetime.now(UTC)
    if now > own.not_valid_after_utc:
        yield f"the certificate {certificate} has expired on {own.not_valid_after_utc:%Y-%m-%d}"
    elif now < own.not_valid_before_utc:
        yield f"the certificate {certificate} is not valid before {own.not_valid_before_utc:%Y-%m-%d}"


def _ask(settings: Settings) -> None:
    """Send OPTIONS to the running source; raise `CannotListen` if it does not answer as one."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  (compared, not bound)
    connection: http.client.HTTPConnection
    if settings.certificate:
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it is our own; its names are not those of this machine
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, settings.port, timeout=ANSWER_SECONDS, context=unverified)
    else:
        connection = http.client.HTTPConnection(host, settings.port, timeout=ANSWER_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request("OPTIONS", "/")
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise CannotListen(f"nothing answers at {host}, port {settings.port}: {error}") from None
        if "DAV" not in response.headers:
            raise CannotListen(f"another program answers at {host}, port {settings.port}")


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the web source."""
    return [Web()]
