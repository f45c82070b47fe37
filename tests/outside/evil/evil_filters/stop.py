"""Filters that do not stop."""

import contextlib
import os
import signal
import subprocess
import threading
import time

from evil_filters.daemons import daemon
from evil_filters.deed import FOR_EVER, evil, trace
from postscan.plugins import CancellationToken, FilterContext


@evil
def hang(job: FilterContext, token: CancellationToken) -> None:
    """Never look at the token."""
    time.sleep(FOR_EVER)


@evil
def ignore_sigterm(job: FilterContext, token: CancellationToken) -> None:
    """Ignore every signal that can be ignored."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    time.sleep(FOR_EVER)


@evil
def deaf_in_c(job: FilterContext, token: CancellationToken) -> None:
    """Give the interpreter no chance to look at anything."""
    sum(range(10**12))


@evil
def swallow(job: FilterContext, token: CancellationToken) -> None:
    """Catch everything, and go on."""
    while True:
        try:
            time.sleep(0.01)
            token.check()
        except BaseException:
            trace(job, "swallowed")


@evil
def blocked_in_a_tool(job: FilterContext, token: CancellationToken) -> None:
    """Wait for a tool that does not end."""
    tool = subprocess.Popen(["sleep", str(FOR_EVER)])
    trace(job, f"left {tool.pid}")
    tool.wait()


@evil
def threads(job: FilterContext, token: CancellationToken) -> None:
    """Return, and leave threads that never end."""
    for _ in range(5):
        threading.Thread(target=time.sleep, args=(FOR_EVER,)).start()


@evil
def stop_the_supervisor(job: FilterContext, token: CancellationToken) -> None:
    """Put the parent to sleep, and hang."""
    daemon(job, environment={})
    os.kill(os.getppid(), signal.SIGSTOP)
    trace(job, "stopped")
    time.sleep(FOR_EVER)
