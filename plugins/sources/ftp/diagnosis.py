"""What would keep devices from coming, for `postscan doctor`: looks at a running inlet, and takes nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from postscan.plugins import SourceContext
from postscan.plugins.sources.ftp.settings import Settings

CHECK_SECONDS: Final = 3.0
"""Seconds for an answer."""

_ALL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared, not bound)


def problems(inlet: SourceContext) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong."""
    from postscan.plugins.sources.ftp.channels.tls import server_context  # its library may be missing

    settings: Settings = inlet.settings
    if not settings.certificate and not inlet.allow_clear and not inlet.started.devices:
        yield "no client can log in: there is no certificate, no network in devices, and allow_clear is false"
    if settings.certificate:
        try:
            server_context(*settings.pem())
        except OSError as error:
            yield str(error)
            return
        yield from _wrong_dates(settings)
    for port, implicit in ((settings.port, False), (settings.implicit_port, True)):
        if port:
            yield from _wrong_greeting(_ALL.get(settings.host, settings.host), port, implicit=implicit)


def _wrong_dates(settings: Settings) -> Iterator[str]:
    certificate = x509.load_pem_x509_certificate(settings.pem()[0].read_bytes())
    now = datetime.now(UTC)
    if now > certificate.not_valid_after_utc:
        yield f"the certificate {settings.certificate} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    elif now < certificate.not_valid_before_utc:
        yield f"the certificate {settings.certificate} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}"


def _wrong_greeting(host: str, port: int, *, implicit: bool) -> Iterator[str]:
    try:
        with contextlib.ExitStack() as opened:
            connection = opened.enter_context(socket.create_connection((host, port), CHECK_SECONDS))
            if implicit:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the certificate is our own
                connection = opened.enter_context(context.wrap_socket(connection))
            greeting = connection.recv(512)
    except OSError as error:
        yield f"nothing answers at {host}, port {port}: {error.strerror or error}"
    else:
        if not greeting.startswith((b"220 ", b"421 ")):  # 421: there are too many clients, but it is there
            yield f"another server answers at {host}, port {port}; expected a greeting with 220"
