"""Messages between two processes as lines of JSON: texts that every database takes, bounds, and errors in one line.

The kinds of messages are in `postscan.core.workers.protocol` and `postscan.core.filters.source.messages`. The format is
JSON and never pickle, since code of a plugin may write to the socket: `read` accepts a message only if its type is
known, its fields are complete and of the right kinds, no field is unknown, and each text is within its length. NUL and
unpaired surrogates in texts become "?", which every database takes.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

LONGEST: Final = 1 << 20
"""Most bytes of one message; a process that sends more is killed."""

DEEPEST: Final = 32
"""Most lists and tables in one another; Python stops at some hundreds, and where depends on the caller."""

NAME: Final = 2048
SENTENCE: Final = 2000
TRACEBACK: Final = 8000
WORD: Final = 64
"""Most characters of a name, of a sentence, of a traceback, of a unit or level."""

KEY: Final = 2500
"""Most bytes in UTF-8 of a text that is part of a key of the database."""

_T = TypeVar("_T")
_PROBLEM: Final = 300  # characters of a validation error that are kept: it quotes what the other side sent


class BadMessage(Exception):
    """The bytes from the other side are not a message of the protocol."""


def storable(value: Any) -> Any:
    """Replace NUL and unpaired surrogates in a text, and in all texts of a list or table."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _replaced(value)
    if isinstance(value, list):
        return [storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(key): storable(one) for key, one in value.items()}
    return value


def _replaced(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _indexable(text: str) -> str:
    """Return a text that fits into an index of PostgreSQL; raise `ValueError`."""
    size = len(text.encode())
    if size > KEY:
        raise ValueError(f"{size} bytes in UTF-8; expected at most {KEY}")
    return text


Text = Annotated[str, Field(strict=True), BeforeValidator(storable)]
Name = Annotated[str, Field(strict=True, max_length=NAME), BeforeValidator(storable)]
Indexed = Annotated[Name, AfterValidator(_indexable)]
Sentence = Annotated[str, Field(strict=True, max_length=SENTENCE), BeforeValidator(storable)]
Word = Annotated[str, Field(strict=True, max_length=WORD), BeforeValidator(storable)]
Trace = Annotated[str, Field(strict=True, max_length=TRACEBACK), BeforeValidator(storable)]
"""Texts of messages, each with its length."""


class Message(BaseModel):
    """Base class of all messages; an error about one does not show its fields, which may be secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def write(message: Message) -> bytes:
    """Return a message as one line of JSON, its end included."""
    return json.dumps(message.model_dump(), ensure_ascii=True, separators=(",", ":"), default=str).encode() + b"\n"


def read(adapter: TypeAdapter[_T], line: bytes, *, clean: bool = False, longest: int = LONGEST) -> _T:
    """Return the message in a line, of one of the adapter's types and at most *longest* bytes; raise `BadMessage`.

    With *clean*, texts of fields whose kind is open become storable as well.
    """
    data = parse(line, longest)
    if clean and (b"\\u" in line or not line.isascii()):
        data = storable(data)
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadMessage(f"{where}: {first['msg']}"[:_PROBLEM]) from None


def parse(line: bytes, longest: int = LONGEST) -> dict[str, Any]:
    """Return the object in a line, neither too long nor too deep, its fields unchecked; raise `BadMessage`."""
    if len(line) > longest:
        raise BadMessage(f"a message of {len(line)} bytes")
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if not isinstance(data, dict):
        raise BadMessage(f"expected an object, got {type(data).__name__}")
    if line.count(b"[") + line.count(b"{") > DEEPEST and _is_deep(data):
        raise BadMessage(f"more than {DEEPEST} lists and objects in one another")
    return data


def _is_deep(data: Any) -> bool:
    """Return whether more than `DEEPEST` lists and objects are in one another."""
    level = [data]
    for _ in range(DEEPEST):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [one for ones in inner for one in ones if isinstance(one, list | dict)]
    return bool(level)
