"""How a client's request for the next image ends, decided from values: no lock, no clock, no change.

Source: escl.md sections 2, 6 and 7.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from postscan.cli.device.escl.behaviour.behaviour import EsclBehaviour
from postscan.cli.device.escl.machine import jobs
from postscan.cli.device.escl.machine.jobs import PulledJob
from postscan.cli.device.escl.machine.paper import ScannerPaper

EARLY_AT_MOST: Final = 1.0  # seconds; escl.md section 7, Brother


class FetchEnd(Enum):
    """How a request for an image ends."""

    SIDE = "an image"
    AGAIN = "the last image once more"
    NOT_READY = "come back"
    EARLY = "too soon after the last image"
    FINISHED = "no more images"
    EMPTY = "the feeder was empty from the start"
    CANCELED = "cancelled"
    TROUBLE = "jam or open door"
    FAILED = "the device has given up the job"
    GONE = "the client has gone"


def fetch_end(job: PulledJob, paper: ScannerPaper, behaviour: EsclBehaviour, now: float) -> FetchEnd | None:
    """Return how the request ends at *now*, or None if it has to wait."""
    feeder = job.settings.source == jobs.FEEDER
    if job.state == jobs.CANCELED:
        return FetchEnd.CANCELED
    if feeder and paper.trouble:
        return FetchEnd.TROUBLE
    if job.state == jobs.ABORTED and job.reason != jobs.NO_PAPER:
        return FetchEnd.FAILED
    if not job.sides:
        return None if job.sending else _without_sides(job, feeder, behaviour)
    if behaviour.early_is_not_found and feeder and job.images:
        pause = min(job.last_seconds / 2, EARLY_AT_MOST)
        if now < job.last_end + pause:
            return FetchEnd.EARLY
    if job.sending:
        return None
    if job.refusals < behaviour.not_ready_times and job.settings.resolution >= behaviour.busy_from:
        return FetchEnd.NOT_READY
    return FetchEnd.SIDE if now >= job.ready else None


def stays_open(job: PulledJob, behaviour: EsclBehaviour) -> bool:
    """Tell whether a job stays in progress after its last image."""
    again = behaviour.repeats_last_page and not job.repeated
    return behaviour.processing_until_delete or behaviour.endless_pages or again


def _without_sides(job: PulledJob, feeder: bool, behaviour: EsclBehaviour) -> FetchEnd:
    if job.last is not None and (behaviour.endless_pages or (behaviour.repeats_last_page and not job.repeated)):
        return FetchEnd.AGAIN
    if feeder and job.last is None and job.state != jobs.COMPLETED:
        return FetchEnd.EMPTY
    return FetchEnd.FINISHED
