"""What a client sends: who it is, the envelope of a mail, and what the inlet does with them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from aiosmtpd.smtp import Envelope

from postscan.plugins.sources.smtp.incoming import IncomingMail
from postscan.plugins.sources.smtp.settings import Settings


@dataclass(frozen=True)
class Sender:
    """Who sends: an account that has proven itself, or the device at an address."""

    proof: Literal["device", "clear", "password"]
    address: str
    account: str = ""

    @property
    def subject(self) -> str:
        """The account, or else the address."""
        return self.account or self.address


@dataclass(frozen=True)
class MailSubmission:
    """The envelope of a mail: `destinations` are ids, each with the recipient that named it."""

    sender: Sender
    mail_from: str
    destinations: dict[str, str]

    def key(self, destination: str, sha256: str) -> str:
        """Return the key of the origin: the same envelope and content give the same one.

        A client that did not get the reply sends the same again, perhaps from another address.
        """
        facts = (self.mail_from, self.sender.account, destination, sha256)
        return hashlib.sha256("\0".join(facts).encode("utf-8", "surrogateescape")).hexdigest()


class MailEnvelope(Envelope):
    """The envelope of aiosmtpd, with the destinations of the recipients."""

    def __init__(self) -> None:
        super().__init__()
        self.destinations: dict[str, str] = {}


class Receiver(Protocol):
    """The inlet, as a session sees it. What it cannot do raises `Rejected`, with the reply."""

    settings: Settings

    def log(self, text: str, level: str = "info", **fields: object) -> None:
        """Write an event into the server's log, without waiting."""

    def destination(self, recipient: str) -> str:
        """Return the id of the destination of a recipient."""

    def check_room(self, client: str, size: int) -> None:
        """Check whether there is room for a mail of this size from this client."""

    def new_mail(self, client: str) -> IncomingMail:
        """Return an empty mail of a client."""

    async def write(self, mail: IncomingMail, content: bytes) -> None:
        """Append to a mail."""

    async def has_password(self, account: str, password: str, address: str) -> bool:
        """Return whether an account has this password."""

    async def store(self, mail: IncomingMail, submission: MailSubmission, free: Callable[[], None]) -> None:
        """Make the jobs of a mail, and return when all of them are stored.

        When nothing more is done with the mail, also after this was cancelled, it is closed and *free* is called.
        """
