"""One simulated scanner in front of the server, a person at it, and what becomes of each press."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from acceptance.scanner_inlets import LABEL, ScannerServer, sha256
from PIL import Image
from works import until

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.eventing.subscriptions import SCAN_AVAILABLE
from postscan.cli.device.wsscan.panel import PanelError, PressState
from postscan.core.model.job import Job

PAGES: Final = 3
TRIES: Final = 10
"""How often a person presses for the same pages."""

PATIENCE: Final = 90.0
"""Seconds within which a destination is on the panel again after a restart, on a busy machine."""

NOT_PRESSED: Final = "not pressed"


@dataclass
class PressTotals:
    """What has been seen; `seconds` are those from a press to the job's Pending, of presses without a restart."""

    presses: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    unnoticed: int = 0
    """Presses that the panel shows as Completed, and whose job was Aborted, since its source was killed behind them."""
    subscribes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """For each scanner: Subscribes for presses, and how many there may be."""
    seconds: list[float] = field(default_factory=list)
    transfers: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def picture(number: int, page: int = 0) -> bytes:
    """Return a page that no other press has, as a JPEG of about 15 KB."""
    pixels = random.Random(f"{number} {page}").randbytes(3 * 96 * 96)
    content = io.BytesIO()
    Image.frombytes("RGB", (96, 96), pixels).save(content, "JPEG")
    return content.getvalue()


class PressedPanel:
    """A scanner, its inlet, and the person."""

    def __init__(self, name: str, scanner: WsdScanner, server: ScannerServer, totals: PressTotals) -> None:
        self.name = name
        self.scanner = scanner
        self.server = server
        self._totals = totals
        self._restarts = 0

    # --- the person ----------------------------------------------------------------------------------------------

    def scan(self, number: int) -> None:
        """Press for pages of their own while nothing is restarted: one job, whole, and each page once on the share."""
        pages = self._load(number)
        pressed = datetime.now(UTC)
        end = self._press()
        if end != PressState.COMPLETED:
            self._violation(number, f"ended as {end}")
            return
        jobs = self._settled(pages)
        if [(str(job.state), _hashes(job)) for job in jobs] != [("Completed", [sha256(page) for page in pages])]:
            self._violation(number, f"is {[(str(job.state), len(job.documents)) for job in jobs]}, of {PAGES} pages")
            return
        self._check_share(number, pages, 1)
        pending = self.server.pending_at(jobs[0])
        assert pending is not None
        self._totals.seconds.append((pending - pressed).total_seconds())

    def scan_disturbed(self, number: int, restart: str, after: float, all_panels: Sequence[PressedPanel]) -> None:
        """Press, restart something *after* so many seconds, and press again until the pages have arrived."""
        pages = self._load(number)
        end = self._press(lambda: self._restart(restart, after, all_panels))
        for _ in range(TRIES):
            jobs = self._settled(pages)
            is_done = any(job.state == "Completed" for job in jobs)
            if end == PressState.COMPLETED and not is_done:
                self._totals.unnoticed += 1
            if is_done:
                break
            self.await_destination()
            end = self._press()
        self._check_disturbed(number, pages)

    def _load(self, number: int) -> list[bytes]:
        pages = [picture(number, page) for page in range(PAGES)]
        self.scanner.load(pages)
        return pages

    def _press(self, disturb: Callable[[], object] = lambda: None) -> str:
        """Press once; return how the press ended."""
        try:
            press = self.scanner.press(LABEL)
        except PanelError:
            end = NOT_PRESSED
        else:
            disturb()
            end = str(press.wait(PATIENCE))
        self._totals.ends[end] += 1
        return end

    # --- restarts ------------------------------------------------------------------------------------------------

    def _restart(self, what: str, after: float, all_panels: Sequence[PressedPanel]) -> None:
        time.sleep(after)  # a random moment of the scan
        self._totals.restarts[what] += 1
        for panel in all_panels if what == "server" else (self,):
            panel._restarts += 1
        RESTARTS[what](self)

    def kill_source(self) -> None:
        """Kill the process of the source of this scanner; it is started again."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.server.server.source(self.name), signal.SIGKILL)
        self.server.order_start(self.name)  # else five of them are a quarantine

    def kill_server(self) -> None:
        """Kill the server with all its sources, and start it."""
        self.server.server.kill()
        self.server.server.start()

    def restart_device(self) -> None:
        """Switch the scanner off and on: it knows no job and no subscription any more."""
        self.scanner.reboot()

    # --- checks --------------------------------------------------------------------------------------------------

    def await_destination(self) -> None:
        """Wait until the panel shows the destination again, and the source takes events for it."""
        what = f"for the panel of {self.name}"
        until(lambda: self.scanner.destinations == [LABEL] and self._is_heard(), what, PATIENCE)

    def _is_heard(self) -> bool:
        """Return whether exactly one live subscription is for presses, and something listens at its address."""
        live = [one for one in self.scanner.subscriptions if one.wants(SCAN_AVAILABLE)]
        if len(live) != 1:
            return False
        sink = urlsplit(live[0].notify_to.address)
        assert sink.hostname
        try:
            socket.create_connection((sink.hostname, sink.port or 80), timeout=5).close()
        except OSError:
            return False
        return True

    def check_subscribes(self) -> None:
        """Check that there was one Subscribe at the begin, and at most one for each restart."""
        bodies = list(self.scanner.bodies("Subscribe"))
        count = sum(b"ScanDestinations" in body for body in bodies)
        self._totals.subscribes[self.name] = count, 1 + self._restarts
        if count > 1 + self._restarts:
            self._totals.violations.append(f"{self.name} got {count} Subscribes for {self._restarts} restarts")

    def _settled(self, pages: Sequence[bytes]) -> list[Job]:
        """Wait until all jobs that have one of these pages have ended; return them."""
        found: dict[str, Job] = {}

        def ended() -> bool:
            found.clear()
            found.update({job.token: job for page in pages for job in self.server.jobs_of(page)})
            return all(job.state.ended for job in found.values())

        until(ended, f"for the jobs of {self.name} to end", PATIENCE)
        return list(found.values())

    def _check_disturbed(self, number: int, pages: Sequence[bytes]) -> None:
        jobs = self._settled(pages)
        whole = [job for job in jobs if job.state == "Completed"]
        if [_hashes(job) for job in whole] != [[sha256(page) for page in pages]]:
            self._violation(number, f"is {[(str(job.state), len(job.documents)) for job in jobs]}, of {PAGES} pages")
        if unexpected := [str(job.state) for job in jobs if job.state not in ("Completed", "Aborted", "Canceled")]:
            self._violation(number, f"left jobs that are {unexpected}")
        self._check_share(number, pages, len(whole))

    def _check_share(self, number: int, pages: Sequence[bytes], times: int) -> None:
        share = self.server.delivered()
        found = [share[sha256(page)] for page in pages]
        if found != [times] * len(pages):
            self._violation(number, f"is on the share {found} times, expected {times}")

    def _violation(self, number: int, text: str) -> None:
        self._totals.violations.append(f"press {number} at {self.name} {text}")


RESTARTS: Final[Mapping[str, Callable[[PressedPanel], None]]] = {
    "source": PressedPanel.kill_source,
    "server": PressedPanel.kill_server,
    "device": PressedPanel.restart_device,
}


def _hashes(job: Job) -> list[str]:
    return [document.sha256 for document in sorted(job.documents, key=lambda one: one.id)]
