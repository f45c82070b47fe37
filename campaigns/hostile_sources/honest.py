"""An honest device: it sends a page by mail and a page by FTP, again and again, by the clients of Python."""

from __future__ import annotations

import contextlib
import ftplib
import hashlib
import io
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from acceptance.server import Server, digest
from mail_inlet import mail, page

from campaigns.flood.bystander import PATIENCE, PAUSE, Timed
from campaigns.flood.phases import Phase
from campaigns.hostile_sources.inlets import HONEST, LABEL, MAILS, UPLOADS, ServerInlets

HOST: Final = "127.0.0.1"
PAGE_BYTES: Final = 30_000
LATER: Final = (421, 452)
"""The replies that ask a client to come again."""

_RECIPIENT: Final = f"{LABEL.lower()}@scan.example"


class TurnedAway(Exception):
    """The server asks the client to come again; the text is its reply."""


@dataclass
class SendingNotes:
    """What the device sent: pairs of the moment it began and the seconds, by the name of the inlet.

    `stored` has what was acknowledged, and `refused` what is to come again; `replies` are those to the latter, each
    with its moment. `digests` are those of the pages that were acknowledged.
    """

    stored: dict[str, Timed] = field(default_factory=lambda: {MAILS: [], UPLOADS: []})
    refused: dict[str, Timed] = field(default_factory=lambda: {MAILS: [], UPLOADS: []})
    replies: list[tuple[float, str, str]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def replies_in(self, phase: Phase, inlet: str) -> Counter[str]:
        """Count the replies in a phase that ask the client of an inlet to come again, by their codes."""
        return Counter(
            reply[:3] for at, name, reply in self.replies if name == inlet and phase.began.at <= at < phase.ended.at
        )


class HonestDevice:
    """Sends mails and uploads, each kind in a thread of its own."""

    def __init__(self, server: Server) -> None:
        self.notes = SendingNotes()
        inlets = ServerInlets(server)
        self._ports = {name: inlets.port(name) for name in (MAILS, UPLOADS)}
        self._stop = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send while the body runs; then wait for the reply to the last page."""
        self._stop.clear()
        with ThreadPoolExecutor(len(self._ports)) as threads:
            futures = [threads.submit(self._repeat, *one) for one in ((MAILS, send_mail), (UPLOADS, upload))]
            try:
                yield
            finally:
                self._stop.set()
            for future in futures:
                future.result()

    def _repeat(self, inlet: str, send: Callable[[int, str, bytes], None]) -> None:
        while not self._stop.is_set():
            name = f"{inlet}-{time.monotonic_ns()}"
            self._send(inlet, send, name, page(name.encode(), PAGE_BYTES))
            self._stop.wait(PAUSE)

    def _send(self, inlet: str, send: Callable[[int, str, bytes], None], name: str, content: bytes) -> None:
        began = time.monotonic()
        try:
            send(self._ports[inlet], name, content)
        except TurnedAway as reply:
            self.notes.refused[inlet].append((began, time.monotonic() - began))
            self.notes.replies.append((began, inlet, str(reply)))
        except (OSError, EOFError, ftplib.Error, smtplib.SMTPException) as error:
            self.notes.broken.append(f"{name} was neither stored nor asked to come again: {error!r}")
        else:
            self.notes.stored[inlet].append((began, time.monotonic() - began))
            self.notes.digests.append(hashlib.sha256(content).hexdigest())


def send_mail(port: int, name: str, content: bytes) -> None:
    """Send a page by mail; raise `TurnedAway` if it is to come again."""
    try:
        with smtplib.SMTP(HOST, port, "scanner", PATIENCE, (HONEST, 0)) as client:
            client.sendmail("scanner@office.example", [_RECIPIENT], mail(content, subject=name))
    except smtplib.SMTPResponseException as error:
        if error.smtp_code not in LATER:
            raise
        raise TurnedAway(f"{error.smtp_code} {error.smtp_error!r}") from error


def upload(port: int, name: str, content: bytes) -> None:
    """Send a page by FTP; raise `TurnedAway` if it is to come again."""
    try:
        with ftplib.FTP(timeout=PATIENCE, source_address=(HONEST, 0)) as client:
            client.connect(HOST, port)
            client.login()
            client.storbinary(f"STOR /{LABEL}/{name}.png", io.BytesIO(content))
    except ftplib.error_temp as error:
        if int(str(error)[:3]) not in LATER:
            raise
        raise TurnedAway(str(error)) from error


def lost(server: Server, digests: list[str]) -> list[str]:
    """Return a sentence for each acknowledged page that the filter of its job has not delivered once."""
    delivered = Counter(digest(path) for path in server.out.iterdir() if path.is_file())
    return [
        f"a page that was acknowledged (SHA-256 {one}) was delivered {delivered[one]} times"
        for one in digests
        if delivered[one] != 1
    ]
