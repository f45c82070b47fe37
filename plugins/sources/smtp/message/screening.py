"""Mails that never become jobs: what programs answer to mails, what mailing lists send, and mails in a loop.

They are rejected and not dropped: the reply names the reason, for a scanner that marks its mails like that.
Source: RFC 3834 sections 2 and 5; RFC 5321 sections 4.5.5 and 6.3; RFC 6522; RFC 2919.
"""

from __future__ import annotations

from typing import Final

from postscan.plugins.sources.smtp.message.fields import BLOCK, Fields, end_of_block
from postscan.plugins.sources.smtp.message.structure import Content
from postscan.plugins.sources.smtp.replies import LOOP, NOT_USABLE, NOT_WANTED, Rejected

HOPS: Final = 30
"""Most servers that a mail may have passed: each adds a field Received."""

_LISTS: Final = ("auto_reply", "bulk", "junk", "list")


def screen(content: Content) -> Fields:
    """Return the fields of a mail; raise `Rejected` if no job may be made of it."""
    block = content[:BLOCK]
    size = end_of_block(block)
    if size < 0 and len(content) > BLOCK:
        raise Rejected(NOT_USABLE, f"the fields of the mail have more than {BLOCK:,} bytes")
    fields = Fields(block if size < 0 else block[:size])
    if fields.received > HOPS:
        raise Rejected(LOOP, f"the mail has passed more than {HOPS} servers; it may be in a loop")
    if reason := _unwanted(fields):
        raise Rejected(NOT_WANTED, f"no job is made of {reason}")
    return fields


def _unwanted(fields: Fields) -> str:
    """Return what a mail is that no scanner sends; empty if it may be one of a scanner."""
    if fields["auto-submitted"] not in ("", "no"):
        return f"an automatic mail (Auto-Submitted: {fields['auto-submitted']})"
    if fields["x-autoreply"] not in ("", "no") or fields["x-autorespond"]:
        return "an automatic reply"
    if fields["precedence"] in _LISTS or fields["list-id"]:
        return "a mail of a mailing list"
    return "a report about another mail" if fields.media_type == "multipart/report" else ""
