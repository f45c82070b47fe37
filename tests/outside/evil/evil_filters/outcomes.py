"""Filters that end in odd ways."""

import os
import signal

from evil_filters.deed import evil
from postscan.plugins import CancellationToken, FilterContext


@evil
def exit_with_0(job: FilterContext, token: CancellationToken) -> None:
    """End as if all were well, with nothing done."""
    os._exit(0)


@evil
def crash(job: FilterContext, token: CancellationToken) -> None:
    """End like a program with a wild pointer."""
    os.kill(os.getpid(), signal.SIGSEGV)


@evil
def end_by_a_nameless_signal(job: FilterContext, token: CancellationToken) -> None:
    """End by a signal that Python has no name for."""
    os.kill(os.getpid(), 40)


@evil
def raise_something(job: FilterContext, token: CancellationToken) -> None:
    """Raise what nobody expects, with words that no database takes."""

    class Odd(BaseException):
        pass

    raise Odd("half a sign \ud800 and a nul \0")
