"""A real mail server for tests: aiosmtpd in a thread of its own, with answers by script, and a memory.

    with MailServer({"MAIL": ["451 later"]}) as server:
        ...
    server.messages   # what was accepted, whole

The script has a list for each verb; its answers are given one after another, then the server does what servers do.
Verbs: `CONNECT` (the greeting), those of SMTP, `READY` (what stands in the clear behind the answer to STARTTLS), `BODY`
(after the 354), and `.` (after the dot).
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult
from certificates import Authority

HANG = "hang"
"""Say nothing more, and read nothing more."""

CUT = "cut"
"""Hang up without a word."""

LOST = "lost"
"""After the dot: take the message, and hang up before anybody hears of it."""

Answer = str | Callable[[], str]


@dataclass
class Received:
    """A message that was accepted: its envelope, and its bytes without the dots of the transport."""

    sender: str
    recipients: list[str]
    options: list[str]
    content: bytes
    parsed: EmailMessage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parsed = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.parsed = parsed

    @property
    def attachments(self) -> list[tuple[str | None, str, bytes]]:
        """Name, media type and bytes of each attachment."""
        parts = self.parsed.iter_attachments()
        return [(part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) for part in parts]


_TURNS = 5
"""Turns of the event loop after which an aborted transport has closed its socket."""


class MailServer:
    """A mail server on 127.0.0.1, on a free port.

    `most` bytes a message may have; `utf8` offers SMTPUTF8; `tls` offers STARTTLS, or with `implicit` begins with it;
    `accounts` are names and passwords, one of which is needed then. `logins` are the names that came in.
    """

    def __init__(
        self,
        script: Mapping[str, Sequence[Answer]] | None = None,
        *,
        most: int | None = None,
        utf8: bool = False,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        self.script = {verb: list(answers) for verb, answers in (script or {}).items()}
        self.most, self.utf8, self.tls, self.implicit, self.accounts = most, utf8, tls, implicit, accounts
        self.messages: list[Received] = []
        self.heard: list[str] = []
        self.encrypted: list[bool] = []
        self.logins: list[str] = []
        self.stuck = threading.Event()
        self._sessions: list[_Session] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="smtp")
        self._ready = threading.Event()
        self._over = asyncio.Event()

    def __enter__(self) -> Self:
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # what it logs would only hide what a test says
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def answer_to(self, verb: str) -> str | None:
        """Return what the script says to a verb; None if it has nothing more to say."""
        self.heard.append(verb)
        answers = self.script.get(verb)
        if not answers:
            return None
        answer = answers.pop(0)
        return answer if isinstance(answer, str) else answer()

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self._sessions)

    def new_session(self) -> _Session:
        """Return the protocol of one more connection."""
        session = _Session(self, self._loop)
        self._sessions.append(session)
        return session

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        """Serve until it is over, and leave no socket open, in whatever state its connection is.

        The connections are accepted here: asyncio would lose one whose task is cancelled before it has begun.
        """
        accepted: list[socket.socket] = []
        context = self.tls if self.implicit else None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)

            def accept() -> None:
                with contextlib.suppress(BlockingIOError):
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    accepted.append(connection)
                    connecting = self._loop.connect_accepted_socket(self.new_session, connection, ssl=context)
                    self._tasks.append(self._loop.create_task(connecting))

            self._loop.add_reader(listener, accept)
            self.port: int = listener.getsockname()[1]
            self._ready.set()
            await self._over.wait()
            self._loop.remove_reader(listener)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, *self._tasks, return_exceptions=True)
        for transport in list(self._loop._transports.values()):  # type: ignore[attr-defined]
            transport.abort()  # of sessions, and of handshakes that have not come to one
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        for connection in accepted:
            connection.close()


class _Session(SMTP):
    """One connection, which asks the script before it does anything."""

    def __init__(self, server: MailServer, loop: asyncio.AbstractEventLoop) -> None:
        self._mail_server = server
        super().__init__(
            _Hooks(server),
            data_size_limit=server.most,
            enable_SMTPUTF8=server.utf8,
            hostname="mail.test",
            tls_context=None if server.implicit else server.tls,
            auth_required=server.accounts is not None and not server.implicit,
            auth_require_tls=not server.implicit,
            authenticator=self._authenticate_by_accounts,
            loop=loop,
        )
        self._greeted = False

    async def push(self, status: Any) -> None:
        """Send; the first thing ever said is the greeting."""
        if not self._greeted:
            self._greeted = True
            if await self._scripted("CONNECT"):
                return
        if isinstance(status, str) and status.startswith("220 Ready"):
            more = self._mail_server.answer_to("READY")
            status = f"{status}\r\n{more}" if more else status
        await super().push(status)

    async def _scripted(self, verb: str) -> bool:
        """Do what the script says; False if it says nothing."""
        answer = self._mail_server.answer_to(verb)
        if answer is None:
            return False
        if answer == HANG:
            await self._hang()
        if answer == CUT:
            await self.hang_up()
        await super().push(answer)
        return True

    async def _hang(self) -> None:
        assert self.transport is not None
        self._mail_server.stuck.set()
        self.transport.pause_reading()
        await asyncio.Event().wait()

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802  (aiosmtpd finds it by this name)
        if not await self._scripted("EHLO"):
            await super().smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802  (aiosmtpd finds it by this name)
        if not await self._scripted("STARTTLS"):
            await super().smtp_STARTTLS(arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802  (aiosmtpd finds it by this name)
        if not await self._scripted("AUTH"):
            await super().smtp_AUTH(arg)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802  (aiosmtpd finds it by this name)
        if not await self._scripted("MAIL"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802  (aiosmtpd finds it by this name)
        if not await self._scripted("RCPT"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802  (aiosmtpd finds it by this name)
        if await self._scripted("DATA"):
            return
        if self._mail_server.script.get("BODY"):
            await super().push("354 go on")
            await self._reader.readuntil(b"\r\n")
            await self._scripted("BODY")
            return
        await super().smtp_DATA(arg)

    async def smtp_QUIT(self, arg: str) -> None:  # noqa: N802  (aiosmtpd finds it by this name)
        self._mail_server.heard.append("QUIT")
        await super().smtp_QUIT(arg)

    async def after_the_dot(self) -> str | None:
        """Return the scripted answer to a whole message."""
        answer = self._mail_server.answer_to(".")
        if answer == HANG:
            await self._hang()
        if answer == CUT:
            await self.hang_up()
        return answer

    async def hang_up(self) -> None:
        """Hang up without a word; this comes to no end."""
        assert self.transport is not None
        self.transport.abort()
        await asyncio.Event().wait()

    @property
    def is_encrypted(self) -> bool:
        """Whether this connection speaks TLS by now."""
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is not None

    def _authenticate_by_accounts(
        self, _server: Any, _session: Any, _envelope: Any, _how: str, data: Any
    ) -> AuthResult:
        name, password = data.login.decode(), data.password.decode()
        good = (self._mail_server.accounts or {}).get(name) == password
        if good:
            self._mail_server.logins.append(name)
        return AuthResult(success=good, handled=False)


class _Hooks:
    """What aiosmtpd calls when a message is whole."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_DATA(self, session: _Session, _state: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd finds it by this name)
        answer = await session.after_the_dot()
        if answer is None or answer == LOST or answer.startswith("2"):
            self._server.encrypted.append(session.is_encrypted)
            recipients, options = list(envelope.rcpt_tos), list(envelope.mail_options)
            self._server.messages.append(Received(envelope.mail_from, recipients, options, envelope.content))
        if answer == LOST:
            await session.hang_up()
        return answer or "250 taken"


def certified(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return how a mail server at 127.0.0.1 speaks TLS, and the file with the CA that vouches for it."""
    authority = Authority("Mail CA")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.server().write(folder, "mail"))
    return context, str(authority.write(folder, "mail-ca"))
