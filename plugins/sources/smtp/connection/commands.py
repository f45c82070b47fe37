"""The commands in which the inlet has a say: EHLO, AUTH, MAIL and RCPT.

Source: RFC 5321 sections 4.1.1 and 4.5.3.1.8; RFC 2920 (PIPELINING), 4616 and 4954 (AUTH), 1870 (SIZE).
"""

from __future__ import annotations

import base64
from typing import Any, Final, NoReturn, Protocol

from aiosmtpd.smtp import MISSING, Envelope, Session, TLSSetupException

from postscan.plugins.sources.smtp.replies import MANY_RECIPIENTS, NOT_WANTED, TOO_LONG, TOO_MANY, Rejected, reply
from postscan.plugins.sources.smtp.submission import MailEnvelope, Receiver

MOST_ERRORS: Final = 20
"""Most commands of a connection that are rejected."""

MOST_PASSWORDS: Final = 3
"""Most wrong passwords of a connection."""

_OK: Final = "250 2.1.0 OK"
_WRONG: Final = "535 5.7.8 Authentication credentials invalid"
_SYNTAX: Final = "501 5.5.2 Cannot decode the response"


class CommandClient(Protocol):
    """The session, as the commands see it."""

    client_address: str

    def proven(self, account: str) -> None:
        """Note that the client has proven itself."""

    async def challenge_auth(self, challenge: str) -> Any:
        """Send a challenge and return the decoded response; `MISSING` after a reply to an invalid one."""

    async def end(self, line: str) -> NoReturn:
        """Send a last reply and end the connection."""


class SmtpCommands:
    """The hooks that aiosmtpd calls for the commands of one connection; each returns the reply."""

    def __init__(self, client: CommandClient, receiver: Receiver) -> None:
        self._client = client
        self._receiver = receiver
        self._errors = 0
        self._passwords = 0

    async def handle_EHLO(  # noqa: N802  (aiosmtpd finds it by this name, and those below)
        self, _server: Any, session: Session, _envelope: Envelope, name: str, lines: list[str]
    ) -> list[str]:
        """Offer PIPELINING as well: commands are read one after the other, and what is sent ahead waits."""
        session.host_name = name
        return [lines[0], "250-PIPELINING", *lines[1:]]

    async def handle_MAIL(  # noqa: N802
        self, _server: Any, _session: Session, envelope: MailEnvelope, address: str, options: list[str]
    ) -> str:
        """Take the sender; a report of a mail server has none."""
        if address in ("", "<>"):
            return await self._reject(Rejected(NOT_WANTED, "no job is made of a report about another mail"))
        try:
            size = sum(int(option[5:]) for option in options if option.startswith("SIZE="))
            self._receiver.check_room(self._client.client_address, size)
        except Rejected as rejected:
            return await self._reject(rejected)
        envelope.mail_from = address
        return _OK

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Session, envelope: MailEnvelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient whose destination there is; two that name the same one make one job."""
        try:
            destination = self._receiver.destination(address)
        except Rejected as rejected:
            return await self._reject(rejected, address)
        most = self._receiver.settings.most_recipients
        if destination not in envelope.destinations:
            if len(envelope.destinations) == most:
                many = f"more than {most} recipients; send the others a mail of their own"
                return await self._reject(Rejected(MANY_RECIPIENTS, many), address)
            envelope.destinations[destination] = address
            envelope.rcpt_tos.append(address)
        return _OK

    async def handle_AUTH(  # noqa: N802
        self, _server: Any, session: Session, _envelope: Envelope, words: list[str]
    ) -> str | None:
        """Check account and password, without holding up other connections; None if there was a reply."""
        mechanism, *first = words
        try:
            read = self._plain if mechanism == "PLAIN" else self._login
            account, password = await read(_decode(first[0]) if first else None)
        except _Answered:
            return None
        except ValueError:  # neither base64 nor UTF-8, or not as many parts
            return _SYNTAX
        try:
            right = await self._receiver.has_password(account, password, self._client.client_address)
        except Rejected as rejected:
            return rejected.reply
        if right:
            session.authenticated = True
            session.auth_data = account  # type: ignore[assignment]  # its hint is None
            self._client.proven(account)
            return "235 2.7.0 Authentication successful"
        self._passwords += 1
        self._receiver.log("wrong password", source=self._client.client_address, user=account[:100])
        if self._passwords == MOST_PASSWORDS:
            await self._client.end(reply(TOO_MANY, "too many wrong passwords"))
        return _WRONG

    async def handle_exception(self, error: Exception) -> str:
        """Return the reply to a command that aiosmtpd cannot read; what it raises is not for the client."""
        reason = "no handshake" if isinstance(error, TLSSetupException) else f"{type(error).__name__}: {error}"[:200]
        self._receiver.log("command not read", source=self._client.client_address, reason=reason)
        return "500 5.5.2 The command cannot be read"

    async def _plain(self, first: bytes | None) -> tuple[str, str]:
        """Read account and password as RFC 4616 has them; an account that acts for another one is not accepted."""
        received = first if first is not None else await self._challenge("")
        identity, account, password = received.decode().split("\0")
        if identity not in ("", account):
            raise ValueError(identity)
        return account, password

    async def _login(self, first: bytes | None) -> tuple[str, str]:
        """Ask for account and password in the words that old devices wait for."""
        account = first if first is not None else await self._challenge("Username:")
        return account.decode(), (await self._challenge("Password:")).decode()

    async def _challenge(self, text: str) -> bytes:
        try:
            received = await self._client.challenge_auth(text)
        except ValueError:  # the rest of a line that is too long must not be read as a command
            await self._client.end(reply(TOO_LONG, "the response is too long"))
        if received is MISSING:
            raise _Answered
        assert isinstance(received, bytes)
        return received

    async def _reject(self, rejected: Rejected, recipient: str = "") -> str:
        """Return the reply to a rejected command; end the connection after many of them."""
        self._errors += 1
        address = self._client.client_address
        self._receiver.log("command rejected", source=address, reason=rejected.text, recipient=recipient[:100])
        if self._errors == MOST_ERRORS:
            await self._client.end(reply(TOO_MANY, "too many errors"))
        return rejected.reply


class _Answered(Exception):
    """The client has its reply already."""


def _decode(text: str) -> bytes:
    """Return an initial response (RFC 4954 section 4: `=` for an empty one)."""
    return b"" if text == "=" else base64.b64decode(text, validate=True)
