"""The messages between the server and a source, as JSON lines on a socket pair; made and checked here alone.

    server → source   first               InletStarted
    source → server   first               SourceDeclared, or SourceFailed
    source → server   any number          OpenRequest, LeaveRequest, PageRequest, EndRequest, FailRequest,
                                          CancelRequest, NoteRequest, ToldRequest, PasswordRequest, StateRequest
    server → source   one for each        JobOpened, KeyTaken, InletBusy, RequestRefused, RequestDone, RequestLate,
                                          AccountChecked, StateReply
    source → server   without a reply     HealthReport, SourceLogLine
    server → source   at any time         JobCancelled, InletStop, PullRequest, DestinationsChanged
    source → server   last                SourceFinished, or SourceFailed

A request has an `id`, unique among those without a reply, and gets exactly one reply with the same `id`. `InletBusy`
and `RequestRefused` may be the reply to each of them, `RequestLate` to each that names a job, the rest is:

    open → opened, taken        leave, page, end, fail, cancel, note, told → done
    password → account          state → state

`type` is the tag of each union. `postscan.core.model.json_lines` has what is the same for all messages.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, TypeAdapter

from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model import json_lines
from postscan.core.model.json_lines import Indexed, Message, Name, Sentence, Trace, Word

ProofKind = Literal["device", "clear", "password", "certificate", "local"]
"""How a source can prove who asks (decision 74)."""

Outcome = Literal["stopped", "refused", "away"]
"""What an origin said to a cancel: it stopped, it goes on all the same, it did not answer."""

Health = Literal["ready", "degraded", "away"]
"""Whether a source can take origins: all, not all or with difficulty, none."""

REMEMBERED: Final = 30 * 86_400
"""Seconds for which a key is remembered, unless the source asks for less: thirty days."""

LEAVE: Final = 8 << 20
"""Bytes of a page for which a source asks leave at a time."""

REQUESTS: Final = 64
"""Most requests of a source that have no reply yet."""

NOTE: Final = 300
"""Most characters of one note."""

NOTES: Final = 20
"""Notes of a job that are kept."""

FIELDS: Final = 20
"""Most fields of one log line."""

A_SECOND: Final = 200
"""Messages of a source in a second, at most: a quarter of them are lines of the log and of its health."""

_BYTES: Final = (1 << 63) - 1
_ID = Annotated[StrictInt, Field(ge=0, le=_BYTES)]
_Secret = Annotated[str, Field(strict=True, max_length=json_lines.NAME, repr=False)]
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_Line = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=NOTE),
    BeforeValidator(json_lines.storable),
    AfterValidator(lambda text: _CONTROL.sub("?", text)),
]
_Seconds = Annotated[float, Field(strict=True, ge=0, le=REMEMBERED, allow_inf_nan=False)]


# --- the server begins -------------------------------------------------------------------------------------------


class Destination(Message):
    """What a person at a device picks: `id` is random and stable, and both may be shown to a device.

    `ticket` is what its scan process asks the device for.
    """

    id: Name
    label: Name
    ticket: ScanTicket = ScanTicket()


class InletStarted(Message):
    """What a source gets: its own settings, the destinations it may offer, and two folders.

    `folder` is kept across runs; `workdir` is removed at the end of the process. `leave_bytes` is how much of a page
    may be written for one leave, `open_jobs` how many jobs may be open at once, `requests` how many requests may be
    without a reply: a source with more of them is ended. A job without a request for `job_seconds` is aborted.

    `devices` are the networks and UUIDs whose proof `device` the server accepts, none means all; `allow_clear` says
    whether it accepts the proof `clear`. The server checks both again, so a source may refuse earlier by them.
    """

    type: Literal["started"] = "started"
    plugin: str
    inlet: str
    settings: Annotated[dict[str, Any], Field(repr=False)]  # with passwords
    destinations: tuple[Destination, ...]
    folder: Path
    workdir: Path
    leave_bytes: Annotated[StrictInt, Field(gt=0)] = LEAVE
    open_jobs: Annotated[StrictInt, Field(gt=0)] = 4
    job_seconds: Annotated[float, Field(gt=0)] = 600.0
    requests: Annotated[StrictInt, Field(gt=0)] = REQUESTS
    devices: tuple[str, ...] = ()
    allow_clear: StrictBool = False


class SourceDeclared(Message):
    """The source is loaded, accepts its settings, and begins to work; `grace` is in seconds."""

    type: Literal["declared"] = "declared"
    title: Name
    api: StrictInt
    proofs: Annotated[tuple[ProofKind, ...], Field(max_length=5)]
    grace: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
    pulls: StrictBool = False


class SourceFinished(Message):
    """`run` returned and may: it was stopped, or its `once` is true; nothing follows."""

    type: Literal["finished"] = "finished"


class SourceFailed(Message):
    """The source cannot be loaded, lacks something, or its `run` ended as it should not; nothing follows."""

    type: Literal["failed"] = "failed"
    error: Sentence
    traceback: Trace = ""


# --- requests ----------------------------------------------------------------------------------------------------


class _Request(Message):
    id: _ID


class _JobRequest(_Request):
    """A request about a job that was opened on this socket."""

    job: Word


class OpenRequest(_Request):
    """Create a job of this origin: `opened`, or `taken` if the key is a job already.

    `key` names the origin within the inlet for `remember_seconds`, `destination` is an id of `InletStarted`. `subject`
    is who is proven: an account, an address, the UUID of a device; `account` is the account, if one proved itself.
    `name` is what people see. Two opens of one key at once: one is opened, the other is busy until the first has ended.
    """

    type: Literal["open"] = "open"
    key: Indexed
    destination: Name
    proof: ProofKind
    subject: Name
    name: Name = ""
    account: Name = ""
    remember_seconds: _Seconds = float(REMEMBERED)


class LeaveRequest(_JobRequest):
    """May `bytes` more be written into the workdir for a page of this job?

    0 says that the origin still sends: a slow page is no silence.
    """

    type: Literal["leave"] = "leave"
    bytes: Annotated[StrictInt, Field(ge=0, le=_BYTES)]


class PageRequest(_JobRequest):
    """Store a finished file as the next page; the reply comes when the page is durable.

    `path` is relative to the `folder` of the inlet if `kept`, else to its `workdir`. `format` is the keyword that was
    given, "" to go by content. `whole` says that the end mark of the protocol itself was seen. With `given` the source
    does nothing more with the file, whatever the reply is: the server may move it instead of copying it. `sha256` is
    the hash of its bytes in hex, if the source has it; the server checks it before the first filter runs.
    """

    type: Literal["page"] = "page"
    path: Name
    kept: StrictBool = False
    given: StrictBool = False
    format: Word = ""
    whole: StrictBool = False
    sha256: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")] = ""


class EndRequest(_JobRequest):
    """All pages are there: the job is processed."""

    type: Literal["end"] = "end"


class FailRequest(_JobRequest):
    """The origin broke off: the job is aborted, and its key is free again."""

    type: Literal["fail"] = "fail"
    reason: Sentence


class CancelRequest(_JobRequest):
    """The origin cancelled the job."""

    type: Literal["cancel"] = "cancel"
    reason: Sentence


class NoteRequest(_JobRequest):
    """The people who see the job are to know this: the device did something else than the scan ticket asks for."""

    type: Literal["note"] = "note"
    text: _Line


class ToldRequest(_JobRequest):
    """A cancel was passed on to the origin, and this is what it said; the job may have ended."""

    type: Literal["told"] = "told"
    outcome: Outcome


class PasswordRequest(_Request):
    """Does this account of this inlet have this password? `address` is the client's, if there is one."""

    type: Literal["password"] = "password"
    account: Name
    password: _Secret
    address: Name = ""


