"""The negative replies of the server: a code, an enhanced status code, and a sentence for people at the device.

A reply that begins with 4 asks the client to come again, one that begins with 5 does not.
Source: RFC 5321 section 4.2; RFC 3463.
"""

from __future__ import annotations

from typing import Final

TOO_LARGE: Final = "552 5.3.4"
NO_ROOM: Final = "452 4.3.1"  # the disk, or what all mails together may take of it
BUSY: Final = "452 4.3.2"
LATER: Final = "451 4.3.0"
UNKNOWN: Final = "550 5.1.1"
NOT_WANTED: Final = "554 5.7.1"
NOT_USABLE: Final = "554 5.6.0"  # the content
LOOP: Final = "554 5.4.6"
MANY_RECIPIENTS: Final = "452 4.5.3"
CLOSING: Final = "421 4.3.2"
TOO_MANY: Final = "421 4.7.0"
TOO_LONG: Final = "500 5.5.6"
LATE: Final = "421 4.4.2"
BARE_NEWLINE: Final = "521 5.5.2"

_LONGEST: Final = 500  # bytes of a reply, which may have 512 with its code and end (RFC 5321 section 4.5.3.1.5)


class Rejected(Exception):
    """A mail, a recipient or a client that is not accepted, with the reply to it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def reply(self) -> str:
        """The reply as one line, without its end."""
        return reply(self.code, self.text)


def reply(code: str, text: str) -> str:
    """Return one line of ASCII; a text may have names from a mail in it, so no byte of it can end the line."""
    visible = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return f"{code} {visible}"[:_LONGEST]
