"""What a campaign has found: its phases, the times of the bystander, and what was lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from campaigns.flood import measures
from campaigns.flood.bystander import Notes, Timed

GET: Final = "Get, with its connection"
CANCEL: Final = "cancel, to its filter"
COMMAND: Final = "postscan cancel, to its end"


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

    It begins when all clients run, and ends before they stop. `descriptors` are those before the first of them is
    there; `left` those that are there in addition when the server has nothing to do any more, and `unended` the jobs
    that it still has to work on then.
    """

    name: str
    descriptors: Counter[str]
    began: Measured = field(init=False)
    ended: Measured = field(init=False)
    peak: int = 0
    left: Counter[str] = field(default_factory=Counter)
    unended: list[str] = field(default_factory=list)
    senders: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended.at - self.began.at

    def of(self, timed: Iterable[tuple[float, float]]) -> list[float]:
        """Return the seconds of what began in this phase; infinite for what failed."""
        return [seconds for began, seconds in timed if self.began.at <= began < self.ended.at]

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
    """All that a campaign has measured; `rooms` as `presence.rooms` has them, `lost` one sentence for each loss."""

    quiet: Phase
    floods: list[Phase]
    notes: Notes
    rooms: Mapping[str, float]
    log: str
    lost: list[str] = field(default_factory=list)

    def of_bystander(self) -> dict[str, Timed]:
        """Return what the bystander did: the moment of each begin, and the seconds."""
        notes = self.notes
        return {
            GET: notes.gets,
            CANCEL: notes.cancels,
            "postscan cancel, to the filter": notes.commands,
            COMMAND: notes.ends,
            "whole job, to its end": notes.scans,
        }

    def acknowledged(self) -> list[tuple[str, str]]:
        """Return what was acknowledged to the unkind clients: pairs of a token and the operation."""
        return [(token, what) for phase in self.floods for one in phase.senders for token, what in one["acknowledged"]]
