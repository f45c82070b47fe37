"""Devices that send one page to an inlet, each with a client of Python's standard library.

A device sends the same again until it is acknowledged: the file under its name, the request, or the mail.
"""

from __future__ import annotations

import contextlib
import ftplib
import http.client
import io
import smtplib
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from mail_inlet import mail

LABEL: Final = "Scans"
"""The label of the destination of all inlets."""

_SECONDS: Final = 120.0  # for a reply
_MAIL_FROM: Final = "scanner@office.example"
_RECIPIENT: Final = f"{LABEL.lower()}@scan.example"


class Outcome(StrEnum):
    """What a device knows of its page."""

    TAKEN = "taken"  # it was acknowledged
    LATER = "later"  # it was not, and is sent again
    REFUSED = "refused"  # it was refused for good


class Reply(NamedTuple):
    """What a device got: `code` is that of the reply, 0 if there was none."""

    outcome: Outcome
    code: int = 0
    text: str = ""


class Sender(Protocol):
    """A device with one page."""

    def send(self) -> Reply:
        """Send the page once. A connection that fails is no error: the page was not acknowledged."""


class FolderSender:
    """Puts a file into a watched folder once; it is acknowledged when the folder is empty again."""

    def __init__(self, settings: Mapping[str, Any], name: str, page: bytes) -> None:
        self._folder = Path(settings["folder"])
        self._name = name
        self._page = page
        self._is_there = False

    def send(self) -> Reply:
        """Put the file there, unless that was done before, and look whether it was taken."""
        if not self._is_there:
            new = self._folder.with_name(f"{self._name}.new")
            new.write_bytes(self._page)
            new.rename(self._folder / self._name)
            self._is_there = True
        left = sorted(str(path.relative_to(self._folder)) for path in self._folder.rglob("*") if path.is_file())
        if not left:
            return Reply(Outcome.TAKEN)
        is_refused = any("/" in path for path in left)
        return Reply(Outcome.REFUSED if is_refused else Outcome.LATER, text=f"the folder has {', '.join(left)}")


class FtpSender:
    """Uploads a file, each time in a session of its own."""

    def __init__(self, settings: Mapping[str, Any], name: str, page: bytes) -> None:
        self._address: tuple[str, int] = settings["host"], settings["port"]
        self._name = name
        self._page = page

    def send(self) -> Reply:
        """Upload the file."""
        try:
            with contextlib.closing(ftplib.FTP(timeout=_SECONDS)) as client:
                client.connect(*self._address)
                client.login()
                return _of_line(client.storbinary(f"STOR {self._name}", io.BytesIO(self._page)))
        except ftplib.Error as error:
            return _of_line(str(error))
        except (OSError, EOFError) as error:
            return Reply(Outcome.LATER, text=repr(error))


class MailSender:
    """Sends a mail that has the page as its attachment."""

    def __init__(self, settings: Mapping[str, Any], name: str, page: bytes) -> None:
        self._address: tuple[str, int] = settings["host"], settings["port"]
        self._mail = mail(page, subject=name)

    def send(self) -> Reply:
        """Send the mail."""
        try:
            with contextlib.closing(smtplib.SMTP(*self._address, "scanner.example", _SECONDS)) as client:
                return self._send(client)
        except smtplib.SMTPResponseException as error:
            return Reply(_outcome(error.smtp_code), error.smtp_code, str(error.smtp_error))
        except OSError as error:  # the other errors of smtplib are such as well
            return Reply(Outcome.LATER, text=repr(error))

    def _send(self, client: smtplib.SMTP) -> Reply:
        """Send the mail, up to the first refusal."""
        client.ehlo()
        code, text = client.mail(_MAIL_FROM)
        if code < 400:
            code, text = client.rcpt(_RECIPIENT)
        if code < 400:
            code, text = client.data(self._mail)
        return Reply(_outcome(code), code, text.decode("utf-8", "replace"))


class WebSender:
    """Sends a file by PUT."""

    def __init__(self, settings: Mapping[str, Any], name: str, page: bytes) -> None:
        self._address: tuple[str, int] = settings["host"], settings["port"]
        self._path = f"/{LABEL}/{name}"
        self._page = page

    def send(self) -> Reply:
        """Send the request."""
        try:
            with contextlib.closing(http.client.HTTPConnection(*self._address, timeout=_SECONDS)) as client:
                client.request("PUT", self._path, self._page)
                response = client.getresponse()
                later = response.status >= 500 or response.status in (408, 429)
                outcome = Outcome.TAKEN if response.status < 300 else Outcome.LATER if later else Outcome.REFUSED
                return Reply(outcome, response.status, response.reason)
        except (OSError, http.client.HTTPException) as error:
            return Reply(Outcome.LATER, text=repr(error))


SENDERS: Final[Mapping[str, Callable[[Mapping[str, Any], str, bytes], Sender]]] = {
    "folder": FolderSender,
    "ftp": FtpSender,
    "smtp": MailSender,
    "web": WebSender,
}
"""By the plugin of the inlet; made of its settings, a name of the page, and the page."""


def _of_line(line: str) -> Reply:
    """Return what a line of FTP replies."""
    code = int(line[:3]) if line[:3].isdigit() else 0
    return Reply(_outcome(code), code, line)


def _outcome(code: int) -> Outcome:
    """Return what a code of FTP or SMTP says of a page."""
    if 200 <= code < 300:
        return Outcome.TAKEN
    return Outcome.REFUSED if code >= 500 else Outcome.LATER
