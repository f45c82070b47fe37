"""Mail, whose end is a line with a dot: the file is an attachment."""

from __future__ import annotations

import email.policy
import random
from email.message import EmailMessage
from typing import Final

from mail_inlet import RawClient, stuffed

from campaigns.cuts.receiver import LABEL
from campaigns.cuts.scans import Scan, cut_at
from campaigns.cuts.way import NotTaken, Sending, Way, break_off, connect

RECIPIENT: Final = f"{LABEL.lower()}@scan.example"


class Mail(Way):
    """A client that is cut inside DATA, at any byte of the mail: of a field, of the text, of the attachment."""

    name = "mail"
    inlet = "mail"

    def send(self, scan: Scan) -> None:
        """Send the mail, and read the reply to its end."""
        with self._client() as client:
            reply = client.send(_message(scan), RECIPIENT)
            client.say("QUIT")
        if not reply.startswith("250"):
            raise NotTaken(reply)

    def cut(self, scan: Scan, dice: random.Random) -> Sending:
        """Send a part of the mail, then close or reset the connection."""
        mail = stuffed(_message(scan)) + b".\r\n"
        sent = cut_at(dice, len(mail))
        with self._client() as client:
            if not (reply := client.envelope(RECIPIENT)).startswith("354"):
                raise NotTaken(reply)
            client.channel.sendall(mail[:sent])
            how = break_off(client.channel, dice)
        return Sending(self.part(scan, f"{sent} bytes of {len(mail)} of the mail, {how}"), scan)

    def _client(self) -> RawClient:
        """Connect, and read the greeting."""
        client = RawClient(connect(self.receiver.ports[self.inlet]))
        if not (greeting := client.reply()).startswith("220"):
            client.close()
            raise NotTaken(greeting)
        return client


def _message(scan: Scan) -> bytes:
    """Return a mail with the file as its attachment."""
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = "scanner@office.example"
    mail["To"] = RECIPIENT
    mail["Subject"] = scan.name
    mail.set_content("The scan is attached.\n")
    mail.add_attachment(scan.content, maintype="application", subtype="octet-stream", filename=scan.name)
    return mail.as_bytes()
