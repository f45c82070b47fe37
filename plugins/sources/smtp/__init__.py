"""The smtp source: a mail to a destination becomes a job, with its attachments as pages.

A mail is acknowledged when the jobs of all its recipients are stored, and not before: a client that gets no
acknowledgement keeps the mail and sends it again. The same mail within a day is the same job.

Source: RFC 5321; RFC 2045 and 2046; decision 77.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Final

from postscan.plugins import CancellationToken, Cancelled, Source, SourceContext, hookimpl
from postscan.plugins.sources.smtp.recipients import Recipients
from postscan.plugins.sources.smtp.settings import Settings

CHECK_SECONDS: Final = 4.0  # for the greeting in `diagnose`

_SPARE: Final = 1.0  # seconds of the grace in which the process ends
_ALL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (where to connect if it listens to all)


class Smtp(Source):
    """Receive mails of scanners."""

    title = "Mail"
    proofs = ("device", "clear", "password")
    grace = 10.0
    Settings = Settings

    def requires(self) -> Iterable[str]:
        """Require the library of the extra."""
        if importlib.util.find_spec("aiosmtpd") is None:
            yield "aiosmtpd is not installed; pip install 'postscan[sources]'"

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Check whether clients can name every destination, prove who they are, and connect."""
        settings: Settings = inlet.settings
        yield from Recipients(inlet.destinations, settings.recipients, settings.domains).problems
        if not inlet.started.devices and settings.tls == "none" and not inlet.allow_clear:
            yield "no client can send: devices is empty, and passwords need TLS or allow_clear"
        if settings.port:
            yield from _connection_problems(settings)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Receive mails until the token is set."""
        asyncio.run(_serve(inlet, token))


async def _serve(inlet: SourceContext, token: CancellationToken) -> None:
    from postscan.plugins.sources.smtp.connection.listener import Listener
    from postscan.plugins.sources.smtp.receiver import MailReceiver

    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # that of aiosmtpd: a line for each command
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    receiver = MailReceiver(inlet)
    try:
        listener = Listener(receiver, inlet.is_device, clear=inlet.allow_clear)
        inlet.health("ready", "listens at {}:{}".format(*listener.address))
        with contextlib.suppress(Cancelled), token.calling(lambda: loop.call_soon_threadsafe(stopped.set)):
            await stopped.wait()
        await listener.close(Smtp.grace - 2 * _SPARE)
    finally:
        await receiver.close(_SPARE)


def _connection_problems(settings: Settings) -> Iterator[str]:
    """Yield what keeps a client of this machine from the greeting."""
    where = (_ALL.get(settings.host, settings.host), settings.port)
    try:
        with contextlib.ExitStack() as stack:
            channel = stack.enter_context(socket.create_connection(where, CHECK_SECONDS))
            if settings.tls == "implicit":
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the certificate is our own
                channel = stack.enter_context(context.wrap_socket(channel))
            greeting = channel.recv(512)
    except OSError as error:
        yield f"no connection to {where[0]}:{where[1]}: {error.strerror or error}"
    else:
        if not greeting.startswith(b"220 "):
            yield f"another server answers at {where[0]}:{where[1]}; expected a greeting with 220"


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the smtp source."""
    return [Smtp()]
