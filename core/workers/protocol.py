"""The messages between the server and a worker, as JSON lines on a socket pair; made and checked here alone.

    server → worker   one order             ProbeOrder, CheckOrder, DiagnoseOrder, RunOrder
    worker → server   any number during it  GrantRequest, OutputPublished, OutputWithdrawn, FilterProgress, LogLine
    server → worker   for each GrantRequest GrantReply
    worker → server   one result            PluginDeclared, InstructionsAccepted, InstructionsRefused, Diagnosed,
                                            FilterDone, FilterCancelled, OrderFailed, OrderBroken

With the first byte of the order the server passes the descriptor of the page of the cancellation token.

`type` is the tag of each union. The format is JSON and never pickle, since code of a plugin may write to the socket:
`read_message` accepts a message only if its type is known, its fields are complete and of the right kinds, no field is
unknown, and each text is within its length. NUL and unpaired surrogates in texts become "?", which every database
takes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    TypeAdapter,
    ValidationError,
)

from postscan.core.filters.facts import Document, JobFacts
from postscan.core.model.principal import User
from postscan.core.workers.rlimits import Resources

LONGEST: Final = 1 << 20
"""Most bytes of one message; a worker that sends more is killed."""

DEEPEST: Final = 32
"""Most lists and tables in one another; Python stops at some hundreds, and where depends on the caller."""

NAME: Final = 2048
SENTENCE: Final = 2000
TRACEBACK: Final = 8000
WORD: Final = 64
"""Most characters of a destination or file name, of a sentence, of a traceback, of a unit or level."""

KEY: Final = 2500
"""Most bytes of a destination in UTF-8: it is part of a key of the database."""

MOST_UNITS: Final = (1 << 63) - 1
"""Most units of a progress."""

SENTENCES: Final = 50
"""Most sentences of one diagnosis."""

_T = TypeVar("_T")
_PROBLEM: Final = 300  # characters of a validation error that are kept: it quotes what the worker sent


class BadMessage(Exception):
    """The bytes from the other side are not a message of the protocol."""


def _storable(value: Any) -> Any:
    """Replace NUL and unpaired surrogates in a text, and in all texts of a list or table."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _replaced(value)
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    return value


