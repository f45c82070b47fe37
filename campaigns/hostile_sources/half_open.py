"""Clients that begin with an inlet and go no further: `python -m campaigns.hostile_sources.half_open`.

Each connects, sends what its kind sends, and then nothing until the server ends the connection. A few seconds later it
begins again. What this process reads and prints is that of `campaigns.flood.sender`.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cache
from typing import Final

from campaigns.flood import sender
from campaigns.flood.clients import Client
from campaigns.flood.lines import Line
from campaigns.flood.stalling import LONGEST

GREETING: Final = 220

PAUSE: Final = 3.0
"""Seconds from the end of a connection to the next one."""

HELLO: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)
"""The begin of a ClientHello: the head of a TLS record of 512 bytes, and some of them (RFC 8446, 4.1.2 and 5.1)."""


class HalfOpen(Client):
    """Connect, read the greeting, go no further than `begin`, and wait for the end."""

    async def turn(self) -> str:
        async with self.connected(without_tls=True) as line:
            if await line.reply() != GREETING:
                return "refused"
            await self.begin(line)
            with self.count.one():
                return await _end(line)

    async def begin(self, line: Line) -> None:
        """Send what the kind sends."""

    def pause(self) -> float:
        return PAUSE


class FtpSilent(HalfOpen):
    """Send nothing."""

    kind = "ftp: silent"


class FtpHalfCommand(HalfOpen):
    """Send a command without its end."""

    kind = "ftp: half a command"

    async def begin(self, line: Line) -> None:
        await line.send(b"USER anony")


class FtpHalfLogin(HalfOpen):
    """Send a user, and no password."""

    kind = "ftp: half a login"

    async def begin(self, line: Line) -> None:
        await _ask(line, b"USER anonymous", 331)


class FtpHalfHandshake(HalfOpen):
    """Begin a TLS handshake."""

    kind = "ftp: half a handshake"

    async def begin(self, line: Line) -> None:
        await _ask(line, b"AUTH TLS", 234)
        await line.send(HELLO)


class SmtpSilent(HalfOpen):
    """Send nothing."""

    kind = "smtp: silent"


class SmtpHalfCommand(HalfOpen):
    """Send EHLO without its end."""

    kind = "smtp: half an EHLO"

    async def begin(self, line: Line) -> None:
        await line.send(b"EHLO scann")


class SmtpHalfHandshake(HalfOpen):
    """Begin a TLS handshake."""

    kind = "smtp: half a handshake"

    async def begin(self, line: Line) -> None:
        await _ask(line, b"EHLO scanner", 250)
        await _ask(line, b"STARTTLS", 220)
        await line.send(HELLO)


class SmtpHalfLogin(HalfOpen):
    """Complete the TLS handshake, begin AUTH, and send no account."""

    kind = "smtp: half an AUTH"

    async def begin(self, line: Line) -> None:
        await _ask(line, b"EHLO scanner", 250)
        await _ask(line, b"STARTTLS", 220)
        await line.begin_tls(_any_certificate())
        await _ask(line, b"EHLO scanner", 250)
        await _ask(line, b"AUTH LOGIN", 334)


FTP: Final[dict[str, int]] = {
    FtpSilent.kind: 35,
    FtpHalfCommand.kind: 5,
    FtpHalfLogin.kind: 5,
    FtpHalfHandshake.kind: 5,
}
SMTP: Final[dict[str, int]] = {
    SmtpSilent.kind: 35,
    SmtpHalfCommand.kind: 5,
    SmtpHalfHandshake.kind: 5,
    SmtpHalfLogin.kind: 5,
}
"""The clients of each kind at each address: at 20 addresses a thousand of FTP, and a thousand of SMTP."""

ALL: Final[tuple[type[Client], ...]] = (
    FtpSilent,
    FtpHalfCommand,
    FtpHalfLogin,
    FtpHalfHandshake,
    SmtpSilent,
    SmtpHalfCommand,
    SmtpHalfHandshake,
    SmtpHalfLogin,
)


async def _ask(line: Line, command: bytes, code: int) -> None:
    """Send a command; raise `ConnectionAbortedError` unless its reply has this code."""
    await line.send(command + b"\r\n")
    if (found := await line.reply()) != code:
        raise ConnectionAbortedError(f"{command!r}: {found}")


async def _end(line: Line) -> str:
    """Wait for the end of the connection; return the code of the last reply, if one comes before it."""
    try:
        async with asyncio.timeout(LONGEST):
            return str(await line.reply())
    except TimeoutError:
        return "still open"


@cache
def _any_certificate() -> ssl.SSLContext:
    """Return how a client speaks TLS that does not look at the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


if __name__ == "__main__":
    sender.main(ALL)
