"""CreatePostScanJob of a user and a process that only a directory has, its answers fresh, beside one without.

Two servers, one after the other in each round, each request on a connection of its own; the ratio is that of the
medians of each round.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from pathlib import Path
from typing import Final

from bench import servers
from bench.servers import Server

ROUNDS: Final = 7
CREATES: Final = 200
PLUGINS: Final = Path(__file__).resolve().parent.parent / "tests" / "outside" / "directory"

_DOCUMENT: Final = (
    '<psp:PostScanProcess xmlns:psp="http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp">'
    "<psp:ScanRepository>bench</psp:ScanRepository><psp:ScanTicket/>"
    f"<psp:PostScanInstructions>{servers.INSTRUCTIONS}</psp:PostScanInstructions></psp:PostScanProcess>"
)


def run() -> None:
    """Measure and print."""
    with servers.folder() as plain_folder, servers.folder() as folder:
        asked = folder / "asked"
        (sid,) = re.findall(rb"UserIdentifier>([^<]+)<", servers.create_request())
        (folder / "staff.json").write_text(_directory(sid.decode()))
        more = f'[directory]\nfresh_seconds = 3600\n[plugins.staff]\nfile = "{folder}/staff.json"\ntrace = "{asked}"\n'
        with servers.postscan(plain_folder) as plain, servers.postscan(folder, more, PLUGINS) as ours:
            for server in (plain, ours):
                servers.create_job(server)
            found: dict[str, list[float]] = {"plain": [], "directory": []}
            for _ in range(ROUNDS):
                for name, server in (("plain", plain), ("directory", ours)):
                    found[name].append(_median(server))
        ratios = [ours / plain for ours, plain in zip(found["directory"], found["plain"], strict=True)]
        questions = len(asked.read_text().splitlines())
    print(
        f"Create with a warm cache of a directory: {statistics.median(ratios):.3f} of one without, "
        f"{min(ratios):.3f} to {max(ratios):.3f}; medians {statistics.median(found['directory']) * 1000:.2f} and "
        f"{statistics.median(found['plain']) * 1000:.2f} ms; {questions} questions for {ROUNDS * CREATES + 1} jobs"
    )


def _median(server: Server) -> float:
    """Return the median of the seconds of the creations."""
    taken = []
    for _ in range(CREATES):
        begun = time.perf_counter()
        servers.create_job(server)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _directory(sid: str) -> str:
    process = {"display_name": "Bench", "members": [sid], "xml": _DOCUMENT}
    return json.dumps({"users": {"bench": {"sid": sid}}, "processes": {servers.PROCESS: process}})