class StateRequest(_JobRequest):
    """In which state is a job of this inlet? It need not be one of this process."""

    type: Literal["state"] = "state"


class HealthReport(Message):
    """Whether the source can take origins now."""

    type: Literal["health"] = "health"
    state: Health
    text: Sentence = ""


class SourceLogLine(Message):
    """A line of the source for the server's log, with its fields."""

    type: Literal["log"] = "log"
    level: Word
    message: Sentence
    fields: Annotated[dict[Word, Name], Field(max_length=FIELDS)] = {}


# --- replies and notices -----------------------------------------------------------------------------------------


class JobOpened(_Request):
    """The job is created."""

    type: Literal["opened"] = "opened"
    job: str


class KeyTaken(_Request):
    """The key of the origin is this job already."""

    type: Literal["taken"] = "taken"
    job: str


class InletBusy(_Request):
    """Not now; try again in `seconds`. `full` says that the disk is full."""

    type: Literal["busy"] = "busy"
    seconds: float
    full: bool = False


class RequestRefused(_Request):
    """No, also not later; `reason` is a sentence that may be shown at the origin."""

    type: Literal["refused"] = "refused"
    reason: str


class RequestLate(_Request):
    """The job of the request was cancelled, or ended in another way; nothing was done."""

    type: Literal["late"] = "late"
    reason: str


