"""What the server has made of the files that were sent: one sentence for each broken promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from campaigns.cuts.receiver import StoredJob
from campaigns.cuts.way import Sending


def half_pages(sendings: Sequence[Sending], jobs: Iterable[StoredJob]) -> list[str]:
    """No job has half a page: each has one page, which is a whole file that was sent."""
    whole = {sha256 for sending in sendings for sha256 in sending.pages}
    broken = []
    for job in jobs:
        if not job.pages:
            broken.append(f"job {job.token} is {job.state} without a page")
        elif len(job.pages) > 1 or job.pages[0][0] not in whole:
            found = ", ".join(_origin(sendings, *page) for page in job.pages)
            broken.append(f"job {job.token} is {job.state} with {found}")
    return broken


def numbers(sendings: Sequence[Sending], jobs: Iterable[StoredJob]) -> list[str]:
    """A whole file is one job, and Completed; one that was cut is none, or one where its part is whole by itself."""
    states: dict[str, list[str]] = {}
    for job in jobs:
        for sha256, _ in job.pages:
            states.setdefault(sha256, []).append(job.state)
    broken = []
    for sending in sendings:
        found = [state for sha256 in sorted(sending.pages) for state in states.get(sha256, [])]
        if not sending.least <= len(found) <= 1:
            broken.append(f"{sending.what}: it is {len(found)} jobs")
        broken += [f"{sending.what}: its job is {state}" for state in found if state != "Completed"]
    return broken


def deliveries(jobs: Iterable[StoredJob], delivered: Mapping[str, int]) -> list[str]:
    """Every page of a Completed job is on the share once, byte for byte, and nothing else is there."""
    expected = Counter(sha256 for job in jobs if job.state == "Completed" for sha256, _ in job.pages)
    return [
        f"{delivered.get(sha256, 0)} files with SHA-256 {sha256} are on the share; expected {expected[sha256]}"
        for sha256 in sorted({*expected, *delivered})
        if delivered.get(sha256, 0) != expected[sha256]
    ]


def acknowledged(sendings: Iterable[Sending]) -> list[str]:
    """No client is told that its file is stored if that cannot be a job."""
    return [
        f"{sending.what}: the client was told {sending.reply!r}"
        for sending in sendings
        if sending.reply.startswith("2") and not sending.pages
    ]


def _origin(sendings: Iterable[Sending], sha256: str, size: int) -> str:
    """Return where a page comes from, in words."""
    for sending in sendings:
        if sending.scan.begins(sha256, size):
            return f"the first {size} bytes of {sending.what}"
    return f"{size} bytes that were never sent"
