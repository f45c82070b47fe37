"""What crosses the pipe between the server and a worker: one JSON object a message, in both directions.

Never a pickle: a hostile filter must not be able to run code in the process that started it. The worker's messages
are read as data from a stranger: `read` refuses what is too long or no object, and each field is checked where it
is used.
"""

from __future__ import annotations

import json
from typing import Any, Final

LONGEST: Final = 1 << 20
"""Most bytes of one message; what a filter says beyond that is its own loss."""

Message = dict[str, Any]


class BadMessage(Exception):
    """The other side of the pipe said something that is not a message."""


def write(message: Message) -> bytes:
    """Return the bytes of *message*."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode()


def read(data: bytes) -> Message:
    """Return the message in *data*, or raise `BadMessage`."""
    if len(data) > LONGEST:
        raise BadMessage(f"a message of {len(data)} bytes")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if not isinstance(message, dict):
        raise BadMessage(f"expected an object, got {type(message).__name__}")
    return message


def decode(data: bytes) -> Message:
    """Return the message of a stranger in *data*: as `read`, and its texts hold only what a database takes."""
    message = read(data)
    if b"\\u" in data or not data.isascii():
        message = {_clean(key): _clean(value) for key, value in message.items()}
    return message


def _clean(value: Any) -> Any:
    """Replace NUL and halves of characters in all texts of *value*."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "?")
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items()}
    return value
