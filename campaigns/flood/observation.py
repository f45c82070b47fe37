"""What a server uses in the phases of a campaign, and what is left of each when it is over."""

from __future__ import annotations

import time
from typing import Final

from acceptance.server import Server

from campaigns.flood import measures
from campaigns.flood.phases import Measured, Phase
from campaigns.flood.verdicts import beyond_database
from postscan.core.model.states import JobState

GONE_SECONDS: Final = 60.0
"""Seconds in which the server has to close what clients have left, and to end the jobs that it works on."""


class Observation:
    """Measures one server, phase after phase."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def begin(self, name: str) -> Phase:
        """Return a phase before its clients are there."""
        self._server.forget_peak_memory()
        return Phase(name, measures.descriptors_at_rest(self._server.pid))

    def measure(self, phase: Phase, seconds: float) -> None:
        """Measure what the server uses in so many seconds; the peak of its memory is that since `begin`."""
        server = self._server
        phase.began = Measured.now(server.pid, len(server.log()))
        time.sleep(seconds)
        phase.ended = Measured.now(server.pid, len(server.log()))
        phase.peak = server.peak_memory()

    def await_jobs(self, phase: Phase) -> None:
        """Wait until no job is worked on, and note those that still are."""
        end, store = time.monotonic() + GONE_SECONDS, self._server.works.core.store
        while True:
            phase.unended = [str(job.token) for job in store.open_jobs() if job.state is not JobState.CREATING]
            if not phase.unended or time.monotonic() > end:
                return
            time.sleep(0.2)

    def await_closed(self, phase: Phase) -> None:
        """Wait until there are no more descriptors than before the phase, and note those that there are."""
        end = time.monotonic() + GONE_SECONDS
        while True:
            phase.left = measures.descriptors_at_rest(self._server.pid) - phase.descriptors
            if not beyond_database(phase.descriptors, phase.left) or time.monotonic() > end:
                return
