"""The server's log: one line on stderr for each event, as text or as JSON.

An event is a fixed message with its values as fields: `log.warning("worker killed", extra={"job": token})`. As text it
reads `2026-11-29T01:53:34.512345Z warning worker killed logger=postscan.core.workers.slot job=7B0E...`; as JSON it is
one object with the same keys, the message being `event`.

Values come from devices and filters too. In text, unprintable characters are escaped and a value with a space, a quote
or `=` is quoted, so that no value can add a line or a field. JSON escapes by itself.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from postscan.cli.output.terminal import plain

Level = Literal["debug", "info", "warning", "error"]

_Event = MutableMapping[str, Any]
_UNQUOTED = re.compile(r'[^\s"=]+')


def to_stderr(form: Literal["text", "json"], level: Level = "info") -> None:
    """Configure every logger of this process to write to stderr in this form, from this level on: see `set_level`."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _uncoloured]
    last += [structlog.processors.JSONRenderer(default=str)] if form == "json" else [_text]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # `migrate` prints the migrations that it ran


def set_level(level: Level) -> None:
    """Log what is of this level or above; of other libraries nothing below INFO."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger("postscan").setLevel(number)
    logging.getLogger().setLevel(max(number, logging.INFO))


def _uncoloured(_logger: object, _method: str, event: _Event) -> _Event:
    """Remove the coloured copy that uvicorn adds to its messages."""
    event.pop("color_message", None)
    return event


def _text(_logger: object, _method: str, event: _Event) -> str:
    """Return `time level message key=value ...`, and a traceback below it."""
    exception = event.pop("exception", "")
    head = " ".join((event.pop("timestamp"), f"{event.pop('level'):<7}", plain(str(event.pop("event")))))
    line = head + "".join(f" {plain(key)}={_value(value)}" for key, value in event.items())
    return "\n".join([line, *(plain(row) for row in str(exception).splitlines())])


def _value(value: object) -> str:
    """Return the value of a field, as a JSON string where it would not read as one word."""
    text = str(value)
    return plain(text if _UNQUOTED.fullmatch(text) else json.dumps(text, ensure_ascii=False))
