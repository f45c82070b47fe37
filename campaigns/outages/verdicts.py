"""What an outage has kept of the promises: one verdict for each, with its figure."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from smtp import Received

from campaigns import promises
from campaigns.outages.traffic import TEMPORARY, Record, Request

MOST_SECONDS: Final = 5.0
"""For a response during an outage, and for a cancel to be stored where it can be."""

MOST_RECOVERY: Final = 30.0
"""Seconds from the end of an outage until a job is created; as many again until those begun before it have ended."""


@dataclass(frozen=True)
class Verdict:
    """A promise, the sentences that say where it was broken, and the figure that was measured."""

    promise: str
    broken: Sequence[str]
    figure: str


@dataclass(frozen=True)
class Window:
    """The outage: when it began and ended (`time.monotonic()`)."""

    begun: float
    ended: float

    def of(self, requests: Sequence[Request]) -> list[Request]:
        """Return the requests that were open during the outage."""
        return [one for one in requests if one.ended > self.begun and one.begun < self.ended]


def responses(record: Record, window: Window, most: float = MOST_SECONDS) -> Verdict:
    """Each request of the outage gets its response within *most* seconds."""
    during = window.of(record.requests)
    late = [str(one) for one in during if one.seconds > most]
    unanswered = [one for one in record.broken if "no answer" in one]
    longest = max(during, key=lambda one: one.seconds)
    return Verdict(
        f"every request is answered within {most:g} s",
        late + unanswered,
        f"{len(during)} requests, the longest: {longest.step} {longest.seconds:.2f} s",
    )


def faults(record: Record) -> Verdict:
    """Nothing but `ServerErrorTemporaryError` is a fault, and what got it is stored by its repetition."""
    refused = [one for one in record.requests if one.subcode]
    other = [str(one) for one in refused if one.subcode != TEMPORARY]
    again = Counter((one.job.token or id(one.job), one.step) for one in refused if one.step != "get")
    steps = Counter(one.step.split()[0] for one in refused)
    shown = ", ".join(f"{number} {step}" for step, number in sorted(steps.items())) or "none"
    return Verdict(
        "a refused request gets ServerErrorTemporaryError, and is stored when it is repeated",
        other + [one for one in record.broken if "no answer" not in one],
        f"refused: {shown}; {len(again)} stored by a repetition, at most {max(again.values(), default=0)} of one",
    )


def cancels(record: Record, window: Window, *, at_once: bool, most: float = MOST_SECONDS) -> Verdict:
    """A cancel of the outage is stored within *most* seconds, and with *at_once* by its first request."""
    during = [one for one in window.of(record.requests) if one.step == "cancel"]
    stored = [one for one in during if not one.subcode]
    refused = [str(one) for one in during if one.subcode] if at_once else []
    late = [str(one) for one in stored if one.seconds > most]
    missing = [] if stored or not at_once else ["no cancel was sent during the outage"]
    longest = max((one.seconds for one in stored), default=0.0)
    figure = (
        f"{len(stored)} stored during the outage, after at most {longest:.2f} s; {len(during) - len(stored)} refused"
    )
    promise = f"a cancel is stored within {most:g} s" if at_once else "a cancel is stored, or refused"
    return Verdict(promise, refused + late + missing, figure)


def acknowledged(record: Record) -> Verdict:
    """Nothing that was acknowledged is lost; called after a restart of the server."""
    broken = [one for job in record.jobs for one in promises.acknowledged(job)]
    steps = Counter(step.split()[0] for job in record.jobs for step in job.acknowledged if step != "wait")
    shown = ", ".join(f"{number} {step}" for step, number in sorted(steps.items()))
    return Verdict("nothing acknowledged is lost, also after a kill of the server", broken, f"acknowledged: {shown}")


def deliveries(record: Record, mails: Sequence[Received]) -> Verdict:
    """Each job has its end, its files once, and its mail once."""
    broken = [one for job in record.jobs if job.token for one in promises.ended(job)]
    sent = Counter(_sha256(data) for mail in mails for _, _, data in mail.attachments)
    mailed = [job for job in record.jobs if job.kind == "mailed" and job.token]
    for job in mailed:
        copies = sent[_sha256(job.images[1])]
        if copies != 1:
            broken.append(f"the image of {job.token} was sent in {copies} mails")
    identifiers = Counter(mail.parsed["Message-ID"] for mail in mails)
    broken += [f"{number} mails have the Message-ID {name}" for name, number in identifiers.items() if number > 1]
    ends = Counter(promises.END[job.kind] for job in record.jobs if job.token)
    jobs = ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
    files = sum(len(job.acknowledged_images()) * promises.COPIES[job.kind] for job in record.jobs)
    return Verdict(
        "every job ends as it should, with each file and each mail once",
        broken,
        f"{jobs}; {files} files, {len(mails)} mails",
    )


def recovery(record: Record, window: Window, most: float = MOST_RECOVERY) -> Verdict:
    """All goes on by itself: a job is created within *most* seconds, and others have ended within twice as many."""
    created = [one.ended for one in record.requests if one.step == "create" and not one.subcode]
    first = min((at for at in created if at > window.ended), default=math.inf) - window.ended
    begun = {one.job for one in record.requests if one.begun < window.ended}
    last = max(one.ended for one in record.requests if one.job in begun) - window.ended
    broken = [f"{job.token} ({job.kind}) has not ended" for job in record.jobs if job not in record.finished]
    if first > most:
        broken.append(f"the first job after the outage was created after {first:.1f} s")
    if last > 2 * most:
        broken.append(f"the last job of the outage ended {last:.1f} s after it")
    return Verdict(
        "all goes on by itself",
        broken,
        f"first new job after {first:.1f} s, last job of the outage ended after {last:.1f} s",
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
