"""An outside plugin for the tests: filters that do their host harm, each in one way.

What they started they name in the folder of `[filters.evil]`: lines `left <pid>` in `<job>.trace`.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from postscan.plugins import CancellationToken, Filter, FilterContext, hookimpl

FOR_EVER = 600
FILTERS: list[Filter] = []
Deed = Callable[[FilterContext, CancellationToken], None]


@dataclass
class Settings:
    """`folder` is where the filters leave their traces."""

    folder: str = ""


def evil(deed: Deed, grace: float = 0.3) -> Deed:
    """Make a filter of a function: `urn:evil:<name>`, with so many seconds of grace."""

    def run(self: Filter, job: FilterContext, token: CancellationToken) -> None:
        trace(job, f"begun {os.getpid()}")
        deed(job, token)

    name = deed.__name__.replace("_", "-")
    about = {"dialect": f"urn:evil:{name}", "title": name, "grace": grace, "Settings": Settings, "run": run}
    FILTERS.append(type(deed.__name__, (Filter,), about)())
    return deed


@hookimpl
def postscan_filters() -> list[Filter]:
    """Bring them all."""
    return FILTERS


def trace(job: FilterContext, text: str) -> None:
    """Leave a line that a test can read."""
    with (Path(job.settings.folder) / f"{job.job.token}.trace").open("a") as file:
        file.write(f"{text}\n")


def daemon(job: FilterContext, *, environment: dict[str, str] | None = None, command: bool = False) -> None:
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


def descriptors() -> dict[int, str]:
    """Return what is open, and what it leads to."""
    found = {}
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[int(one.name)] = str(one.readlink())
    return found


def pipe() -> socket.socket:
    """Return the worker's end of its pipe to the server: a filter can find it, so it must not matter."""
    return next(
        socket.socket(fileno=os.dup(one)) for one, target in descriptors().items() if target.startswith("socket:")
    )


def say(*messages: object) -> None:
    """Say something to the server that only the framework should say."""
    for message in messages:
        pipe().sendall(json.dumps(message).encode() + b"\n")


# --- they do not stop ----------------------------------------------------------------------------------------------


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


# --- they leave something behind -----------------------------------------------------------------------------------


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


# --- they take too much --------------------------------------------------------------------------------------------


@evil
def eat_memory(job: FilterContext, token: CancellationToken) -> None:
    """Take a MiB, and another ..."""
    eaten = []
    while True:
        eaten.append(bytearray(1 << 20))


@evil
def fill_the_disk(job: FilterContext, token: CancellationToken) -> None:
    """Write a file without end."""
    with (job.workdir / "big").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


@evil
def fill_its_folder(job: FilterContext, token: CancellationToken) -> None:
    """Write more than one folder may take, in files that are small enough each, and wait for the cancel."""
    for number in range(12):
        (job.workdir / f"part-{number}").write_bytes(bytes(1 << 20))
    token.wait(FOR_EVER)
    token.check()


@evil
def take_every_byte(job: FilterContext, token: CancellationToken) -> None:
    """Fill the disk, then take what becomes free as well; look at no token."""
    with (job.workdir / "big").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        trace(job, "full")
        while True:
            with contextlib.suppress(OSError):
                file.write(bytes(1 << 12))
            time.sleep(0.005)


@evil
def open_files(job: FilterContext, token: CancellationToken) -> None:
    """Open a file, and another ..."""
    opened = []
    while True:
        opened.append((job.workdir / str(len(opened))).open("w"))


@evil
def print_much(job: FilterContext, token: CancellationToken) -> None:
    """Print 20 MB, with signs that could trick a terminal."""
    print("\x1b[2J the first line")
    for _ in range(20):
        print("x" * 10**6)


@evil
def print_without_end(job: FilterContext, token: CancellationToken) -> None:
    """Print for ever."""
    while True:
        print("x" * 1000)


@evil
def log_much(job: FilterContext, token: CancellationToken) -> None:
    """Log a line that is too long, and then more lines than there may be."""
    job.log("é" * 5000)
    for number in range(24):
        job.log(f"line {number:03}")


# --- they end in odd ways ------------------------------------------------------------------------------------------


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


# --- they abuse the pipe -------------------------------------------------------------------------------------------


@evil
def close_everything(job: FilterContext, token: CancellationToken) -> None:
    """Close every descriptor, and hide."""
    os.closerange(0, 512)
    time.sleep(FOR_EVER)


@evil
def hang_up(job: FilterContext, token: CancellationToken) -> None:
    """Close the socket to the server, write that into the trace, and go on."""
    for one, target in descriptors().items():
        if target.startswith("socket:"):
            os.close(one)
    trace(job, "hung-up")
    time.sleep(FOR_EVER)


@evil
def send_garbage(job: FilterContext, token: CancellationToken) -> None:
    """Write what is no message to everything that is open."""
    for one, target in descriptors().items():
        if target.startswith("socket:"):
            os.write(one, b"\xff\xfe\0garbage\n" * 100)
    time.sleep(FOR_EVER)


@evil
def send_half_a_line(job: FilterContext, token: CancellationToken) -> None:
    """Begin a message, and hang."""
    pipe().sendall(b'{"type": "prog')
    time.sleep(FOR_EVER)


