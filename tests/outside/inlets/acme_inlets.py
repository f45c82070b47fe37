"""A source that does what a file of its folder says, step by step; and one that lies, floods, and does not read.

The file `steps` has Python expressions, one a line, that are evaluated with `inlet`, `job` and so on; each result is
written into the file `results`, so a test can act between two steps.
"""

import json
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import Busy, Ended, Refused, Source, Taken, hookimpl


@dataclass(frozen=True)
class ErrandSettings:
    """The table of an inlet."""

    folder: str
    behaviour: str = ""
    key: str = "1"
    loading: float = 0.0

    def __post_init__(self):
        """Take that long to be loaded."""
        time.sleep(self.loading)


def channel(inlet):
    """Return the socket to the server, as code of a plugin can get it."""
    return inlet.connection._channel


def send(inlet, **message):
    """Send a message, whatever it is."""
    inlet.connection._channel.sendall(json.dumps(message).encode() + b"\n")


def flood(inlet, token):
    """Send messages without end."""
    while True:
        send(inlet, type="health", state="ready", text="")


def ask_without_end(inlet, token):
    """Send more requests than may be without a reply, each of which takes the server some time."""
    messages = [{"type": "password", "id": one, "account": "anna", "password": "x"} for one in range(1, 1001)]
    channel(inlet).sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    token.wait(600)


def ask_twice(inlet, token):
    """Use the number of a request again."""
    message = {"type": "password", "id": 1, "account": "anna", "password": "x"}
    channel(inlet).sendall((json.dumps(message).encode() + b"\n") * 500)
    token.wait(600)


def send_no_message(inlet, token):
    """Send a line that is no message."""
    channel(inlet).sendall(b'{"type": "open", "id": 1}\n')
    token.wait(600)


def send_no_end(inlet, token):
    """Send a line that is too long, and does not end."""
    for _ in range(64):
        channel(inlet).sendall(b"x" * 65536)
    token.wait(600)


def declare_twice(inlet, token):
    """Declare a further proof."""
    send(inlet, type="declared", title="x", api=1, proofs=["local"], grace=1.0, pulls=False)
    token.wait(600)


def claim(inlet, token):
    """Claim a proof that it has not declared."""
    send(inlet, type="open", id=1, key="1", destination="d", proof="certificate", subject="anna", account="anna")
    token.wait(600)


def read_nothing(inlet, token):
    """Ask and ask, and read no reply: the thread that reads waits for a lock."""
    inlet.connection._lock.acquire()
    for number in range(100_000):
        send(inlet, type="state", id=number, job="x")
        time.sleep(0.005)


def fill(inlet, token):
    """Write into its folder without leave."""
    for number in range(10_000):
        (inlet.workdir / f"more-{number}").write_bytes(bytes(1 << 20))
        time.sleep(0.01)


def shout(inlet, token):
    """Write many lines into the log, with fields that are not its own to give."""
    for number in range(4000):
        send(
            inlet, type="log", level="info", message=f"line {number}", fields={"file": "a\nb", "name": "x", "A b": "c"}
        )
        time.sleep(0.01)
    token.wait(600)


