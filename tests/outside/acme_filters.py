"""An outside plugin for the tests: filters that do one thing each, good or bad, as their instructions say.

Every instruction is `<do>argument</do>`. What a filter did can be seen in the folder named by `[filters.acme]`.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from postscan.plugins import CancellationToken, Filter, FilterContext, FilterFailed, FilterResult, element, hookimpl


@dataclass
class Settings:
    """`folder` is where the filters leave their traces; `api_key` is a secret."""

    folder: str = ""
    api_key: str = ""


class Acme(Filter):
    """What the filters here have in common."""

    title = "Acme"
    Settings = Settings

    def argument(self, job: FilterContext) -> str:
        """Return the text of the instructions."""
        return re.sub(rb"<[^>]*>", b"", job.instructions).decode()

    def trace(self, job: FilterContext, text: str) -> None:
        """Leave a line that a test can read."""
        with (Path(job.settings.folder) / f"{job.job.token}.trace").open("a") as file:
            file.write(f"{text} {time.monotonic()}\n")

    def pause(self, job: FilterContext, token: CancellationToken) -> None:
        """Wait for as many seconds as the instructions say, or `until woken` by the test; return early at a cancel."""
        if (argument := self.argument(job)) != "until woken":
            token.wait(float(argument or 0))
        else:
            self.sleep_until_woken(job, token)

    def sleep_until_woken(self, job: FilterContext, token: CancellationToken) -> None:
        """Wait until the test wakes this job; return early at a cancel."""
        woken = Path(job.settings.folder) / f"{job.job.token}.woken"
        while not woken.exists() and not token.wait(0.01):
            pass


class Copy(Acme):
    """Deliver every document to the folder, after the pause that the instructions say."""

    dialect = "urn:acme:copy"

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        self.trace(job, "copy")
        self.pause(job, token)
        for document in job.documents:
            job.deliver(document, Path(job.settings.folder))


class Sleep(Acme):
    """Sleep for as many seconds as the instructions say, or until the test wakes it, watching the token."""

    dialect = "urn:acme:sleep"
    grace = 60.0  # it ends at the cancel, however late it gets the processor

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        self.trace(job, f"sleep {os.getpid()}")
        self.pause(job, token)
        token.check()
        self.trace(job, "slept")


class Deaf(Acme):
    """Never look at the token, ignore SIGTERM, and keep a tool running."""

    dialect = "urn:acme:deaf"
    grace = 0.3

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tool = subprocess.Popen(["sleep", "3600"])
        self.trace(job, f"deaf {os.getpid()} {tool.pid}")
        time.sleep(3600)


class Swallow(Acme):
    """Swallow the cancel and try to publish all the same."""

    dialect = "urn:acme:swallow"
    grace = 60.0  # it swallows the cancel before it is killed, however late it gets the processor

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        self.trace(job, "swallow")
        try:
            token.wait(30)
            token.check()
        except BaseException:
            self.trace(job, "swallowed")
        for document in job.all_documents:
            job.deliver(document, Path(job.settings.folder))


class Turn(Acme):
    """Change the documents as the instructions say, word by word."""

    dialect = "urn:acme:turn"

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        documents = {document.id: document for document in job.documents}
        made = job.workdir / "made by turn"
        for step in self.argument(job).split():
            what, _, id = step.partition(":")
            document = documents.get(int(id or 0))
            match what:
                case "reverse":
                    made.write_bytes(document.path.read_bytes()[::-1])
                    job.replace(document, made)
                case "remove":
                    job.remove(document)
                case "add":
                    made.write_bytes(b"added")
                    job.add(made, "pdf", after=document)
                case "link":  # what the server must not follow
                    job.add(document.path, "pdf")
                    (job.workdir / "made" / "0").unlink()
                    (job.workdir / "made" / "0").symlink_to("/etc/hostname")
                case "fail":
                    raise FilterFailed("x:y", "after the work was done")
                case "pause":
                    self.trace(job, "pausing")
                    while not (Path(job.settings.folder) / "go").exists():
                        token.wait(0.05)
                        token.check()
                case "wait":
                    self.trace(job, "waiting")
                    token.wait(30)
                    token.check()


class Fail(Acme):
    """Fail with the reason that the instructions give."""

    dialect = "urn:acme:fail"

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        token.check()
        raise FilterFailed(self.argument(job), "it was told to fail")


class Log(Acme):
    """Log the words of the instructions; `KEY` stands for the secret of the settings, `PAUSE` waits for the test."""

    dialect = "urn:acme:log"
    grace = 60.0

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        for word in self.argument(job).split():
            token.check()
            if word == "PAUSE":
                self.trace(job, "pausing")
                self.sleep_until_woken(job, token)
            else:
                job.log(f"key {job.settings.api_key}" if word == "KEY" else word)


class Warn(Acme):
    """End with a warning."""

    dialect = "urn:acme:warn"

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult:
        token.check()
        return FilterResult(("the paper was thin",))


class Raise(Acme):
    """Break like a program with a mistake in it."""

    dialect = "urn:acme:raise"

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        token.check()
        raise SystemExit("no word about it")


class Die(Acme):
    """End the worker, on the runs that the instructions count: `2` means on the first two."""

    dialect = "urn:acme:die"

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        self.trace(job, "die")
        runs = (Path(job.settings.folder) / f"{job.job.token}.trace").read_text().count("die")
        if runs <= int(self.argument(job)):
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Instructions:
    """Order: which pages are printed, and how."""

    copies: int = element("Copies", default=1, least=1, most=9)
    colour: Literal["grey", "red"] = element("Colour", default="grey")
    first: int = element("Pages/First", default=1)
    last: int = element("Pages/Last", default=9999)

    def __post_init__(self) -> None:
        """Refuse pages in the wrong order."""
        if self.last < self.first:
            raise ValueError(f"First is {self.first}, after Last, which is {self.last}")


class Print(Acme):
    """Take typed instructions."""

    dialect = "urn:acme:print"
    title = "Print"
    Instructions = Instructions

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        token.check()
        asked = job.instructions
        self.trace(job, f"print {asked.copies} {asked.colour} {asked.first} {asked.last}")


class Moody(Acme):
    """Judge instructions as they say themselves."""

    dialect = "urn:acme:moody"
    title = "Moody"

    def check(self, instructions: bytes) -> None:
        match re.sub(rb"<[^>]*>", b"", instructions).decode():
            case "refuse":
                raise ValueError("it does not want to")
            case "break":
                raise RuntimeError("a secret of the inside")
            case "leave":
                raise SystemExit(0)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "sleep":
                time.sleep(60)
            case path if path.startswith("/"):  # wait until somebody has made it
                while not Path(path).exists():
                    time.sleep(0.01)

    def run(self, job: FilterContext, token: CancellationToken) -> None:
        token.check()
        self.trace(job, "moody")


class Helpless(Moody):
    """Lack something, and be unable to judge without it."""

    dialect = "urn:acme:helpless"
    title = "Helpless"

    def requires(self) -> Iterable[str]:
        yield "there is no moon here"


@hookimpl
def postscan_filters() -> list[Filter]:
    """Bring them all."""
    kinds = (Copy, Sleep, Deaf, Swallow, Turn, Fail, Log, Warn, Raise, Die, Print, Moody, Helpless)
    return [kind() for kind in kinds]
