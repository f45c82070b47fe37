"""The mail addresses that are accepted: fewer than the standards allow.

Quotes, comments, groups, routes and address literals are refused, since a header, a command or a relay could interpret
them in two ways. Letters of every script are accepted; the mail server then has to offer SMTPUTF8.

Source: RFC 5321 section 4.1.2, RFC 6531 section 3.3; scan-process.md section 6.2 (PSP-023).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

EXPECTED: Final = "a plain address such as anna@fabrikam.example"

_ASCII: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_LOCAL: Final = _ASCII | frozenset("._+'&=/~#*$^{}?|-")  # without % and !, which old relays interpret as routes
_LABEL: Final = _ASCII | {"-"}
_LONGEST: Final = 254  # bytes of an address; of them at most 64 before the @, and 63 in each label behind it


def is_address(text: str) -> bool:
    """Return whether *text* is exactly one address."""
    local, _, domain = text.rpartition("@")
    return len(text.encode("utf-8", "replace")) <= _LONGEST and _is_local(local) and is_domain(domain)


def is_domain(text: str) -> bool:
    """Return whether *text* is the name of a domain or of a host."""
    return all(_is_label(label) for label in text.split("."))


def domain_of(address: str) -> str:
    """Return the domain of an address, in lower case."""
    return address.rpartition("@")[2].lower()


def _is_local(text: str) -> bool:
    """Return whether *text* is accepted before the @.

    Dots are accepted inside only; an encoded word is refused, and so is a first character of a path, a pipe or an
    option.
    """
    return (
        0 < len(text.encode("utf-8", "replace")) <= 64
        and _only(text, _LOCAL)
        and not re.match(r"[^\w]", text)
        and ".." not in text
        and not text.endswith(".")
        and "=?" not in text
    )


def _is_label(text: str) -> bool:
    return 0 < len(text.encode("utf-8", "replace")) <= 63 and _only(text, _LABEL) and text[0] != "-" and text[-1] != "-"


def _only(text: str, ascii: frozenset[str]) -> bool:
    """Return whether there are only these characters, and letters, marks and digits beyond ASCII."""
    return all(c in ascii or (not c.isascii() and unicodedata.category(c)[0] in "LMN") for c in text)