@evil
def send_a_line_without_end(job: FilterContext, token: CancellationToken) -> None:
    """Never send the end of a line."""
    channel = pipe()
    while True:
        channel.sendall(b"x" * 65536)


@evil
def flood(job: FilterContext, token: CancellationToken) -> None:
    """Say that it is half done, as fast as it can."""
    channel = pipe()
    said = b'{"type":"progress","done":1,"total":2,"unit":"pages"}\n' * 1000
    while True:
        channel.sendall(said)


@evil
def ask_without_listening(job: FilterContext, token: CancellationToken) -> None:
    """Ask for leave again and again, and never read an answer."""
    channel = pipe()
    while True:
        channel.sendall(b'{"type":"grant","document":1,"destination":"d","name":"n"}\n' * 1000)


@evil
def ask_the_impossible(job: FilterContext, token: CancellationToken) -> None:
    """Name a document that no database has room for."""
    say({"type": "grant", "document": 2**80, "destination": "d", "name": "n"})
    time.sleep(FOR_EVER)


@evil
def ask_for_infinity(job: FilterContext, token: CancellationToken) -> None:
    """Name a document that is no number one can count to."""
    say({"type": "grant", "document": float("inf"), "destination": "d", "name": "n"})
    time.sleep(FOR_EVER)


@evil
def ask_with_odd_names(job: FilterContext, token: CancellationToken) -> None:
    """Use names that no database takes."""
    say({"type": "grant", "document": 1, "destination": "\ud800\0", "name": "\udfff"}, {"type": "done"})
    time.sleep(FOR_EVER)


@evil
def lie_about_the_end(job: FilterContext, token: CancellationToken) -> None:
    """Say that it failed, in a form that makes no sense."""
    say({"type": "failed", "reasons": [["x"], {"y": 1}, 7], "error": {"z": []}})
    time.sleep(FOR_EVER)


@evil
def boast_of_itself(job: FilterContext, token: CancellationToken) -> None:
    """Claim what cannot be: checks without number, a gap that is none, more done than there is to count."""
    job.progress(2**80, -(2**80), "pages")
    struct.pack_into("Qd", token._page, 16, 2**64 - 1, float("nan"))


@evil
def end_deep(job: FilterContext, token: CancellationToken) -> None:
    """Send a list of documents that is nested as deep as the parser goes."""
    pipe().sendall(b'{"type":"done","documents":[[' + b"[" * 900 + b"]" * 900 + b',"png",0]]}\n')
    time.sleep(FOR_EVER)


@evil
def end_long(job: FilterContext, token: CancellationToken) -> None:
    """Send a document whose number is a long text."""
    say({"type": "done", "documents": [["x" * 500_000, "png", 0]]})
    time.sleep(FOR_EVER)


@evil
def use_a_long_destination(job: FilterContext, token: CancellationToken) -> None:
    """Name a destination that no index has room for."""
    say({"type": "grant", "document": 1, "destination": "\u20ac" * 2048, "name": "n"})
    time.sleep(FOR_EVER)


@evil
def find_no_memory(job: FilterContext, token: CancellationToken) -> None:
    """Be refused memory by the system."""
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


# --- they deliver what they may not --------------------------------------------------------------------------------


@evil
def write_around(job: FilterContext, token: CancellationToken) -> None:
    """Write to the destination without asking, and never stop."""
    for number in range(10**6):
        (Path(job.settings.folder) / f"{job.job.token}.{number}").touch()
        time.sleep(0.02)


@partial(evil, grace=60.0)  # it asks before it is killed, however late it gets the processor
def ask_after_the_cancel(job: FilterContext, token: CancellationToken) -> None:
    """Catch the cancel, and ask for leave behind the back of `publish`."""
    token.wait(FOR_EVER)
    granted = job.parent.grant(1, "somewhere", "name")
    trace(job, f"granted {granted}")


# --- they change their process -------------------------------------------------------------------------------------


@evil
def change_everything(job: FilterContext, token: CancellationToken) -> None:
    """Change what a process has of its own."""
    os.chdir("/")
    os.umask(0)
    os.environ["PATH"] = "/nowhere"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(5)


@evil
def look_around(job: FilterContext, token: CancellationToken) -> None:
    """Do no harm: write down what this process looks like."""
    umask = os.umask(0)
    looks = {
        "home": Path.cwd() == job.workdir,
        "umask": umask,
        "path": os.environ["PATH"],
        "sigterm": signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        "nice": os.nice(0),
        "descriptors": list(descriptors().values()),
        "environment": sorted(os.environ),
        "start": [one.partition("=")[0] for one in Path("/proc/self/environ").read_text().split("\0") if one],
    }
    trace(job, f"looks {json.dumps(looks)}")


@evil
def truncate_the_token(job: FilterContext, token: CancellationToken) -> None:
    """Take the page away under the server that has it mapped."""
    pages = [f"/proc/self/fd/{number}" for number, target in descriptors().items() if "token" in target]
    for page in [*job.workdir.parent.glob("*.token"), *pages]:
        with contextlib.suppress(OSError):
            os.truncate(page, 0)


@evil
def cancel_itself(job: FilterContext, token: CancellationToken) -> None:
    """Write into the page that it is cancelled already, and go on."""
    page = token._page
    page[0] = 1
    trace(job, "forged")
    time.sleep(FOR_EVER)
