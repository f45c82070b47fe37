"""What a campaign has found: its phases, the times of the bystander, and what was lost."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from campaigns.flood import measures
from campaigns.flood.bystander import Notes


@dataclass(frozen=True)
class Measured:
    """One moment: seconds of the clock, processor seconds and bytes of the server, and the length of its log."""

    at: float
    processor: float
    resident: int
    log: int

    @classmethod
    def now(cls, process: int, log: int) -> Self:
        """Measure the server *process*."""
        return cls(time.monotonic(), measures.processor(process), measures.resident(process), log)


@dataclass
class Phase:
    """A part of the campaign: what the server used in it, and the reports of the processes of unkind clients.

    `descriptors` are those at its begin; `left` those that are there in addition a while after its end.
    """

    name: str
    descriptors: Counter[str]
    began: Measured
    ended: Measured = field(init=False)
    peak: int = 0
    left: Counter[str] = field(default_factory=Counter)
    senders: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended.at - self.began.at

    def of(self, timed: Iterable[tuple[float, float | None]]) -> list[float]:
        """Return the seconds of what began in this phase; infinite for what failed."""
        return [
            math.inf if seconds is None else seconds
            for began, seconds in timed
            if self.began.at <= began < self.ended.at
        ]

    def clients(self) -> dict[str, dict[str, Any]]:
        """Return the counts of each kind of client, those of all processes together."""
        sums: dict[str, dict[str, Any]] = {}
        for kind, count in (pair for sender in self.senders for pair in sender["counts"].items()):
            one = sums.setdefault(kind, {"wanted": 0, "mean": 0.0, "most": 0, "outcomes": Counter()})
            for name in ("wanted", "mean", "most"):
                one[name] += count[name]
            one["outcomes"].update(count["outcomes"])
        return sums


@dataclass
class Findings:
    """All that a campaign has measured; `gets` are moments and seconds, `lost` one sentence for each loss."""

    quiet: Phase
    floods: list[Phase]
    gets: list[tuple[float, float | None]]
    notes: Notes
    log: str
    lost: list[str] = field(default_factory=list)

    def acknowledged(self) -> list[tuple[str, str]]:
        """Return what was acknowledged to the unkind clients: pairs of a token and the operation."""
        return [(token, what) for phase in self.floods for one in phase.senders for token, what in one["acknowledged"]]
