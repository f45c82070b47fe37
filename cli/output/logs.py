"""The server's log: one line on stderr for each event, as text for people or as JSON for a collector.

What devices and filters say reaches the log too, so in the text form everything unprintable is shown as an escape:
nobody can forge a second line. JSON escapes by itself.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

from postscan.cli.output.terminal import plain

_Event = MutableMapping[str, Any]


def to_stderr(form: Literal["text", "json"]) -> None:
    """Let every logger of this process write to stderr in this form, from INFO on."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_twin]
    last += [structlog.processors.JSONRenderer()] if form == "json" else [_printable, _text]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # what was migrated is told by `migrate`
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _without_twin(_logger: object, _method: str, event: _Event) -> _Event:
    """Drop the coloured copy that uvicorn makes of its messages."""
    event.pop("color_message", None)
    return event


def _printable(_logger: object, _method: str, event: _Event) -> _Event:
    return {key: _lines(value) if key == "exception" else plain(str(value)) for key, value in event.items()}


def _lines(traceback: object) -> str:
    """Return a traceback with its lines kept, each of them printable."""
    return "\n".join(plain(line) for line in str(traceback).splitlines())


def _text(_logger: object, _method: str, event: _Event) -> str:
    """Return `time level event key=value ...`, and a traceback below it."""
    exception = event.pop("exception", "")
    head = " ".join((event.pop("timestamp"), f"{event.pop('level'):<7}", event.pop("event")))
    rest = "".join(f" {key}={value}" for key, value in event.items())
    return f"{head}{rest}\n{exception}" if exception else head + rest
