"""Whether a process works, and whether it should get requests: for the probes of its port, and for systemd.

A process *works* if what goes round in it, its event loop and the look for jobs, went round lately. That never depends
on the database: a restart would not bring it back. A process is *ready* if each check says so. Checks may block, so
they run in threads of their own, one run of each at a time, whose outcome counts for a moment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

LIMIT_SECONDS: Final = 10.0
"""Since a part went round last, after which the process does not work."""

FRESH_SECONDS: Final = 1.0
"""For which the outcome of a check counts: who asks more often gets the same."""

ANSWER_SECONDS: Final = 5.0
"""For one check."""

Check = Callable[[], str]
"""Returns why the process is not ready, without names and addresses; "" if it is. May block.

An exception is logged, and is such a reason by the name of its class.
"""

STARTING: Final = "starting"
DRAINING: Final = "stopping"


class Health:
    """The health of one process; safe to use from several threads. *ticks* returns monotonic seconds."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._lock = threading.Lock()
        self._rounds: dict[str, tuple[float, float]] = {}
        self._checks: dict[str, _ReadyCheck] = {}
        self._stage = STARTING
        self._on_drain: list[Callable[[], None]] = []

    def went_round(self, part: str, limit: float = LIMIT_SECONDS) -> None:
        """Note that a part went round now, and does so again within *limit* seconds."""
        self._rounds[part] = (self._ticks(), limit)

    def stopped(self, part: str) -> None:
        """Expect no further round of a part: it has ended in good order."""
        self._rounds.pop(part, None)

    def stuck(self) -> dict[str, float]:
        """Return the parts that are late, with the seconds since they went round; none if the process works."""
        now = self._ticks()
        rounds = self._rounds.copy()
        return {part: now - at for part, (at, limit) in rounds.items() if now - at > limit}

    def add(self, name: str, check: Check) -> None:
        """Let a process be ready only if *check* says so, too; *name* is for who reads the reasons."""
        with self._lock:
            self._checks[name] = _ReadyCheck(check, self._ticks)

    def unready(self) -> dict[str, str]:
        """Return the reasons for which the process is not ready, by the names of the checks; none if it is.

        Takes `ANSWER_SECONDS` at most.
        """
        if self._stage:
            return {"server": self._stage}
        with self._lock:
            checks = self._checks.copy()
        for one in checks.values():
            one.begin()
        until = time.monotonic() + ANSWER_SECONDS
        reasons = {name: check.outcome(until) for name, check in checks.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def started(self) -> None:
        """Be ready from now on, as far as the checks say so."""
        with self._lock:
            if self._stage == STARTING:
                self._stage = ""

    def on_drain(self, call: Callable[[], None]) -> None:
        """Call *call* when the process begins to drain."""
        self._on_drain.append(call)

    def drain(self) -> None:
        """Be ready no more: the process stops. Only the first call counts."""
        with self._lock:
            if self._stage == DRAINING:
                return
            self._stage = DRAINING
        for call in self._on_drain:
            call()


class _ReadyCheck:
    """One check, and its last outcome."""

    def __init__(self, check: Check, ticks: Callable[[], float]) -> None:
        self._check = check
        self._ticks = ticks
        self._lock = threading.Lock()
        self._running: threading.Event | None = None
        self._reason = ""
        self._at: float | None = None

    def begin(self) -> None:
        """Run the check, unless it runs, or has done so lately."""
        with self._lock:
            if self._running is not None or (self._at is not None and self._ticks() - self._at < FRESH_SECONDS):
                return
            self._running = threading.Event()
            threading.Thread(target=self._run, args=(self._running,), name="postscan-ready", daemon=True).start()

    def outcome(self, until: float) -> str:
        """Return why the process is not ready; wait for a check that runs until `time.monotonic()` is *until*."""
        running = self._running
        if running is not None and not running.wait(max(0.0, until - time.monotonic())):
            return f"no answer within {ANSWER_SECONDS:g} s"
        return self._reason

    def _run(self, running: threading.Event) -> None:
        try:
            reason = self._check()
        except Exception as error:
            log.exception("readiness not checked")
            reason = type(error).__name__  # its text may have names that are not for who asks
        with self._lock:
            self._reason, self._at, self._running = reason, self._ticks(), None
        running.set()
