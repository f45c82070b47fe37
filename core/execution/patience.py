"""Repeat a call while the database or the spool does not answer: an outage ends no run and loses no result."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential

from postscan.core.errors import SpoolAway, StoreBusy

log = logging.getLogger(__name__)

_FIRST: Final = 0.1  # seconds of the first pause; each is twice the one before
_LONGEST: Final = 2.0  # seconds of a pause

_T = TypeVar("_T")

Pause = Callable[[float], bool]
"""Sleeps for that many seconds; returns True, at once, when there is nothing to wait for any more."""


def until_stored(call: Callable[[], _T], pause: Pause, seconds: float = math.inf, **about: object) -> _T:
    """Return the result of *call*, repeated while it raises `StoreBusy`; *about* says what waits.

    Raises `StoreBusy` if that takes longer than *seconds*, or when *pause* returns True. The outcome of a failed call
    may be unknown: *call* must have one effect, however often it is repeated.
    """
    return _until(
        call, StoreBusy, lambda extra: log.debug("job waits for the database", extra=extra), pause, seconds, about
    )


def until_kept(call: Callable[[], _T], pause: Pause, seconds: float = math.inf, **about: object) -> _T:
    """Return the result of *call*, repeated while it raises `SpoolAway`, as `until_stored` does for `StoreBusy`."""
    return _until(
        call, SpoolAway, lambda extra: log.debug("job waits for the spool", extra=extra), pause, seconds, about
    )


def _until(
    call: Callable[[], _T],
    error: type[Exception],
    report: Callable[[Mapping[str, object]], None],
    pause: Pause,
    seconds: float,
    about: Mapping[str, object],
) -> _T:
    def say(state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            report({**about, "reason": str(state.outcome.exception())})

    def sleep(length: float) -> None:
        pause(length)

    attempts = Retrying(
        retry=retry_if_exception_type(error),
        wait=wait_exponential(multiplier=_FIRST, max=_LONGEST),
        stop=lambda state: pause(0.0) or stop_before_delay(seconds)(state),
        sleep=sleep,
        before_sleep=say,
        reraise=True,
    )
    try:
        return attempts(call)
    finally:
        # What it has left to do refers to it: else *pause*, and a token behind it, would be freed by a collection only.
        attempts.iter_state.reset()
