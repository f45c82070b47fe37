"""The dialogue with a mail server, from the connection to the end of the message.

A server accepts a message with the line "." behind it (RFC 5321 section 4.1.1.4); a connection that ends before has
sent no mail. So everything slow comes first and can be aborted at any moment; only that last line needs a grant, and is
not aborted.

Source: RFC 5321; RFC 3207 (STARTTLS), 1870 (SIZE), 4954 (AUTH), 6531 (SMTPUTF8); scan-process.md section 6.2.
"""

from __future__ import annotations

import contextlib
import queue
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from postscan.plugins import CancellationToken, FilterContext, FilterFailed, FilterReason
from postscan.plugins.filters.email.connection import ServerLimits, SmtpConnection, error_text, printable
from postscan.plugins.filters.email.message import MailMessage
from postscan.plugins.filters.email.settings import KEY, Settings
from postscan.plugins.retries import TryAgainLater, attempts, growing_pauses

AFTER_CANCEL: Final = 2.0  # seconds that the reply to the end of the message may take after the cancel

_PAUSES: Final = growing_pauses(0.5, factor=5)  # seconds: 0.5, 2.5, 12.5 ...
_UNUSABLE: Final = FilterReason.INVALID_SMTP_SERVER
_UNSENT: Final = FilterReason.UNABLE_TO_SEND_EMAIL

T = TypeVar("T")


