"""The messages between the server and a worker, as JSON lines on a socket pair; made and checked here alone.

    server → worker   one order             ProbeOrder, CheckOrder, DiagnoseOrder, RunOrder, SourceProbeOrder,
                                            SourceDiagnoseOrder, SourceOrder, PictureOrder,
                                            HooksProbeOrder, HooksDiagnoseOrder, HooksOrder
    worker → server   any number during it  GrantRequest, OutputPublished, OutputWithdrawn, FilterProgress, LogLine,
                                            OrderBegun
    server → worker   for each GrantRequest GrantReply
    worker → server   one result            PluginDeclared, SourceProbed, HooksProbed,
                                            InstructionsAccepted, InstructionsRefused, Diagnosed, FilterDone,
                                            FilterCancelled, PictureMade, OrderFailed, OrderBroken

A `SourceOrder` and a `HooksOrder` have no result: the messages of a source, or of a plugin of hooks, follow them.

With the first byte of the order the server passes the descriptor of the page of the cancellation token.

`type` is the tag of each union. `postscan.core.model.json_lines` has what is the same for all messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StrictBool, StrictInt, TypeAdapter

from postscan.core.filters.facts import Document, JobFacts
from postscan.core.filters.source.messages import InletStarted, ProofKind
from postscan.core.model import json_lines
from postscan.core.model.json_lines import (
    NAME,
    SENTENCE,
    TRACEBACK,
    WORD,
    BadMessage,
    Indexed,
    Message,
    Name,
    Sentence,
    Text,
    Trace,
    Word,
)
from postscan.core.model.principal import User
from postscan.core.workers.rlimits import Resources

__all__ = ["NAME", "SENTENCE", "TRACEBACK", "WORD", "BadMessage"]

MOST_UNITS: Final = (1 << 63) - 1
"""Most units of a progress."""

SENTENCES: Final = 50
"""Most sentences of one diagnosis."""

PICTURE: Final = "picture.webp"
"""The name of the file that a `PictureOrder` makes."""

MOST_PAGES: Final = 10_000
"""The last page of an image of which a picture is made."""

_Number = Annotated[StrictInt, Field(ge=-MOST_UNITS, le=MOST_UNITS)]


# --- orders ------------------------------------------------------------------------------------------------------


class _Order(Message):
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


class EarlierOutput(Message):
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


class SourceProbeOrder(_Order):
    """Load the source of a plugin and return what it declares; `inlets` are its tables by the name of the inlet."""

    type: Literal["probe-source"] = "probe-source"
    inlets: dict[str, dict[str, Any]] = {}


class SourceDiagnoseOrder(_Order):
    """Check whether origins can come in an inlet."""

    type: Literal["diagnose-source"] = "diagnose-source"
    started: InletStarted


class SourceOrder(_Order):
    """Run a source; the rest of the socket has the messages of `postscan.core.filters.source.messages`.

    The limit of processor time does not count, since a source lives long.
    """

    type: Literal["source"] = "source"


class HooksProbeOrder(_Order):
    """Load a plugin of hooks and return what it declares; `settings` is its table, None if it is not used."""

    type: Literal["probe-hooks"] = "probe-hooks"
    settings: dict[str, Any] | None


class HooksDiagnoseOrder(_Order):
    """Let a plugin of hooks check whether it reaches its directory."""

    type: Literal["diagnose-hooks"] = "diagnose-hooks"
    settings: dict[str, Any]
    seconds: float


class HooksOrder(_Order):
    """Answer questions; the rest of the socket has the messages of `postscan.core.filters.directory.messages`.

    The limit of processor time does not count, since the process lives long.
    """

    type: Literal["hooks"] = "hooks"


class PictureOrder(_Order):
    """Make a picture of one page of an image: `page` counts from 1, `side` is its longest side in pixels.

    The picture is the file `PICTURE` in the folder of the order. No code of a plugin takes part.
    """

    type: Literal["picture"] = "picture"
    plugin: str = "picture"  # for the log
    image: Path
    format: str
    page: int
    side: int


OrderWithResult = (
    ProbeOrder
    | CheckOrder
    | DiagnoseOrder
    | RunOrder
    | SourceProbeOrder
    | SourceDiagnoseOrder
    | HooksProbeOrder
    | HooksDiagnoseOrder
    | PictureOrder
)
Order = OrderWithResult | SourceOrder | HooksOrder


# --- during a run ------------------------------------------------------------------------------------------------


class _OutputMessage(Message):
    """One output: `document` is None if it is of the whole job."""

    document: Annotated[StrictInt, Field(gt=0, lt=1 << 31)] | None
    destination: Indexed
    name: Name


class GrantRequest(_OutputMessage):
    """The filter is about to publish this output; the worker waits for a `GrantReply`."""

    type: Literal["grant"] = "grant"


class OutputPublished(_OutputMessage):
    """A granted output is visible now."""

    type: Literal["published"] = "published"


class OutputWithdrawn(_OutputMessage):
    """A granted output did not become visible."""

    type: Literal["withdrawn"] = "withdrawn"


class FilterProgress(Message):
    """How far the filter is: *done* of *total* units."""

    type: Literal["progress"] = "progress"
    done: _Number
    total: _Number
    unit: Word


class LogLine(Message):
    """A line of the filter for the server's log: its begin, and how many bytes the whole of it has in UTF-8."""

    type: Literal["log"] = "log"
    level: Word
    text: Sentence
    size: Annotated[StrictInt, Field(ge=0, le=MOST_UNITS)] = 0


