"""The messages between the server and a plugin of hooks, as JSON lines on a socket pair; made and checked here alone.

    server → plugin   first               HooksStarted
    plugin → server   first               HooksDeclared, or HooksFailed, which is also the last
    server → plugin   any number          UserQuestion, ProcessQuestion, ProcessesQuestion
    plugin → server   one for each        UserAnswer, ProcessAnswer, ProcessesAnswer, AwayAnswer, RefusedAnswer,
                                          BrokenAnswer
    plugin → server   without a question  HooksLogLine
    server → plugin   last                HooksStop

A question has an `id`, unique among those without an answer, and its answer has the same. AwayAnswer and BrokenAnswer
may be the answer to each of them, RefusedAnswer to a ProcessQuestion.

`type` is the tag of each union. `postscan.core.model.json_lines` has what is the same for all messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StrictInt, TypeAdapter

from postscan.core.filters.directory.values import MOST_PROCESSES, DirectoryProcess, DirectoryUser
from postscan.core.model import json_lines
from postscan.core.model.json_lines import Message, Name, Sentence, Trace, Word

LONGEST: Final = 4 << 20
"""Most bytes of one message: a scan process whose characters are all escaped has 3 MiB."""

FIELDS: Final = 20
"""Most fields of one log line."""

AT_ONCE: Final = 32
"""Most hooks that are called at the same time, whatever a plugin declares."""

_ID = Annotated[StrictInt, Field(ge=0, le=(1 << 63) - 1)]


class HooksStarted(Message):
    """The begin of a process: the name of the entry point, its table, and the seconds for one answer."""

    type: Literal["started"] = "started"
    plugin: str
    settings: dict[str, Any]
    seconds: float
    workdir: Path


class HooksStop(Message):
    """No further question comes: close connections and end."""

    type: Literal["stop"] = "stop"


class _NumberedMessage(Message):
    id: _ID


class UserQuestion(_NumberedMessage):
    """Who has this SID, user principal name or login name; one of them is given."""

    type: Literal["user"] = "user"
    sid: str = ""
    upn: str = ""
    login: str = ""


class ProcessQuestion(_NumberedMessage):
    """The scan process with this GUID, for this user."""

    type: Literal["process"] = "process"
    identifier: str
    user: DirectoryUser


class ProcessesQuestion(_NumberedMessage):
    """The scan processes that this user may use."""

    type: Literal["processes"] = "processes"
    user: DirectoryUser


Question = UserQuestion | ProcessQuestion | ProcessesQuestion
HooksServerMessage = HooksStarted | HooksStop | Question


class HooksDeclared(Message):
    """The plugin is loaded: how many of its hooks may be called at once, and the names of those that it has."""

    type: Literal["declared"] = "declared"
    title: Name
    at_once: Annotated[StrictInt, Field(ge=1)]
    hooks: Annotated[tuple[Word, ...], Field(max_length=20)]


class HooksFailed(Message):
    """The plugin cannot be used."""

    type: Literal["failed"] = "failed"
    error: Sentence
    traceback: Trace = ""


class UserAnswer(_NumberedMessage):
    """The user; None if the directory has none."""

    type: Literal["user-is"] = "user-is"
    user: DirectoryUser | None


class ProcessAnswer(_NumberedMessage):
    """The scan process, which the user may use; None if the directory has none."""

    type: Literal["process-is"] = "process-is"
    process: DirectoryProcess | None


class ProcessesAnswer(_NumberedMessage):
    """The scan processes."""

    type: Literal["processes-are"] = "processes-are"
    processes: Annotated[tuple[DirectoryProcess, ...], Field(max_length=MOST_PROCESSES)]


class AwayAnswer(_NumberedMessage):
    """The directory does not answer."""

    type: Literal["away"] = "away"
    reason: Sentence


class RefusedAnswer(_NumberedMessage):
    """The scan process is there, and this user may not use it."""

    type: Literal["refused"] = "refused"
    reason: Sentence


class BrokenAnswer(_NumberedMessage):
    """The hook raised an error that it should not, or returned what is no answer."""

    type: Literal["broken"] = "broken"
    error: Sentence
    traceback: Trace = ""


class HooksLogLine(Message):
    """A line of the plugin for the server's log."""

    type: Literal["log"] = "log"
    level: Word
    message: Sentence
    fields: Annotated[dict[Word, Name], Field(max_length=FIELDS)] = {}


Answer = UserAnswer | ProcessAnswer | ProcessesAnswer | AwayAnswer | RefusedAnswer | BrokenAnswer
HooksMessage = HooksDeclared | HooksFailed | HooksLogLine | Answer

_SERVER: Final[TypeAdapter[HooksServerMessage]] = TypeAdapter(
    Annotated[HooksServerMessage, Field(discriminator="type")]
)
_PLUGIN: Final[TypeAdapter[HooksMessage]] = TypeAdapter(Annotated[HooksMessage, Field(discriminator="type")])


def read_server(line: bytes) -> HooksServerMessage:
    """Return the message of the server in a line; raise `BadMessage`."""
    return json_lines.read(_SERVER, line, longest=LONGEST)


def read_plugin(line: bytes) -> HooksMessage:
    """Return the message of a plugin in a line; raise `BadMessage`."""
    return json_lines.read(_PLUGIN, line, longest=LONGEST)


write = json_lines.write
"""Return a message as one line."""
