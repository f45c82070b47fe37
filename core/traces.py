"""Spans of OpenTelemetry: requests, claims, runs of filters, deliveries. Without its API, nothing happens.

The API alone makes spans that go nowhere; a program that configures the SDK around this process sends them, such as
`opentelemetry-instrument`. Spans carry what log lines carry: tokens of jobs, names of plugins, no secret and no page.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Final

Note = Callable[..., None]
"""Adds attributes, given as keywords, to a span that is open."""


def ignore(**_attributes: str | int | float) -> None:
    """Drop the attributes."""


_NOTHING: Final[AbstractContextManager[Note]] = contextlib.nullcontext(ignore)


def span(name: str, **attributes: str | int | float) -> AbstractContextManager[Note]:
    """Return a context whose body is one span, with these attributes; it yields what adds others."""
    tracer = _tracer()
    return _NOTHING if tracer is None else _open(tracer, name, attributes)


def now() -> int:
    """Return the time for the beginning of `record`, in nanoseconds; 0 where no span is made."""
    return 0 if _tracer() is None else time.time_ns()


def record(name: str, began: int, **attributes: str | int | float) -> None:
    """Make a span that began at *began*, which `now` has returned, and ends now."""
    tracer = _tracer()
    if tracer is not None and began:
        tracer.start_span(name, start_time=began, attributes=_prefixed(attributes)).end()


@contextlib.contextmanager
def _open(tracer: Any, name: str, attributes: dict[str, str | int | float]) -> Iterator[Note]:
    with tracer.start_as_current_span(name, attributes=_prefixed(attributes)) as opened:
        yield lambda **others: opened.set_attributes(_prefixed(others))


def _prefixed(attributes: dict[str, str | int | float]) -> dict[str, str | int | float]:
    return {f"postscan.{key}": value for key, value in attributes.items()}


@cache
def _tracer() -> Any:
    """Return the tracer; None if the API is not installed. It is imported here alone."""
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer("postscan")
