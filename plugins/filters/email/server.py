"""The conversation with a mail server, up to the last dot.

A message is accepted by the dot behind it and by nothing before: whoever is cut off earlier has sent nothing. So all
that takes long comes first and can be cut at any moment; the dot alone waits for leave, and is not cut.

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
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from postscan.plugins import CancellationToken, FilterContext, FilterFailed, FilterReason
from postscan.plugins.filters.email.connection import Offer, SmtpConnection, said, why
from postscan.plugins.filters.email.message import MailMessage
from postscan.plugins.filters.email.settings import KEY, Settings

FIRST_PAUSE: Final = 0.5  # seconds before the second try; each next pause is five times as long
AFTER_CANCEL: Final = 2.0  # seconds that the answer to the dot may take once the job was cancelled

_UNUSABLE: Final = FilterReason.INVALID_SMTP_SERVER
_UNSENT: Final = FilterReason.UNABLE_TO_SEND_EMAIL

T = TypeVar("T")


class TryLater(FilterFailed):
    """It did not work now: the server said so, or it is away."""


class MailServer:
    """The mail server of the settings, with one connection to it at a time.

    Whatever does not work now is tried again, `tries` times in all, on a new connection. Raises `FilterFailed`:
    `InvalidSMTPServer` before the server has let us in, `UnableToSendEmail` from then on.
    """

    def __init__(self, job: FilterContext) -> None:
        self._job = job
        self._settings: Settings = job.settings
        self._token: CancellationToken = job.token
        self._name = "{}:{}".format(*self._settings.address)
        self._line: SmtpConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up(politely=kind is None)

    def offer(self) -> Offer:
        """Return what the server takes."""
        return self._trying(lambda line, last: line.offer)

    def send(self, message: MailMessage, written: Path) -> dict[str, str]:
        """Send *message*, which is in the file *written*; return who was refused, and the server's words for it.

        The server may refuse some recipients: then the others get it. Whom it refuses for now is tried again with
        all the others, unless that was the last try.
        """
        return self._trying(lambda line, last: self._send(line, message, written, last))

    def _trying(self, do: Callable[[SmtpConnection, bool], T]) -> T:
        """Do something on the line to the server, again if need be."""
        left, pause = self._settings.tries, FIRST_PAUSE
        while True:
            left -= 1
            try:
                self._line = self._line or self._connected()
                return do(self._line, left == 0)
            except TryLater as later:
                self._hang_up()
                if not left:
                    raise
                self._job.log(f"{later.detail}; next try in {pause:g} s", "warning")
            except BaseException:
                self._hang_up()
                raise
            self._token.wait(pause)
            self._token.check()
            pause *= 5

    def _hang_up(self, *, politely: bool = False) -> None:
        if self._line is not None:
            if politely:
                self._line.say_goodbye()
            self._line.close()
            self._line = None

    # --- before the server has let us in ---------------------------------------------------------------------------

    def _connected(self) -> SmtpConnection:
        """Return a line on which the server waits for a message."""
        line = SmtpConnection(self._dialled(), self._settings.ehlo_name, self._settings.seconds)
        try:
            with self._token.calling(line.cut), self._answering(_UNUSABLE):
                self._introduce(line)
        except BaseException:
            line.close()
            raise
        return line

    def _dialled(self) -> socket.socket:
        """Connect, in another thread: neither a name server nor a silent host can be hurried."""
        answers: queue.SimpleQueue[socket.socket | Exception] = queue.SimpleQueue()
        given_up = threading.Event()

        def dial() -> None:
            try:
                answer = socket.create_connection(self._settings.address, self._settings.seconds)
            except (OSError, ValueError) as error:
                answers.put(error)
                return
            answers.put(answer)
            if given_up.is_set():
                answer.close()

        def give_up() -> None:
            given_up.set()
            answers.put(ConnectionAbortedError())

        answer: socket.socket | Exception | None = None
        try:
            with self._token.calling(give_up):
                threading.Thread(target=dial, name="postscan-dial", daemon=True).start()
                answer = answers.get()
        except BaseException:
            given_up.set()
            for one in (answer, *_rest(answers)):
                if isinstance(one, socket.socket):
                    one.close()
            raise
        if isinstance(answer, socket.socket):
            return answer
        raise TryLater(_UNUSABLE, f"{self._name}: cannot be reached: {why(answer)}")

    def _introduce(self, line: SmtpConnection) -> None:
        """Encrypt the line, say who we are, and log in: whatever the settings ask for, and never less."""
        settings = self._settings
        if settings.tls == "implicit":
            self._encrypt(line)
        self._expect(line.getreply(), 220, "its greeting", _UNUSABLE)
        self._expect(line.ehlo(), 250, "EHLO", _UNUSABLE)
        if settings.tls == "starttls":
            if not line.has_extn("starttls"):
                raise FilterFailed(_UNUSABLE, f'{self._name}: it does not offer STARTTLS; {KEY}.tls is "starttls"')
            self._expect(line.docmd("STARTTLS"), 220, "STARTTLS", _UNUSABLE)
            self._encrypt(line)
            self._expect(line.ehlo(), 250, "EHLO", _UNUSABLE)
        if settings.user:
            self._log_in(line)

    def _encrypt(self, line: SmtpConnection) -> None:
        """Let TLS begin; the certificate must be good for the host of the settings."""
        try:
            context = ssl.create_default_context(cafile=self._settings.ca_file or None)
        except (ssl.SSLError, OSError) as error:
            raise FilterFailed(_UNUSABLE, f"{KEY}.ca_file cannot be used: {why(error)}") from error
        try:
            line.encrypt(context, self._settings.host)
        except ssl.SSLEOFError:
            raise
        except ssl.SSLCertVerificationError as error:
            detail = f"{self._name}: its certificate is not accepted: {error.verify_message}"
            raise FilterFailed(_UNUSABLE, detail) from error
        except ssl.SSLError as error:
            raise FilterFailed(_UNUSABLE, f"{self._name}: TLS failed: {why(error)}") from error

    def _log_in(self, line: SmtpConnection) -> None:
        """Log in. The server's words are left out of what goes wrong: a hostile one would repeat the password."""
        password = self._settings.secret()
        try:
            line.login(self._settings.user, password)
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPAuthenticationError as refusal:
            detail = f"{self._name}: it does not let {self._settings.user} in ({refusal.smtp_code})"
            raise _kind(refusal.smtp_code)(_UNUSABLE, detail) from None
        except (smtplib.SMTPException, ValueError):
            detail = f"{self._name}: it offers no way to log in; expected CRAM-MD5, PLAIN or LOGIN"
            raise FilterFailed(_UNUSABLE, detail) from None

    # --- a message -------------------------------------------------------------------------------------------------

    def _send(self, line: SmtpConnection, message: MailMessage, written: Path, last: bool) -> dict[str, str]:
        with self._token.calling(line.cut), self._answering(_UNSENT):
            self._expect(line.mail_from(message, written), 250, f"MAIL FROM {message.sender}", _UNSENT)
            refused = self._recipients(line, message, last)
            self._expect(line.docmd("DATA"), 354, "DATA", _UNSENT)
            line.send_body(written, self._token)
        with self._job.publish(None, message.destination, message.id):
            self._dot(line)
        return refused

    def _recipients(self, line: SmtpConnection, message: MailMessage, last: bool) -> dict[str, str]:
        """Name the recipients; return those that are refused, if at least one is not."""
        codes: dict[str, int] = {}
        refused: dict[str, str] = {}
        for address in message.recipients:
            self._token.check()
            code, text = line.rcpt(address)
            if code not in (250, 251):
                codes[address], refused[address] = code, f"{code} {said(text)}"
            if code == 421:
                break
        later = 421 in codes.values() or (not last and any(400 <= code < 500 for code in codes.values()))
        if later or len(refused) == len(message.recipients):
            kind = TryLater if later else FilterFailed
            raise kind(_UNSENT, "; ".join(f"{self._name} refused {one}: {words}" for one, words in refused.items()))
        return refused

    def _dot(self, line: SmtpConnection) -> None:
        """Send the dot, and wait for the answer; not much longer once the job was cancelled.

        The dot cannot be taken back. Without an answer the mail may have arrived, so it counts as sent after a
        cancel, and is tried again without one.
        """
        answered = threading.Event()

        def cut() -> None:
            if not answered.wait(AFTER_CANCEL):
                line.cut()

        with self._token.calling(cut):
            try:
                with self._answering(_UNSENT):
                    reply = line.dot()
            except TryLater as lost:
                if not self._token.cancelled:
                    raise TryLater(_UNSENT, f"{lost.detail}; the mail may have arrived all the same") from lost
                self._job.log(f"{self._name}: no answer before the cancel; the mail may have arrived", "warning")
                return
            finally:
                answered.set()
        self._expect(reply, 250, "the message", _UNSENT)

    # --- what the server says --------------------------------------------------------------------------------------

    def _expect(self, reply: tuple[int, bytes], good: int, what: str, reason: str) -> None:
        """Raise the right failure if the reply is not the good one."""
        code, text = reply
        if code == good:
            return
        if code == -1:
            raise FilterFailed(reason, f"{self._name}: it does not speak SMTP: {said(text)}")
        raise _kind(code)(reason, f"{self._name}: {what}: {code} {said(text)}")

    @contextlib.contextmanager
    def _answering(self, reason: str) -> Iterator[None]:
        """Turn a connection that broke in the body into a failure that is tried again."""
        try:
            yield
        except OSError as error:
            raise TryLater(reason, f"{self._name}: the connection broke: {why(error)}") from error


def _kind(code: int) -> type[FilterFailed]:
    return TryLater if 400 <= code < 500 else FilterFailed


def _rest(answers: queue.SimpleQueue[socket.socket | Exception]) -> Iterator[socket.socket | Exception]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield answers.get_nowait()