def _replaced(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


def _indexable(text: str) -> str:
    """Return a text that fits into an index of PostgreSQL; raise `ValueError`."""
    size = len(text.encode())
    if size > KEY:
        raise ValueError(f"{size} bytes in UTF-8; expected at most {KEY}")
    return text


_Text = Annotated[str, Field(strict=True), BeforeValidator(_storable)]
_Name = Annotated[str, Field(strict=True, max_length=NAME), BeforeValidator(_storable)]
_Destination = Annotated[_Name, AfterValidator(_indexable)]
_Sentence = Annotated[str, Field(strict=True, max_length=SENTENCE), BeforeValidator(_storable)]
_Word = Annotated[str, Field(strict=True, max_length=WORD), BeforeValidator(_storable)]
_Number = Annotated[StrictInt, Field(ge=-MOST_UNITS, le=MOST_UNITS)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# --- orders ------------------------------------------------------------------------------------------------------


class _Order(_Message):
    """What every order has; the slot sets `resources`."""

    plugin: str
    workdir: Path = Path()
    resources: Resources = Resources()


class ProbeOrder(_Order):
    """Load a plugin and return what it declares; `settings` is its table."""

    type: Literal["probe"] = "probe"
    settings: dict[str, Any]


class CheckOrder(_Order):
    """Check the instructions of one filter, as XML."""

    type: Literal["check"] = "check"
    dialect: str
    instructions: str


class EarlierOutput(_Message):
    """An output that an earlier attempt of the same filter published or was granted."""

    document: int | None
    destination: str
    name: str


class _FilterOrder(_Order):
    dialect: str
    instructions: str
    settings: dict[str, Any]
    job: JobFacts
    user: User
    documents: tuple[Document, ...] = ()
    earlier: tuple[EarlierOutput, ...] = ()


class DiagnoseOrder(_FilterOrder):
    """Check whether a filter reaches its destinations."""

    type: Literal["diagnose"] = "diagnose"


class RunOrder(_FilterOrder):
    """Run a filter for one job."""

    type: Literal["run"] = "run"


Order = ProbeOrder | CheckOrder | DiagnoseOrder | RunOrder


# --- during a run ------------------------------------------------------------------------------------------------


class _OutputMessage(_Message):
    """One output: `document` is None if it is of the whole job."""

    document: Annotated[StrictInt, Field(gt=0, lt=1 << 31)] | None
    destination: _Destination
    name: _Name


class GrantRequest(_OutputMessage):
    """The filter is about to publish this output; the worker waits for a `GrantReply`."""

    type: Literal["grant"] = "grant"


class OutputPublished(_OutputMessage):
    """A granted output is visible now."""

    type: Literal["published"] = "published"


class OutputWithdrawn(_OutputMessage):
    """A granted output did not become visible."""

    type: Literal["withdrawn"] = "withdrawn"


class FilterProgress(_Message):
    """How far the filter is: *done* of *total* units."""

    type: Literal["progress"] = "progress"
    done: _Number
    total: _Number
    unit: _Word


class LogLine(_Message):
    """A line of the filter for the server's log: its begin, and how many bytes the whole of it has in UTF-8."""

    type: Literal["log"] = "log"
    level: _Word
    text: _Sentence
    size: Annotated[StrictInt, Field(ge=0, le=MOST_UNITS)] = 0


RunMessage = GrantRequest | OutputPublished | OutputWithdrawn | FilterProgress | LogLine


class GrantReply(_Message):
    """Whether the output may become visible; False after a cancel."""

    granted: StrictBool


# --- results -----------------------------------------------------------------------------------------------------


class FilterDeclaration(_Message):
    """What a filter declares; `postscan.core.registry.catalogue` checks instructions and settings."""

    dialect: _Text
    title: _Text
    summary: _Text
    grace: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    lacks: tuple[_Text, ...]
    instructions: dict[str, Any] | None
    checks: StrictBool
    settings: tuple[dict[str, Any], ...]


class PluginDeclared(_Message):
    """The result of a probe."""

    type: Literal["declared"] = "declared"
    filters: tuple[FilterDeclaration, ...]


class InstructionsAccepted(_Message):
    """The result of a check that found nothing wrong."""

    type: Literal["accepted"] = "accepted"


class InstructionsRefused(_Message):
    """The result of a check, with the sentence of the filter."""

    type: Literal["refused"] = "refused"
    error: _Sentence


class Diagnosed(_Message):
    """The result of a diagnosis: one sentence for each problem."""

    type: Literal["diagnosed"] = "diagnosed"
    found: Annotated[tuple[_Sentence, ...], Field(max_length=SENTENCES)] = ()


class FilterDone(_Message):
    """The filter has done its work; `postscan.core.filters.changes` checks the documents that it made."""

    type: Literal["done"] = "done"
    warnings: tuple[_Sentence, ...] = ()
    documents: list[Any] | None = None


class FilterCancelled(_Message):
    """The filter stopped because of the cancel."""

    type: Literal["cancelled"] = "cancelled"


class OrderFailed(_Message):
    """The order cannot be carried out, for reasons of the protocol or of the filter."""

    type: Literal["failed"] = "failed"
    reasons: tuple[_Text, ...]
    error: _Sentence


class OrderBroken(_Message):
    """Code of the plugin raised an error that it should not raise."""

    type: Literal["broken"] = "broken"
    error: _Sentence
    traceback: Annotated[str, Field(strict=True, max_length=TRACEBACK), BeforeValidator(_storable)] = ""


Result = (
    PluginDeclared
    | InstructionsAccepted
    | InstructionsRefused
    | Diagnosed
    | FilterDone
    | FilterCancelled
    | OrderFailed
    | OrderBroken
)

_ORDER: Final[TypeAdapter[Order]] = TypeAdapter(Annotated[Order, Field(discriminator="type")])
_WORKERS: Final[TypeAdapter[RunMessage | Result]] = TypeAdapter(
    Annotated[RunMessage | Result, Field(discriminator="type")]
)
_REPLY: Final = TypeAdapter(GrantReply)


# --- bytes -------------------------------------------------------------------------------------------------------


def write(message: Order | RunMessage | GrantReply | Result) -> bytes:
    """Return a message as one line of JSON, its end included."""
    return json.dumps(message.model_dump(), ensure_ascii=True, separators=(",", ":"), default=str).encode() + b"\n"


def read_order(line: bytes) -> Order:
    """Return the order in a line from the server; raise `BadMessage`."""
    return _read(_ORDER, _parse(line))


def read_reply(line: bytes) -> GrantReply:
    """Return the reply in a line from the server; raise `BadMessage`."""
    return _read(_REPLY, _parse(line))


def read_message(line: bytes) -> RunMessage | Result:
    """Return the message in a line from a worker; raise `BadMessage`."""
    data = _parse(line)
    if b"\\u" in line or not line.isascii():
        data = _storable(data)
    return _read(_WORKERS, data)


def _parse(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST:
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


def _read(adapter: TypeAdapter[_T], data: dict[str, Any]) -> _T:
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadMessage(f"{where}: {first['msg']}"[:_PROBLEM]) from None
