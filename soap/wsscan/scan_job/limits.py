"""The times and numbers of a scan job. Source: ws-scan.md sections 6 and 8; WSS-042, WSS-047."""

from __future__ import annotations

from dataclasses import dataclass

from postscan.soap.wsscan.client import ANSWER_SECONDS, HEAD_SECONDS, IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class ScanJobLimits:
    """Seconds, and numbers of attempts; the defaults are those of the protocol.

    `answer_seconds` are for CreateScanJob, `head_seconds` for the head of an image and `idle_seconds` between its
    pieces, `cancel_seconds` for CancelJob. A device that warms up is asked again after `warm_up_pause`, at most
    `warm_ups` times, and one with a temporary error `temporary_tries` times. When the source is stopped, a job may go
    on for `stop_seconds`. `most_images` are those of one job.
    """

    answer_seconds: float = ANSWER_SECONDS
    head_seconds: float = HEAD_SECONDS
    idle_seconds: float = IDLE_SECONDS
    cancel_seconds: float = 5.0
    warm_up_pause: float = 1.0
    warm_ups: int = 30
    temporary_tries: int = 3
    stop_seconds: float = 2.0
    most_images: int = 10_000