class OrderBegun(Message):
    """The worker begins what the time limit of its order is for: its process has started, and has loaded the filter."""

    type: Literal["begun"] = "begun"


RunMessage = GrantRequest | OutputPublished | OutputWithdrawn | FilterProgress | LogLine | OrderBegun


class GrantReply(Message):
    """Whether the output may become visible; False after a cancel."""

    granted: StrictBool


# --- results -----------------------------------------------------------------------------------------------------


class FilterDeclaration(Message):
    """What a filter declares; `postscan.core.registry.catalogue` checks instructions and settings."""

    dialect: Text
    title: Text
    summary: Text
    grace: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    lacks: tuple[Text, ...]
    instructions: dict[str, Any] | None
    checks: StrictBool
    settings: tuple[dict[str, Any], ...]


class PluginDeclared(Message):
    """The result of a probe."""

    type: Literal["declared"] = "declared"
    filters: tuple[FilterDeclaration, ...]


class SourceProbed(Message):
    """The result of a probe of a source; `refused` says what is wrong with the table of an inlet, by its name."""

    type: Literal["probed-source"] = "probed-source"
    title: Text
    summary: Text
    proofs: tuple[ProofKind, ...]
    grace: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    once: StrictBool
    pulls: StrictBool
    lacks: tuple[Text, ...]
    settings: tuple[dict[str, Any], ...]
    refused: dict[str, Sentence] = {}


class HooksProbed(Message):
    """The result of a probe of a plugin of hooks; `refused` says what is wrong with its table."""

    type: Literal["probed-hooks"] = "probed-hooks"
    title: Text
    summary: Text
    hooks: tuple[Text, ...]
    at_once: StrictInt
    settings: tuple[dict[str, Any], ...]
    refused: Sentence = ""


class InstructionsAccepted(Message):
    """The result of a check that found nothing wrong."""

    type: Literal["accepted"] = "accepted"


class InstructionsRefused(Message):
    """The result of a check, with the sentence of the filter."""

    type: Literal["refused"] = "refused"
    error: Sentence


class Diagnosed(Message):
    """The result of a diagnosis: one sentence for each problem."""

    type: Literal["diagnosed"] = "diagnosed"
    found: Annotated[tuple[Sentence, ...], Field(max_length=SENTENCES)] = ()


class FilterDone(Message):
    """The filter has done its work; `postscan.core.filters.delivery.changes` checks the documents that it made."""

    type: Literal["done"] = "done"
    warnings: tuple[Sentence, ...] = ()
    documents: list[Any] | None = None


class FilterCancelled(Message):
    """The filter stopped because of the cancel."""

    type: Literal["cancelled"] = "cancelled"


class PictureMade(Message):
    """The picture is written; the image has so many pages."""

    type: Literal["picture-made"] = "picture-made"
    pages: Annotated[StrictInt, Field(ge=1, le=MOST_PAGES)]


class OrderFailed(Message):
    """The order cannot be carried out, for reasons of the protocol or of the filter."""

    type: Literal["failed"] = "failed"
    reasons: tuple[Text, ...]
    error: Sentence


class OrderBroken(Message):
    """Code of the plugin raised an error that it should not raise."""

    type: Literal["broken"] = "broken"
    error: Sentence
    traceback: Trace = ""


class OrderLate(OrderBroken):
    """What the server puts in the place of a result that did not come in time; no worker can send it.

    `begun` is False if not even the work on the order began in time, which is no fault of the plugin.
    """

    begun: bool = True


Result = (
    PluginDeclared
    | SourceProbed
    | HooksProbed
    | InstructionsAccepted
    | InstructionsRefused
    | Diagnosed
    | FilterDone
    | FilterCancelled
    | PictureMade
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
    return json_lines.write(message)


def read_order(line: bytes) -> Order:
    """Return the order in a line from the server; raise `BadMessage`."""
    return json_lines.read(_ORDER, line)


def read_reply(line: bytes) -> GrantReply:
    """Return the reply in a line from the server; raise `BadMessage`."""
    return json_lines.read(_REPLY, line)


def read_message(line: bytes) -> RunMessage | Result:
    """Return the message in a line from a worker; raise `BadMessage`."""
    return json_lines.read(_WORKERS, line, clean=True)
