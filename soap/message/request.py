"""One request read from its envelope, and faults related to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from postscan.core.errors import Throttled
from postscan.soap.message import addressing, envelope, faults


class NoAnswer(Exception):
    """The transport broke: there is nobody to send a fault to, or nothing to put into one."""


@dataclass(frozen=True, slots=True)
class SoapRequest:
    """A request that was read and not yet understood; if its body is empty, `body` is the Body itself."""

    header: addressing.Header
    body: etree._Element


def parse_request(data: bytes) -> SoapRequest:
    """Return the message in the SOAP part of a request; the `Fault` that it raises knows what it relates to."""
    message = envelope.read(data)
    try:
        return SoapRequest(addressing.read(message.headers), message.body)
    except faults.Fault as fault:
        fault.relates_to = addressing.message_id(message.headers)
        raise


@contextlib.contextmanager
def relating_faults(message_id: str) -> Iterator[None]:
    """Turn every error of the body into a fault that relates to the message of this id."""
    try:
        yield
    except (NoAnswer, Throttled):
        raise
    except faults.Fault as fault:
        fault.relates_to = message_id
        raise
    except Exception as error:
        known = faults.from_error(error)
        known.relates_to = message_id
        raise known from error