class MailServer:
    """The mail server of the settings, with one connection to it at a time.

    What fails temporarily is attempted again on a new connection, `tries` times in all. Raises `FilterFailed`:
    `InvalidSMTPServer` until the login, `UnableToSendEmail` after it.
    """

    def __init__(self, job: FilterContext) -> None:
        self._job = job
        self._settings: Settings = job.settings
        self._token: CancellationToken = job.token
        self._name = "{}:{}".format(*self._settings.address)
        self._connection: SmtpConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect(send_quit=kind is None)

    def limits(self) -> ServerLimits:
        """Return what messages the server accepts."""
        return self._with_retries(lambda connection, last: connection.limits)

    def send(self, message: MailMessage, written: Path) -> dict[str, str]:
        """Send *message*, which is in the file *written*; return the refused recipients, each with the server's reply.

        The server may refuse some recipients: the others get the message. After a temporary refusal the message is
        attempted again for all of them, unless that was the last attempt.
        """
        return self._with_retries(partial(self._send, message, written))

    def _with_retries(self, step: Callable[[SmtpConnection, bool], T]) -> T:
        """Return the result of *step*, which gets a connection, and whether this is the last attempt."""
        for attempt in attempts(self._job, _PAUSES, most=self._settings.tries):
            with attempt:
                try:
                    self._connection = self._connection or self._connect()
                    return step(self._connection, attempt.retry_state.attempt_number == self._settings.tries)
                except BaseException:
                    self._disconnect()
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _disconnect(self, *, send_quit: bool = False) -> None:
        if self._connection is not None:
            if send_quit:
                self._connection.send_quit()
            self._connection.close()
            self._connection = None

    # --- up to the login -------------------------------------------------------------------------------------------

    def _connect(self) -> SmtpConnection:
        """Return a connection on which the server waits for a message."""
        connection = SmtpConnection(self._open_socket(), self._settings.ehlo_name, self._settings.seconds)
        try:
            with self._token.calling(connection.abort), self._retry_broken(_UNUSABLE):
                self._start_session(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_socket(self) -> socket.socket:
        """Connect in another thread: name resolution and a connect cannot be interrupted at the cancel."""
        results: queue.SimpleQueue[socket.socket | Exception] = queue.SimpleQueue()
        given_up = threading.Event()

        def connect() -> None:
            try:
                result = socket.create_connection(self._settings.address, self._settings.seconds)
            except (OSError, ValueError) as error:
                results.put(error)
                return
            results.put(result)
            if given_up.is_set():
                result.close()

        def give_up() -> None:
            given_up.set()
            results.put(ConnectionAbortedError())

        result: socket.socket | Exception | None = None
        try:
            with self._token.calling(give_up):
                threading.Thread(target=connect, name="postscan-smtp-connect", daemon=True).start()
                result = results.get()
        except BaseException:
            given_up.set()
            for one in (result, *_drained(results)):
                if isinstance(one, socket.socket):
                    one.close()
            raise
        if isinstance(result, socket.socket):
            return result
        raise TryAgainLater(f"{self._name}: cannot be reached: {error_text(result)}", reason=_UNUSABLE)

    def _start_session(self, connection: SmtpConnection) -> None:
        """Start TLS, send EHLO and log in, as far as the settings ask for it."""
        settings = self._settings
        if settings.tls == "implicit":
            self._encrypt(connection)
        self._expect(connection.getreply(), 220, "its greeting", _UNUSABLE)
        self._expect(connection.ehlo(), 250, "EHLO", _UNUSABLE)
        if settings.tls == "starttls":
            if not connection.has_extn("starttls"):
                raise FilterFailed(_UNUSABLE, f'{self._name}: it does not offer STARTTLS; {KEY}.tls is "starttls"')
            self._expect(connection.docmd("STARTTLS"), 220, "STARTTLS", _UNUSABLE)
            self._encrypt(connection)
            self._expect(connection.ehlo(), 250, "EHLO", _UNUSABLE)
        if settings.user:
            self._log_in(connection)

    def _encrypt(self, connection: SmtpConnection) -> None:
        """Start TLS; the certificate must be valid for the host of the settings."""
        try:
            context = ssl.create_default_context(cafile=self._settings.ca_file or None)
        except (ssl.SSLError, OSError) as error:
            raise FilterFailed(_UNUSABLE, f"{KEY}.ca_file cannot be used: {error_text(error)}") from error
        try:
            connection.encrypt(context, self._settings.host)
        except ssl.SSLEOFError:
            raise
        except ssl.SSLCertVerificationError as error:
            detail = f"{self._name}: its certificate is not accepted: {error.verify_message}"
            raise FilterFailed(_UNUSABLE, detail) from error
        except ssl.SSLError as error:
            raise FilterFailed(_UNUSABLE, f"{self._name}: TLS failed: {error_text(error)}") from error

    def _log_in(self, connection: SmtpConnection) -> None:
        """Log in. Failures leave out the text of the server's reply: a hostile server would put the password there."""
        password = self._settings.secret()
        try:
            connection.login(self._settings.user, password)
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPAuthenticationError as refusal:
            detail = f"{self._name}: the login of {self._settings.user} is refused ({refusal.smtp_code})"
            raise _failure(refusal.smtp_code, _UNUSABLE, detail) from None
        except (smtplib.SMTPException, ValueError):
            detail = f"{self._name}: it offers no supported way to log in; expected CRAM-MD5, PLAIN or LOGIN"
            raise FilterFailed(_UNUSABLE, detail) from None

    # --- a message -------------------------------------------------------------------------------------------------

    def _send(self, message: MailMessage, written: Path, connection: SmtpConnection, last: bool) -> dict[str, str]:
        with self._token.calling(connection.abort), self._retry_broken(_UNSENT):
            self._expect(connection.mail_from(message, written), 250, f"MAIL FROM {message.sender}", _UNSENT)
            refused = self._recipients(connection, message, last)
            self._expect(connection.docmd("DATA"), 354, "DATA", _UNSENT)
            connection.send_body(written, self._token)
        with self._job.publish(None, message.destination, message.id):
            self._end_of_data(connection)
        return refused

    def _recipients(self, connection: SmtpConnection, message: MailMessage, last: bool) -> dict[str, str]:
        """Send the recipients; return those that are refused, if at least one is accepted."""
        codes: dict[str, int] = {}
        refused: dict[str, str] = {}
        for address in message.recipients:
            self._token.check()
            code, text = connection.rcpt(address)
            if code not in (250, 251):
                codes[address], refused[address] = code, f"{code} {printable(text)}"
            if code == 421:
                break
        later = 421 in codes.values() or (not last and any(400 <= code < 500 for code in codes.values()))
        if later or len(refused) == len(message.recipients):
            detail = "; ".join(f"{self._name} refused {one}: {reply}" for one, reply in refused.items())
            raise TryAgainLater(detail, reason=_UNSENT) if later else FilterFailed(_UNSENT, detail)
        return refused

    def _end_of_data(self, connection: SmtpConnection) -> None:
        """End the message and wait for the reply; at most `AFTER_CANCEL` seconds after a cancel.

        The end cannot be taken back. Without a reply the mail may have arrived: after a cancel it counts as sent,
        otherwise the message is attempted again.
        """
        replied = threading.Event()

        def abort() -> None:
            if not replied.wait(AFTER_CANCEL):
                connection.abort()

        with self._token.calling(abort):
            try:
                with self._retry_broken(_UNSENT):
                    reply = connection.end_of_data()
            except TryAgainLater as lost:
                if not self._token.cancelled:
                    detail = f"{lost.detail}; the mail may have arrived nevertheless"
                    raise TryAgainLater(detail, reason=_UNSENT) from lost
                self._job.log(f"{self._name}: no answer before the cancel; the mail may have arrived", "warning")
                return
            finally:
                replied.set()
        self._expect(reply, 250, "the message", _UNSENT)

    # --- replies ---------------------------------------------------------------------------------------------------

    def _expect(self, reply: tuple[int, bytes], expected: int, step: str, reason: str) -> None:
        """Raise the failure for a reply with another code than the expected one."""
        code, text = reply
        if code == expected:
            return
        if code == -1:
            raise FilterFailed(reason, f"{self._name}: it does not speak SMTP: {printable(text)}")
        raise _failure(code, reason, f"{self._name}: {step}: {code} {printable(text)}")

    @contextlib.contextmanager
    def _retry_broken(self, reason: str) -> Iterator[None]:
        """Turn a connection that breaks in the body into `TryAgainLater`."""
        try:
            yield
        except OSError as error:
            raise TryAgainLater(f"{self._name}: the connection broke: {error_text(error)}", reason=reason) from error


def _failure(code: int, reason: str, detail: str) -> Exception:
    """Return the error for a reply: codes 4xx are temporary (RFC 5321 section 4.2.1)."""
    return TryAgainLater(detail, reason=reason) if 400 <= code < 500 else FilterFailed(reason, detail)


def _drained(results: queue.SimpleQueue[socket.socket | Exception]) -> Iterator[socket.socket | Exception]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield results.get_nowait()
