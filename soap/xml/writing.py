"""Write the messages of the server: the envelope, and escaping of text.

There is no white space between elements, since some clients compare without trimming. Source: ws-dsp.md sections 1
and 13.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from postscan.soap.xml import namespaces

_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even as a reference."""

_CHANGED: Final = re.compile("[^\t\n\x20-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that are not written as themselves: those, and `&`, `<`, `>` and the carriage return."""

_OPEN: Final = (
    f"<soap:Envelope {namespaces.DECLARATIONS}><soap:Header><wsa:To>{namespaces.ANONYMOUS}</wsa:To><wsa:Action>"
)


def escape(text: str) -> str:
    """Return *text* as the content of an element; characters that XML does not allow become U+FFFD."""
    if _CHANGED.search(text) is None:
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return _FORBIDDEN.sub("\ufffd", text)


def attribute(text: str) -> str:
    """Return *text* as the value of an attribute, for use between double quotes."""
    return escape(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


def element(clark: str, text: str) -> str:
    """Return an element with *text*; its namespace is declared on it unless the Envelope declares it."""
    uri, local = namespaces.split(clark)
    if not uri:
        return f"<{local}>{escape(text)}</{local}>"
    prefix = namespaces.prefix(uri)
    name = f"{prefix}:{local}"
    declared = "" if prefix in namespaces.PREFIXES else f' xmlns:{prefix}="{attribute(uri)}"'
    return f"<{name}{declared}>{escape(text)}</{name}>" if text else f"<{name}{declared}/>"


def write(action: str, relates_to: str, message_id: str, body: str, blocks: str = "") -> bytes:
    """Return an envelope. *body* and *blocks* (further header blocks) are XML; the other arguments are text."""
    return (
        f"{_OPEN}{escape(action)}</wsa:Action><wsa:MessageID>{escape(message_id)}</wsa:MessageID>"
        f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>{blocks}</soap:Header>"
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def new_message_id() -> str:
    """Return a new, unique MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"
