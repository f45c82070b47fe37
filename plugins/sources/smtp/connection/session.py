"""One connection with a client: aiosmtpd reads its commands.

What aiosmtpd does otherwise, and this class changes: it keeps a mail in memory, line by line; it takes a single LF for
the end of a command; it waits for a command as long as others come, has one time for all bytes of a mail, and closes a
connection only when the client has read all replies; it does not offer AUTH over implicit TLS, and compares its names
by case, and refuses its parameter of MAIL. The names with an underscore are those of aiosmtpd 1.4 and of asyncio.

Source: RFC 5321; RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from typing import Any, Final, NoReturn, cast

from aiosmtpd.smtp import SMTP

from postscan.plugins.sources.smtp.connection.commands import SmtpCommands
from postscan.plugins.sources.smtp.connection.end_of_data import AmbiguousEnd, DataDecoder
from postscan.plugins.sources.smtp.connection.limits import CountedConnection
from postscan.plugins.sources.smtp.incoming import IncomingMail
from postscan.plugins.sources.smtp.replies import (
    BARE_NEWLINE,
    CLOSING,
    LATE,
    TOO_LARGE,
    TOO_MANY,
    Rejected,
    reply,
)
from postscan.plugins.sources.smtp.submission import MailEnvelope, MailSubmission, Receiver, Sender

PROOF_SECONDS: Final = 60.0
"""Seconds from the connection until a client has proven itself."""

HANDSHAKE_SECONDS: Final = 10.0
"""Seconds for a TLS handshake."""

STORE_SECONDS: Final = 590.0
"""Seconds until the jobs of a mail are stored; a client waits for 600 (RFC 5321 section 4.5.3.2.6)."""

LINGER_SECONDS: Final = 5.0
"""Seconds in which a client may read the last reply."""

MOST_LINES: Final = 200
"""Most commands for one mail."""

_SUBMITTER: Final = re.compile(r"(?<=\s)AUTH=\S*(?=\s|\Z)", re.IGNORECASE)
_READ: Final = 64 * 1024  # bytes that are decoded at once
_WRITTEN: Final = 256 * 1024  # bytes that are written at once


class SmtpSession(SMTP):
    """One connection. `implicit` says that it began with TLS, `clear` that passwords may come without."""

    def __init__(
        self, receiver: Receiver, counted: CountedConnection, tls: ssl.SSLContext | None, *, implicit: bool, clear: bool
    ) -> None:
        settings = receiver.settings
        loop = asyncio.get_running_loop()
        self.client_address = counted.address
        self._receiver = receiver
        self._counted = counted
        counted.give_way = self._give_way
        self._implicit = implicit
        self._proof_until = loop.time() + PROOF_SECONDS
        self._lines = 0
        self._stores = self._shakes_hands = self._stops = False
        self._abort: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = loop.create_future()
        super().__init__(
            SmtpCommands(self, receiver),
            data_size_limit=settings.most_bytes,
            enable_SMTPUTF8=True,
            hostname=settings.greeting_name,
            ident="postscan",
            tls_context=None if implicit else tls,
            require_starttls=settings.require_tls,
            timeout=settings.idle_seconds,
            auth_required=not counted.proven,
            loop=loop,
        )
        self._auth_require_tls = not (implicit or clear)  # it sees no implicit TLS: its issue 281
        reader = _CommandReader(self)
        asyncio.StreamReaderProtocol.__init__(self, reader, self._cb_client_connected, loop=loop)

    # --- the end of a connection -------------------------------------------------------------------------------------

    async def end(self, line: str) -> NoReturn:
        """Send a last reply and end the connection; this raises `CancelledError`."""
        self.hang_up(line)
        raise asyncio.CancelledError

    def hang_up(self, line: str) -> None:
        """Send a last reply and end the connection, whether it is read or not; end it at once if TLS is just beginning.

        What the client has sent ahead is not read any more; a mail that is complete is stored all the same.
        """
        if self.transport is None:
            return
        if self._shakes_hands:
            self.abort()
            return
        with contextlib.suppress(AttributeError):  # of a TLS transport that is closed
            self._writer.write(f"{line}\r\n".encode())
            self.transport.close()
        self._abort = self._abort or self.loop.call_later(LINGER_SECONDS, self.abort)
        if self._handler_coroutine is not None and not self._stores:
            self._handler_coroutine.cancel()

    def abort(self) -> None:
        """End the connection at once, also one whose handshake has failed in a way that asyncio does not report."""
        for transport in (self.transport, self._original_transport):
            if transport is not None:
                with contextlib.suppress(AttributeError):  # of a TLS transport that has lost its socket
                    cast(asyncio.Transport, transport).abort()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        self._leave()

    def stop(self) -> None:
        """End the connection, or let the mail be stored that has arrived."""
        self._stops = True
        if not self._stores:
            self.hang_up(reply(CLOSING, "the server stops; try again later"))

    def connection_lost(self, error: Exception | None) -> None:
        """Free the place."""
        super().connection_lost(error)
        closed: asyncio.Future[None] = self._closed  # type: ignore[attr-defined]  # of asyncio's protocol
        if not closed.cancelled():
            closed.exception()  # or asyncio would log it as an error that was not handled
        self._leave()

    def _leave(self) -> None:
        for timer in (self._timeout_handle, self._abort):  # each refers to the session, until its time
            if timer is not None:
                timer.cancel()
        if not self.ended.done():
            self.ended.set_result(None)
            self._counted.leave()

    def _give_way(self) -> None:
        self.hang_up(reply(TOO_MANY, "too many connections"))

    # --- deadlines ---------------------------------------------------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Wait for at most so many seconds; a client that has proven nothing has one time for all."""
        if not self._counted.proven:
            left = max(0.01, self._proof_until - self.loop.time())
            duration = min(left, duration or left)
        super()._reset_timeout(duration)

    def _timeout_cb(self) -> None:
        self.hang_up(reply(LATE, "the time is over"))

    async def count_line(self) -> None:
        """Count a command; end the connection after many without a mail."""
        self._lines += 1
        if self._lines > MOST_LINES:
            await self.end(reply(TOO_MANY, "too many commands"))

    # --- who sends ---------------------------------------------------------------------------------------------------

    def proven(self, account: str) -> None:
        """Give the connection the time of those that may send mails."""
        self._counted.proven = True
        self._reset_timeout()

    def _sender(self) -> Sender:
        assert self.session is not None
        if not self.session.authenticated:
            return Sender("device", self.client_address)
        encrypted = self._implicit or self._tls_protocol is not None
        return Sender("password" if encrypted else "clear", self.client_address, str(self.session.auth_data))

    async def smtp_AUTH(self, arg: str | None) -> None:  # noqa: N802  (aiosmtpd finds it by this name, and those below)
        """Read the name of the mechanism in any case."""
        name, blank, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(name.upper() + blank + rest)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        """Begin TLS, within the time of a handshake, and once."""
        if self._tls_protocol is not None:
            await self.push("503 5.5.1 TLS is active")
            return
        self._shakes_hands = not arg
        self._reset_timeout(HANDSHAKE_SECONDS)
        await super().smtp_STARTTLS(arg)
        if self._original_transport is not None and self._original_transport.is_closing():
            self.abort()
        self._shakes_hands = False

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Accept the parameter AUTH, which relays send (RFC 4954 section 5), and do not act on it."""
        await super().smtp_MAIL(arg and _SUBMITTER.sub("", arg))

    async def smtp_VRFY(self, _arg: str) -> None:  # noqa: N802
        """Name no destination."""
        await self.push("252 2.5.2 Send a mail, and see")

    # --- a mail ------------------------------------------------------------------------------------------------------

    def _create_envelope(self) -> MailEnvelope:
        return MailEnvelope()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Receive a mail into a file; acknowledge it when all its jobs are stored."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        envelope = self.envelope
        assert isinstance(envelope, MailEnvelope)
        if arg:
            await self.push("501 Syntax: DATA")
        elif not envelope.destinations:
            await self.push("503 Error: need RCPT command")
        else:
            await self.push(await self._transaction(envelope))
            if self._stops:
                self.stop()

    async def _transaction(self, envelope: MailEnvelope) -> str:
        """Return the reply to a mail."""
        assert envelope.mail_from is not None
        submission = MailSubmission(self._sender(), envelope.mail_from, envelope.destinations)
        try:
            mail = self._receiver.new_mail(self.client_address)
            try:
                await self.push("354 End data with <CR><LF>.<CR><LF>")
                await self._receive(mail)
            except BaseException:
                mail.close()
                raise
            self._stores = True
            self._reset_timeout(STORE_SECONDS)
            self._counted.hold()
            await self._receiver.store(mail, submission, self._counted.leave)
            answer = "250 2.0.0 The scan is stored"
        except Rejected as rejected:
            answer = rejected.reply
            recipients = ", ".join(envelope.destinations.values())[:200]
            self._receiver.log("mail rejected", source=self.client_address, reason=rejected.text, recipient=recipients)
        finally:
            self._stores = False
            self._lines = 0
            self.envelope = self._create_envelope()
        self._reset_timeout()
        return answer

    async def _receive(self, mail: IncomingMail) -> None:
        """Receive a mail up to its end, also one that is rejected: the reply is for behind it."""
        decoder = DataDecoder()
        settings = self._receiver.settings
        until = self.loop.time() + settings.data_seconds
        content = bytearray()
        rejected: Rejected | None = None
        while not decoder.ended:
            self._reset_timeout(max(0.01, min(settings.idle_seconds, until - self.loop.time())))
            try:
                content += decoder.feed(await self._read())
            except AmbiguousEnd:
                await self.end(reply(BARE_NEWLINE, "the mail has a dot between line ends other than CR LF"))
            if mail.size + len(content) > settings.most_bytes:
                rejected = rejected or Rejected(TOO_LARGE, f"the mail has more than {settings.most_bytes:,} bytes")
            if rejected is None and (len(content) >= _WRITTEN or decoder.ended):
                try:
                    await self._receiver.write(mail, bytes(content))
                except Rejected as no_room:
                    rejected = no_room
                content.clear()
            if rejected is not None:
                mail.close()
                content.clear()
        cast(_CommandReader, self._reader).put_back(decoder.rest)
        if rejected is not None:
            raise rejected

    async def _read(self) -> bytes:
        """Return what has arrived; a connection that ends within a mail is cancelled by aiosmtpd."""
        await asyncio.sleep(0)
        received: bytes = await self._reader.read(_READ)
        if not received:
            raise asyncio.CancelledError
        return received


class _CommandReader(asyncio.StreamReader):
    """A reader of commands that ends a connection for a line with a single CR or LF in it."""

    def __init__(self, session: SmtpSession) -> None:
        super().__init__(limit=session.line_length_limit, loop=session.loop)
        self._session = session

    async def readuntil(self, separator: Any = b"\n") -> bytes:
        """Return the next line."""
        await asyncio.sleep(0)  # a client that has sent thousands of commands is not alone
        try:
            line = await super().readuntil(separator)
        except asyncio.LimitOverrunError:
            await self._session.count_line()
            raise
        await self._session.count_line()
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            await self._session.end(reply(BARE_NEWLINE, "a command ends with CR LF, and has no other CR or LF"))
        return line

    def put_back(self, received: bytes) -> None:
        """Put back what was read behind the end of a mail."""
        self._buffer[:0] = received  # type: ignore[attr-defined]
