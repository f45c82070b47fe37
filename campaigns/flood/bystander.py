"""A bystander of the flood: a device that scans, cancels and asks, and an administrator who cancels.

Every time is in seconds; what failed took for ever (`math.inf`).
"""

from __future__ import annotations

import contextlib
import math
import os
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from acceptance.scanning import instructions
from acceptance.server import Server
from device import Answer, Device

from campaigns.flood import children
from campaigns.whole_job import Job, NoAnswer, Refused

ADDRESS: Final = "127.0.2.1"
PATIENCE: Final = 30.0
PAUSE: Final = 0.5
TRIES: Final = 40
_FILTER: Final = "swallow"

Timed = list[tuple[float, float]]


@dataclass
class Notes:
    """What the bystander did and how long it took: pairs of the moment it began and the seconds.

    `gets` are requests for the state of a job. `cancels` are those of the device and `commands` those of the command
    line, from the begin to the filter; `ends` of the commands, to the end of the process; `scans` are whole jobs.
    `repeated` are requests of whole jobs that had to be sent again, by their reason.
    """

    gets: Timed = field(default_factory=list)
    cancels: Timed = field(default_factory=list)
    commands: Timed = field(default_factory=list)
    ends: Timed = field(default_factory=list)
    scans: Timed = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


class Failed(Exception):
    """A request of the bystander failed."""


class Bystander:
    """Cancels jobs at its device and by the command line, and scans whole jobs, each in a thread of its own.

    A process of its own asks for the state of a job; it takes *ca*, the file of the CA of the server's certificate.
    """

    def __init__(self, server: Server, tls: ssl.SSLContext | None, ca: str) -> None:
        self.notes = Notes()
        self._server = server
        self._tls = tls
        self._device = Device(server.url, source_address=ADDRESS, timeout=PATIENCE, tls=tls)
        self._stop = threading.Event()
        asked = instructions(_FILTER)
        self._process, self._instructions = server.store(asked), asked
        order = {"url": server.url, "ca": ca, "address": ADDRESS, "patience": PATIENCE}
        self._getting = {**order, "token": self._create()}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Do all of it, again and again, while the body runs; then wait until the last of it is done."""
        loops = (self._cancel_by_device, self._cancel_by_command, self._scan)
        self._stop.clear()
        with children.running("getter", self._getting) as getter, ThreadPoolExecutor(len(loops)) as threads:
            getter.await_running()
            futures = [threads.submit(self._repeat, one) for one in loops]
            try:
                yield
            finally:
                self._stop.set()
            for future in futures:
                future.result()
        self.notes.gets += [(began, math.inf if seconds is None else seconds) for began, seconds in getter.report]

    def _create(self) -> str:
        """Create a job and return its token."""
        token = _good(self._device.create(self._process, self._instructions)).find("JobToken")
        if not token:
            raise Failed("a Create without a token")
        return token

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            work()
            self._stop.wait(PAUSE)

    def _cancel_by_device(self) -> None:
        began = time.monotonic()
        try:
            token = self._in_filter()
            began = time.monotonic()
            _good(self._device.cancel(token))
            self.notes.cancels.append((began, self._reached(token) - began))
        except (OSError, Failed) as error:
            self.notes.cancels.append((began, math.inf))
            self.notes.broken.append(f"a cancel of the bystander's device failed: {error!r}")

    def _cancel_by_command(self) -> None:
        began = time.monotonic()
        try:
            token = self._in_filter()
            command = [
                str(Path(sys.executable).with_name("postscan")),
                "--config",
                str(self._server.home / "postscan.toml"),
            ]
            began = time.monotonic()
            subprocess.run([*command, "cancel", token], capture_output=True, check=True, timeout=PATIENCE)
            ended = time.monotonic()
            self.notes.ends.append((began, ended - began))
            self.notes.commands.append((began, self._reached(token) - began))
        except (OSError, subprocess.SubprocessError, Failed) as error:
            self.notes.ends.append((began, math.inf))
            self.notes.broken.append(f"postscan cancel failed: {error!r}")

    def _in_filter(self) -> str:
        """Scan a page, and wait until its filter runs; return the token."""
        token = self._create()
        _good(self._device.send_image(token, 1, os.urandom(3000)))
        _good(self._device.end(token))
        self._traced(token, _FILTER)
        return token

    def _reached(self, token: str) -> float:
        """Return when the filter of a job noticed its cancel."""
        return self._traced(token, "swallowed")

    def _traced(self, token: str, word: str) -> float:
        """Wait for a line that a filter leaves; return its moment."""
        file, end = self._server.out / f"{token}.trace", time.monotonic() + PATIENCE
        while time.monotonic() < end:
            lines = file.read_text().splitlines() if file.exists() else []
            for line in lines:
                if line.split()[0] == word:
                    return float(line.split()[1])
            time.sleep(0.02)
        raise Failed(f"the filter of job {token} did not note {word!r} within {PATIENCE:g} s")

    def _scan(self) -> None:
        job, began = Job(self._server, "delivered", self._tls), time.monotonic()
        self.notes.jobs.append(job)
        broken = self._broken(job)
        self.notes.scans.append((began, math.inf if broken else time.monotonic() - began))
        if broken:
            self.notes.broken.append(broken)

    def _broken(self, job: Job) -> str:
        """Scan a whole job; return a sentence if it does not end."""
        for _ in range(TRIES):
            try:
                job.go_on()
            except (NoAnswer, Refused) as error:
                self.notes.repeated[f"{type(error).__name__} {error}"] += 1
                time.sleep(PAUSE)
            except AssertionError as error:
                return f"a job of the bystander did not end: {error}"
            else:
                return ""
        return f"a job of the bystander was refused {TRIES} times"


def _good(answer: Answer) -> Answer:
    if answer.status != 200:
        raise Failed(f"status {answer.status}: {answer.body[:500]!r}")
    return answer
