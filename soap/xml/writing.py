"""The bytes of every message that we send: one prepared envelope, and the one place where text is escaped.

Source: ws-dsp.md sections 1 and 13. Nothing stands between the elements: some clients compare without trimming.
"""

from __future__ import annotations

import re
import uuid
from typing import Final

from postscan.soap.xml import namespaces

_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot carry, not even as a reference."""

_OPEN: Final = (
    f"<soap:Envelope {namespaces.DECLARATIONS}><soap:Header><wsa:To>{namespaces.ANONYMOUS}</wsa:To><wsa:Action>"
)


def escape(text: str) -> str:
    """Return *text* as the content of an element; what XML cannot carry becomes U+FFFD."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")
    return _FORBIDDEN.sub("\ufffd", text)


def attribute(text: str) -> str:
    """Return *text* as the value of an attribute, to be put between double quotes."""
    return escape(text).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")


def element(clark: str, text: str) -> str:
    """Return an element that holds *text*; its namespace is declared on it unless the Envelope does that."""
    uri, local = namespaces.split(clark)
    if not uri:
        return f"<{local}>{escape(text)}</{local}>"
    prefix = namespaces.prefix(uri)
    name = f"{prefix}:{local}"
    declared = "" if prefix in namespaces.PREFIXES else f' xmlns:{prefix}="{attribute(uri)}"'
    return f"<{name}{declared}>{escape(text)}</{name}>" if text else f"<{name}{declared}/>"


def write(action: str, relates_to: str, message_id: str, body: str, blocks: str = "") -> bytes:
    """Return a whole answer. *body* and *blocks* (further header blocks) are XML already; the rest is text."""
    return (
        f"{_OPEN}{escape(action)}</wsa:Action><wsa:MessageID>{escape(message_id)}</wsa:MessageID>"
        f"<wsa:RelatesTo>{escape(relates_to)}</wsa:RelatesTo>{blocks}</soap:Header>"
        f"<soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def new_message_id() -> str:
    """Return a MessageID that was never used before."""
    return f"urn:uuid:{uuid.uuid4()}"