class RequestDone(_Request):
    """What was asked is done, and stored."""

    type: Literal["done"] = "done"


class AccountChecked(_Request):
    """Whether account and password are right."""

    type: Literal["account"] = "account"
    right: bool


class StateReply(_Request):
    """The state of a job, and the reasons beside it, as the protocol spells them."""

    type: Literal["state"] = "state"
    state: str
    reasons: tuple[str, ...] = ()


class JobCancelled(Message):
    """A job of this socket was cancelled, or ended in another way: its token is set."""

    type: Literal["cancelled"] = "cancelled"
    job: str
    reason: str = ""


class InletStop(Message):
    """Take no new origin, and end `run`; open jobs may still end meanwhile."""

    type: Literal["stop"] = "stop"
    reason: str = ""


class PullRequest(Message):
    """An administrator asks for a scan to this destination, an id; "" for the first one."""

    type: Literal["pull"] = "pull"
    destination: str = ""


class DestinationsChanged(Message):
    """The tickets of the destinations are these from now on; identifiers and labels are the same."""

    type: Literal["destinations"] = "destinations"
    destinations: tuple[Destination, ...]


Request = (
    OpenRequest
    | LeaveRequest
    | PageRequest
    | EndRequest
    | FailRequest
    | CancelRequest
    | NoteRequest
    | ToldRequest
    | PasswordRequest
    | StateRequest
)
SourceMessage = SourceDeclared | SourceFinished | SourceFailed | Request | HealthReport | SourceLogLine
Reply = JobOpened | KeyTaken | InletBusy | RequestRefused | RequestLate | RequestDone | AccountChecked | StateReply
ServerMessage = InletStarted | Reply | JobCancelled | InletStop | PullRequest | DestinationsChanged

_SOURCES: Final[TypeAdapter[SourceMessage]] = TypeAdapter(Annotated[SourceMessage, Field(discriminator="type")])
_SERVERS: Final[TypeAdapter[ServerMessage]] = TypeAdapter(Annotated[ServerMessage, Field(discriminator="type")])


# --- bytes -------------------------------------------------------------------------------------------------------


def write(message: SourceMessage | ServerMessage) -> bytes:
    """Return a message as one line of JSON, its end included."""
    return json_lines.write(message)


def read_source(line: bytes) -> SourceMessage:
    """Return the message in a line from a source; raise `BadMessage`."""
    return json_lines.read(_SOURCES, line)


def read_server(line: bytes) -> ServerMessage:
    """Return the message in a line from the server; raise `BadMessage`."""
    return json_lines.read(_SERVERS, line)
