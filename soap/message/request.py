"""One request: its addressing header, and the element in its body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from postscan.soap.message import addressing, envelope


@dataclass(frozen=True, slots=True)
class SoapRequest:
    """A request whose header is checked and whose body is not; `body` is the Body itself if the Body is empty."""

    header: addressing.Header
    body: etree._Element


def _ignore(_message_id: str | None) -> None:
    """Drop the MessageID."""


def parse_request(data: bytes, on_message_id: Callable[[str | None], None] = _ignore) -> SoapRequest:
    """Return the request in *data*; raise `Fault` if it is none, or if its header allows no reply.

    *on_message_id* receives the MessageID (None if there is none) as soon as the header blocks are found and before
    they are checked, so that the caller can relate every later fault to the message.
    """
    root = envelope.parse_envelope(data)
    blocks = envelope.headers(root)
    on_message_id(addressing.message_id(blocks))
    body = envelope.body(root, data)
    return SoapRequest(addressing.read(blocks), body)