def deaf(inlet, token):
    """Ignore the stop and SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)


def close(inlet, token):
    """Close the socket and go on."""
    inlet.connection._channel.shutdown(socket.SHUT_RDWR)
    time.sleep(600)


def fail(inlet, token):
    """Fail in `run`."""
    raise RuntimeError("the errand is over")


def leave_something(inlet, token):
    """Start a process of its own session, and end."""
    if os.fork() == 0:
        os.setsid()
        (Path(inlet.settings.folder) / "daemon").write_text(str(os.getpid()))
        time.sleep(600)
    while not (Path(inlet.settings.folder) / "daemon").exists():
        time.sleep(0.01)
    os._exit(3)


def spin(inlet, token):
    """Use the processor without end, and look at nothing."""
    while True:
        pass


def fork(inlet, token):
    """Start one process after another, each in a session of its own, and look at nothing."""
    for _ in range(200):
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
            os._exit(0)
        time.sleep(0.01)
    time.sleep(600)


def hold(inlet, token):
    """Hold a job open until the file `go` appears, also when the stop comes."""
    folder = Path(inlet.settings.folder)
    with inlet.job(inlet.settings.key, inlet.destinations[0], "device", "10.0.0.9") as job:
        job.page_from(inlet.workdir / "page" if (inlet.workdir / "page").exists() else picture(inlet))
        (folder / "job").write_text(job.id)
        while not (folder / "go").exists():
            time.sleep(0.01)
    (folder / "done").write_text(job.id)
    token.wait(600)


def deliver(inlet, token):
    """Make a job of two pages of each file in `inbox`, and move the file to `acked` when that is stored.

    Each step is written into the file `step`; the step that `pause` names lasts until the process is killed.
    """
    folder = Path(inlet.settings.folder)
    acked = folder / "acked"
    acked.mkdir(exist_ok=True)

    def step(name):
        pause = folder / "pause"
        if pause.exists() and pause.read_text() == name:
            (folder / "paused").write_text(name)
            time.sleep(600)

    def bring(origin):
        step("before open")
        with inlet.job(origin.name, inlet.destinations[0], "device", "10.0.0.9", remember_seconds=30 * 86400) as job:
            step("opened")
            for number in (1, 2):
                with job.page() as page:
                    page.write(origin.read_bytes())
                    step(f"before page {number}")
                step(f"page {number} stored")
        step("ended")

    while not token.wait(0.02):
        for origin in sorted((folder / "inbox").iterdir()):
            try:
                bring(origin)
            except Busy:
                continue
            except Taken:
                step("taken")
            except (Ended, Refused) as error:
                (folder / "wrong").write_text(f"{origin.name}: {error}")
            origin.rename(acked / origin.name)
            step("acknowledged")
            if token.cancelled:
                return


def picture(inlet):
    """Write the picture of the test into the workdir, and return its path."""
    path = inlet.workdir / "page"
    path.write_bytes((Path(inlet.settings.folder) / "picture").read_bytes())
    return path


BEHAVIOURS = {
    one.__name__: one
    for one in (
        flood,
        ask_without_end,
        ask_twice,
        send_no_message,
        send_no_end,
        declare_twice,
        claim,
        read_nothing,
        fill,
        shout,
        deaf,
        close,
        fail,
        leave_something,
        spin,
        fork,
        hold,
        deliver,
    )
}


class Errand(Source):
    """Do what the settings say."""

    title = "Errand"
    proofs = ("device", "password")
    grace = 2.0
    Settings = ErrandSettings

    def run(self, inlet, token):
        """Behave, or carry out steps."""
        folder = Path(inlet.settings.folder)
        (folder / "process").write_text(str(os.getpid()))
        inlet.health("ready", "on its way")
        if inlet.settings.behaviour:
            BEHAVIOURS[inlet.settings.behaviour](inlet, token)
            return
        self.follow(inlet, token, folder)

    def follow(self, inlet, token, folder):
        """Carry out the steps as they come."""
        done = 0
        names = {"inlet": inlet, "folder": folder, "picture": lambda: picture(inlet), "token": token, "kept": {}}
        while not token.wait(0.01):
            steps = (folder / "steps").read_text().splitlines() if (folder / "steps").exists() else []
            for step in steps[done:]:
                done += 1
                try:
                    result = eval(step, names)
                except (Busy, Ended, Refused, Taken) as error:
                    result = f"{type(error).__name__} {error}"
                with (folder / "results").open("a") as results:
                    results.write(f"{result}\n")

    def pull(self, inlet, destination):
        """Note it."""
        with (Path(inlet.settings.folder) / "pulled").open("a") as pulled:
            pulled.write(f"{destination}\n")


@hookimpl
def postscan_sources():
    """Bring the source."""
    return [Errand()]
