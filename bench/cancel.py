"""Latency of a cancel through the server over HTTP, with fifty running filters.

Measures the time from the request until a cooperative filter has stopped, and until the response; from the request
until a filter that ignores the cancel is ended; and how much longer another filter needs for the same work while such
a filter is killed.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

from bench import servers
from bench.send_image import send
from bench.servers import Server, envelope, exchange

RUNNING: Final = 50
CANCELS: Final = 200
ROUNDS: Final = 5
GRACE, TERM = 0.4, 2.0
WORK: Final = 3.0  # seconds of counting, about
ENDLESS: Final = 100_000.0
PLUGINS: Final = Path(__file__).resolve().parent.parent / "tests" / "outside" / "chain"


def run() -> None:
    """Measure and print."""
    with servers.folder() as folder:
        out = folder / "out"
        out.mkdir()
        settings = (
            f"[running]\nslots = {RUNNING + 2}\nseconds = 3600\nterm_seconds = {TERM}\n"
            f'[plugins]\ndisabled = ["fileshare", "stamp"]\n[filters.chain]\nfolder = "{out}"\n'
        )
        with servers.postscan(folder, settings, PLUGINS) as server:
            jobs = Jobs(server, out)
            jobs.cooperative()
            jobs.deaf()
            jobs.neighbour()


class Jobs:
    """Jobs of the plugin chain on a server, and the traces in its folder."""

    def __init__(self, server: Server, out: Path) -> None:
        self._server = server
        self._out = out

    def cooperative(self) -> None:
        """Cancel one of fifty waiting filters after the other; start a new one each time."""
        running = [self._start("cooperative", ENDLESS) for _ in range(RUNNING)]
        for token in running:
            self._traced(token, "begun")
        stopped, responded = [], []
        for _ in range(CANCELS):
            token = running.pop(0)
            begun = time.monotonic()
            self._cancel(token)
            responded.append(time.monotonic() - begun)
            stopped.append(float(self._traced(token, "stopped")[3]) - begun)
            running.append(self._start("cooperative", ENDLESS))
            self._traced(running[-1], "begun")
        _print(f"cancel with {RUNNING} running: request to filter stopped", stopped)
        _print(f"cancel with {RUNNING} running: request to answer", responded)
        for token in running:
            self._cancel(token)

    def deaf(self) -> None:
        """Cancel a filter that ignores the cancel, and wait until its process has ended."""
        gone = []
        for _ in range(ROUNDS):
            token = self._start("deaf", ENDLESS)
            process = Path("/proc", self._traced(token, "begun")[2])
            begun = time.monotonic()
            self._cancel(token)
            while process.exists():
                time.sleep(0.005)
            gone.append(time.monotonic() - begun)
        print(
            f"deaf filter ({GRACE:g} s of grace, {TERM:g} s from SIGTERM to SIGKILL; SIGTERM ends it): "
            f"gone after {statistics.median(gone):.2f} s (median), {max(gone):.2f} s (longest)"
        )

    def neighbour(self) -> None:
        """Measure the work of a filter beside one that keeps running, and beside one that is killed meanwhile."""
        undisturbed, disturbed = [], []
        for _ in range(ROUNDS):
            for kill, seconds in ((False, undisturbed), (True, disturbed)):
                deaf = self._start("deaf", ENDLESS)
                self._traced(deaf, "begun")
                token = self._start("deaf", WORK)
                begun = float(self._traced(token, "begun")[3])
                if kill:
                    self._cancel(deaf)
                seconds.append(float(self._traced(token, "delivered")[3]) - begun)
                if not kill:
                    self._cancel(deaf)
        slower = statistics.median(disturbed) / statistics.median(undisturbed) - 1
        print(
            f"a neighbour's work beside a deaf filter: {statistics.median(undisturbed):.2f} s; "
            f"while that is killed: {statistics.median(disturbed):.2f} s ({slower:+.1%})"
        )

    def _start(self, name: str, seconds: float) -> str:
        dialect = f"urn:chain:{name}"
        body = (
            "<dsp:UserIdentifier>S-1-5-21-1-2-3-1001</dsp:UserIdentifier>"
            f"<dsp:PSP_Identifier>{servers.PROCESS}</dsp:PSP_Identifier><dsp:PostScanInstructions>"
            "<psp:DocumentRootName>Bench</psp:DocumentRootName><psp:FiltersToProcess><psp:Filter>"
            f"<psp:Dialect>{dialect}</psp:Dialect>"
            f'<psp:Instructions><c:Do xmlns:c="{dialect}">{seconds}</c:Do></psp:Instructions>'
            "</psp:Filter></psp:FiltersToProcess></dsp:PostScanInstructions>"
        )
        response = exchange(self._server, envelope("CreatePostScanJob", body))
        token = response.partition("JobToken>")[2].partition("<")[0]
        send(self._server, token, 1)
        self._send("EndPostScanJob", token)
        return token

    def _cancel(self, token: str) -> None:
        self._send("CancelPostScanJob", token)

    def _send(self, operation: str, token: str) -> None:
        exchange(self._server, envelope(operation, f"<dsp:JobToken>{token}</dsp:JobToken>"))

    def _traced(self, token: str, word: str) -> list[str]:
        """Wait for a line that begins with *word* in the trace of the job's filter; return its words."""
        path = self._out / f"{token}.trace"
        until = time.monotonic() + 120
        while time.monotonic() < until:
            lines = path.read_text().splitlines() if path.exists() else []
            for line in lines:
                if line.startswith(word):
                    return line.split()
            time.sleep(0.005)
        raise TimeoutError(f"job {token} left no line {word!r}")


def _print(what: str, seconds: list[float]) -> None:
    cuts = statistics.quantiles(seconds, n=100)
    print(f"{what}: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms")
