"""Verbs that wait, as steps: a verb yields what it waits for, and its front end decides how to wait.

A front end with a thread for each call uses `run`. One with an event loop runs each step in a thread and waits without
one, so that callers who wait hold no thread that others need.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent import futures
from typing import NamedTuple, TypeVar

_Result = TypeVar("_Result")


class Wait(NamedTuple):
    """What a verb waits for, at most so many seconds. Send it whether the event was done when the wait ended."""

    event: futures.Future[None]
    seconds: float


Steps = Generator[Wait, bool, _Result]
"""A verb that may wait; each of its steps may block."""


def run(steps: Steps[_Result]) -> _Result:
    """Run a verb in this thread, its waits included; return its result or raise its error."""
    try:
        wait = next(steps)
        while True:
            done, _ = futures.wait([wait.event], wait.seconds)
            wait = steps.send(bool(done))
    except StopIteration as ended:
        result: _Result = ended.value
        return result
