"""The retry policy of the shipped filters: tenacity's loop, whose pauses end when the job is cancelled.

`TryAgainLater` alone starts another attempt. Any other exception, `Cancelled` included, leaves the loop at once.
"""

from __future__ import annotations

from typing import ClassVar, Final, NoReturn

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_chain,
    wait_exponential,
    wait_fixed,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from postscan.plugins import FilterContext, FilterFailed, FilterReason

Attempts = Retrying

_LONGEST: Final = 3600.0  # seconds of a pause


class TryAgainLater(Exception):
    """An operation failed, and the same operation may succeed later.

    `reason` and `detail` are those of the failure that follows the last attempt. `after` is the pause in seconds that
    the server asked for; None if it named none. `answered` is False if no response arrived: the server may have
    carried out the request.
    """

    failure: ClassVar[type[FilterFailed]] = FilterFailed  # raised after the last attempt

    def __init__(
        self,
        detail: str,
        *,
        reason: str = FilterReason.UNKNOWN_ERROR,
        after: float | None = None,
        answered: bool = True,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason
        self.after = after
        self.answered = answered


class StopAfterFailing(stop_base):
    """Stop if the next attempt would begin more than a number of seconds after the first failure.

    The limits of tenacity count from the beginning of the first attempt. That attempt alone may wait for a silent
    server for the whole time, and would be the only one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._first_failure = 0.0

    def __call__(self, retry_state: RetryCallState) -> bool:
        now = retry_state.outcome_timestamp or 0.0
        if retry_state.attempt_number == 1:
            self._first_failure = now
        return now + retry_state.upcoming_sleep - self._first_failure > self._seconds


def growing_pauses(first: float, factor: float, longest: float = _LONGEST) -> wait_base:
    """Return pauses in seconds: *first*, then each *factor* times the one before, up to *longest*."""
    return wait_exponential(multiplier=first, exp_base=factor, max=longest)


def fixed_pauses(*seconds: float) -> wait_base:
    """Return these pauses in seconds; the last one is repeated."""
    return wait_chain(*map(wait_fixed, seconds))


def attempts(
    job: FilterContext, pauses: wait_base, *, most: int | None = None, seconds: float | None = None
) -> Attempts:
    """Return the attempts of one operation of *job*: *most* attempts, or as many as fit into *seconds*.

    Call the result with a function, or iterate over it and run the operation in `with attempt:`. A pause that the
    server asked for replaces the one of *pauses*, and must fit into the limit as well. Each pause is logged as a
    warning. Raises `FilterFailed` after the last attempt, and `Cancelled` at once if the job is cancelled during a
    pause.
    """
    limit = f"{most} attempts" if seconds is None else f"{seconds:g} s"

    def pause_before_next(state: RetryCallState) -> float:
        asked = _error(state).after
        return pauses(state) if asked is None else asked

    def sleep(seconds: float) -> None:
        job.token.wait(seconds)
        job.token.check()

    def log(state: RetryCallState) -> None:
        job.log(f"{_error(state).detail}; next attempt in {state.upcoming_sleep:g} s", "warning")

    def give_up(state: RetryCallState) -> NoReturn:
        error = _error(state)
        asked = "" if error.after is None else f"; it asks for a pause of {error.after:g} s"
        given_up = "" if most == 1 else f"; given up: the limit is {limit}"
        raise error.failure(error.reason, f"{error.detail}{asked}{given_up}") from error

    return Retrying(
        retry=retry_if_exception_type(TryAgainLater),
        wait=pause_before_next,
        stop=stop_after_attempt(most or 1) if seconds is None else StopAfterFailing(seconds),
        sleep=sleep,
        before_sleep=log,
        retry_error_callback=give_up,
    )


def _error(state: RetryCallState) -> TryAgainLater:
    """Return the error of the latest attempt."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, TryAgainLater)
    return error
