"""An inlet whose jobs are stored and not processed, a bare server of the same protocol, and what is measured of both.

The only slot of the server has a filter that never ends, so that each further job waits for it.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import statistics
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bench import servers
from bench.cancel import ENDLESS, PLUGINS
from bench.servers import Server, Spent
from postscan.core.model.formats.test_page import png
from postscan.soap.processes.folder import ProcessFolder

LABEL: Final = "Bench"
SHIPPED: Final = {"email", "fileshare", "folder", "ftp", "ocr", "pdf", "sharepoint", "smtp", "stamp", "web", "webhook"}
DIALECT: Final = "urn:chain:cooperative"
SCAN_PROCESS: Final = f"""<psp:PostScanProcess
 xmlns:psp="http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
 xmlns:wscn="http://schemas.microsoft.com/windows/2006/08/wdp/scan"><psp:ScanRepository>localhost</psp:ScanRepository>
<psp:ScanTicket><wscn:JobDescription><wscn:JobName>Bench</wscn:JobName>
<wscn:JobOriginatingUserName>bench</wscn:JobOriginatingUserName></wscn:JobDescription></psp:ScanTicket>
<psp:PostScanInstructions><psp:DocumentRootName>Bench</psp:DocumentRootName><psp:FiltersToProcess><psp:Filter>
<psp:Dialect>{DIALECT}</psp:Dialect><psp:Instructions><c:Do xmlns:c="{DIALECT}">{ENDLESS}</c:Do></psp:Instructions>
</psp:Filter></psp:FiltersToProcess></psp:PostScanInstructions></psp:PostScanProcess>"""

_END_CHUNK: Final = 12  # bytes of IEND


class Round(NamedTuple):
    """One round at one server: the seconds of each item, those of the round, and what the server used in it."""

    latencies: list[float]
    seconds: float
    spent: Spent

    @property
    def rate(self) -> float:
        """Items a second."""
        return len(self.latencies) / self.seconds


@dataclass(frozen=True)
class Peer:
    """One of the two servers: its process, and the port of the protocol."""

    server: Server
    port: int

    def measure(self, send: Callable[[int], list[float]]) -> Round:
        """Let *send* send to the port; it returns the seconds of each item."""
        family = self.server.family()
        before, begun = Spent.by(family), time.perf_counter()
        latencies = send(self.port)
        took, after = time.perf_counter() - begun, Spent.by(family)
        return Round(latencies, took, Spent(*(b - a for a, b in zip(before, after, strict=True))))


@contextlib.contextmanager
def postscan(folder: Path, plugin: str, send_first: Callable[[int], object]) -> Iterator[Peer]:
    """Run a server with an inlet of a plugin; *send_first* sends the page whose job takes the only slot."""
    port, out = servers.free_port(), folder / "out"
    out.mkdir()
    processes = ProcessFolder(folder / "data" / "processes")
    processes.add(SCAN_PROCESS.encode(), display_name=LABEL, identifier=servers.PROCESS)
    more = (
        f"[running]\nslots = 1\nseconds = {ENDLESS}\n[plugins]\ndisabled = {sorted(SHIPPED - {plugin})}\n"
        f'[filters.chain]\nfolder = "{out}"\n'
        f'[destinations.bench]\nlabel = "{LABEL}"\nprocess = "{servers.PROCESS}"\nuser = "S-1-5-21-1-2-3-1001"\n'
        f'[sources.bench]\nplugin = "{plugin}"\nport = {port}\ndevices = ["127.0.0.0/8"]\n'
    )
    with servers.postscan(folder, more, PLUGINS, drain_seconds=1) as server:
        servers.await_port(port)
        send_first(port)
        _await_filter(out)
        yield Peer(server, port)


@contextlib.contextmanager
def bare(folder: Path, plugin: str) -> Iterator[Peer]:
    """Run the bare server of a protocol, with its files in `bare` below *folder*."""
    port = servers.free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare_inlets", plugin, str(port), str(folder / "bare")])
    with servers.ended(process):
        servers.await_port(port)
        yield Peer(Server(process, port, ""), port)


def check_jobs(folder: Path, number: int) -> None:
    """Raise `AssertionError` unless the server has stored so many jobs with one page each, the first one included."""
    query = (
        "select count(*) from job join document on document.token = job.token "
        "where state in ('Pending', 'Started', 'Processing')"
    )
    with contextlib.closing(sqlite3.connect(folder / "data" / "postscan.sqlite")) as database:
        (stored,) = database.execute(query).fetchone()
    if stored != number:
        raise AssertionError(f"{number} pages were acknowledged, and {stored} jobs are stored")


def picture(filling: bytes) -> bytes:
    """Return a whole PNG with these bytes in it."""
    page = png(3)
    chunk = b"bnCh" + filling
    return (
        page[:-_END_CHUNK]
        + struct.pack("!I", len(filling))
        + chunk
        + struct.pack("!I", zlib.crc32(chunk))
        + page[-_END_CHUNK:]
    )


def print_rounds(what: str, size: float, unit: str, rounds: Mapping[str, Sequence[Round]]) -> None:
    """Print the rates, in items of *size* units a second, the latencies, and what each item cost."""
    ratios = [ours.rate / bare.rate for ours, bare in zip(rounds["postscan"], rounds["bare"], strict=True)]
    print(f"{what}: {statistics.median(ratios):.2f} of the bare server, {min(ratios):.2f} to {max(ratios):.2f}")
    for name, found in rounds.items():
        latencies = sorted(seconds for one in found for seconds in one.latencies)
        rate = statistics.median(one.rate for one in found) * size
        processor, writes, written = (
            statistics.median(one.spent[part] / len(one.latencies) for one in found) for part in range(3)
        )
        p99 = latencies[math.ceil(len(latencies) * 0.99) - 1]
        print(
            f"  {name:8}: {rate:6.1f} {unit}/s; median {statistics.median(latencies) * 1000:.1f} ms, "
            f"p99 {p99 * 1000:.1f} ms of {len(latencies)}; processor {processor * 1000:.1f} ms, "
            f"{writes:.0f} writes of {written / 1000:.0f} KB each"
        )


def _await_filter(out: Path) -> None:
    """Wait until the filter of the first job runs."""
    until = time.monotonic() + 120
    while not any(out.glob("*.trace")):
        if time.monotonic() > until:
            raise TimeoutError("the filter of the first job does not run")
        time.sleep(0.05)
