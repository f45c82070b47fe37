"""One mail to one recipient by SMTP: sent, refused for good, refused for now, or the server is away.

A reply of the server has the time of the settings, and the whole mail four times that, whatever the server sends.
Source: RFC 5321; RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final

from postscan.core.settings.job_mail import JobMailSettings

WHOLE: Final = 4
"""Times `seconds` for a whole mail."""

_READY, _AWAY, _REFUSED = 220, 421, 500  # codes of replies; those from 500 on are for good


class MailRefused(Exception):
    """The server refuses this mail, for good."""


class MailPostponed(Exception):
    """The server refuses this mail for now."""


class MailServerAway(Exception):
    """No mail can be sent now: the server is away, or refuses this server or its login.

    `in_mail`: the connection broke within a mail, which may be the cause.
    """

    def __init__(self, reason: str, *, in_mail: bool = False) -> None:
        super().__init__(reason)
        self.in_mail = in_mail


class JobMailServer:
    """The mail server of the settings. One thread sends; another one may abort."""

    def __init__(self, settings: JobMailSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def send(self, mail: EmailMessage) -> None:
        """Send a mail. Raises `MailRefused`, `MailPostponed`, `MailServerAway`."""
        deadline = threading.Timer(WHOLE * self._settings.seconds, self.abort)
        deadline.daemon = True
        deadline.start()
        in_mail = False
        try:
            with self._connected() as smtp:
                in_mail = True
                self._transfer(smtp, mail)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            raise MailServerAway(_text(error), in_mail=in_mail) from None
        finally:
            deadline.cancel()

    def abort(self) -> None:
        """Shut the connection down, if there is one: what waits for a reply fails."""
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        """Yield a connection with TLS and login, as the settings want them."""
        settings = self._settings
        connection = socket.create_connection(settings.address, settings.seconds)
        try:
            with self._lock:
                self._socket = connection.dup()  # TLS detaches the socket itself
            if settings.tls == "implicit":
                connection = self._encrypted(connection)
            smtp = smtplib.SMTP(local_hostname=settings.ehlo_name, timeout=settings.seconds)
            smtp.sock = connection
            try:
                self._begin(smtp)
                yield smtp
                smtp.putcmd("QUIT")  # its reply is of no use
            finally:
                smtp.close()
        finally:
            connection.close()
            with self._lock:
                if self._socket is not None:
                    self._socket.close()
                self._socket = None

    def _begin(self, smtp: smtplib.SMTP) -> None:
        _expect(smtp.getreply(), _READY)
        smtp.ehlo_or_helo_if_needed()
        if self._settings.tls == "starttls":
            _expect(smtp.docmd("STARTTLS"), _READY)
            assert isinstance(smtp.sock, socket.socket)
            smtp.sock = self._encrypted(smtp.sock)
            smtp.file = None  # what the server sent before TLS does not count (RFC 3207 section 4.2)
            smtp.ehlo_resp = smtp.helo_resp = None
            smtp.esmtp_features = {}
            smtp.ehlo_or_helo_if_needed()
        if self._settings.user:
            smtp.login(self._settings.user, self._password())

    def _encrypted(self, connection: socket.socket) -> ssl.SSLSocket:
        authorities = self._settings.ca_file
        context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
        return context.wrap_socket(connection, server_hostname=self._settings.host)

    def _password(self) -> str:
        file = self._settings.password_file
        if file is None:
            return self._settings.password
        lines = file.read_text("utf-8").splitlines()
        if not lines or not lines[0].isascii():
            raise ValueError("job_mail.password_file has no password in ASCII in its first line")
        return lines[0]

    def _transfer(self, smtp: smtplib.SMTP, mail: EmailMessage) -> None:
        _expect(smtp.mail(self._settings.sender), 250)
        (recipient,) = mail["To"].addresses
        _check(smtp.rcpt(recipient.addr_spec), 250, 251)
        try:
            reply = smtp.data(mail.as_bytes(policy=SMTP))
        except smtplib.SMTPDataError as error:
            reply = error.smtp_code, _bytes(error.smtp_error)
        _check(reply, 250)


def _expect(reply: tuple[int, bytes], code: int) -> None:
    """Raise `MailServerAway` for another reply: no other mail would get a better one."""
    if reply[0] != code:
        raise MailServerAway(_shown(reply))


def _check(reply: tuple[int, bytes], *codes: int) -> None:
    """Raise an error for another reply: about this mail alone, unless the server closes the connection."""
    if reply[0] in codes:
        return
    if reply[0] == _AWAY or reply[0] < 0:
        raise MailServerAway(_shown(reply))
    raise (MailRefused if reply[0] >= _REFUSED else MailPostponed)(_shown(reply))


def _shown(reply: tuple[int, bytes]) -> str:
    return _line(f"{reply[0]} {reply[1].decode('utf-8', 'replace')}")


def _text(error: Exception) -> str:
    """Return why no mail can be sent; a reply to a login does not have the password."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _shown((error.smtp_code, _bytes(error.smtp_error)))
    return _line((error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")


def _line(text: str) -> str:
    """Return a text of the server as one line of at most 200 printable characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]
