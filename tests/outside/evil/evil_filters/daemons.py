"""Filters that leave processes behind, or end those that would find them."""

import os
import signal
import time
from pathlib import Path

from evil_filters.deed import FOR_EVER, evil, trace
from postscan.plugins import CancellationToken, FilterContext


def daemon(job: FilterContext, *, environment: dict[str, str] | None = None) -> None:
    """Start a process that leaves session and parent; with *environment*, as a program of its own.

    Return when it has written its trace: a supervisor that ends it before would leave no trace of it.
    """
    traced, tracing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            trace(job, f"left {os.getpid()}")
            os.close(tracing)
            os.chdir("/")
            if environment is not None:
                os.execve("/bin/sleep", ["sleep", str(FOR_EVER)], environment)
            time.sleep(FOR_EVER)
        os._exit(0)
    os.close(tracing)
    os.read(traced, 1)  # returns at the end of the pipe: both processes have closed it
    os.close(traced)
    os.wait()


@evil
def leave_a_daemon(job: FilterContext, token: CancellationToken) -> None:
    """Return, and leave a process in a session of its own."""
    daemon(job)


@evil
def leave_a_nameless_daemon(job: FilterContext, token: CancellationToken) -> None:
    """The same, with nothing in its environment."""
    daemon(job, environment={})


@evil
def leave_a_daemon_and_die(job: FilterContext, token: CancellationToken) -> None:
    """The same, and nobody is left who could be asked about it."""
    daemon(job, environment={})
    os.kill(os.getpid(), signal.SIGKILL)


@evil
def leave_daemons_and_hang(job: FilterContext, token: CancellationToken) -> None:
    """A hundred at once, and no end."""
    for _ in range(100):
        daemon(job)
    trace(job, "hanging")
    time.sleep(FOR_EVER)


@evil
def kill_the_supervisor(job: FilterContext, token: CancellationToken) -> None:
    """Leave daemons, then kill the process that would find them."""
    daemon(job)
    daemon(job, environment=dict(os.environ))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(FOR_EVER)


@evil
def kill_the_forkserver(job: FilterContext, token: CancellationToken) -> None:
    """Kill the process that starts all workers."""
    supervisor = os.getppid()
    forkserver = int(Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(forkserver, signal.SIGKILL)
