"""What the campaign has found: its phases, the times of those who are honest, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from campaigns.flood.bystander import Timed
from campaigns.flood.phases import Findings, Phase
from campaigns.hostile_sources.honest import SendingNotes
from campaigns.hostile_sources.inlets import MAILS, UPLOADS, Behaviour, Rest

SENDING = {MAILS: "mail, to its 250", UPLOADS: "upload by FTP, to its 226"}


@dataclass(frozen=True)
class HostileEnd:
    """How a hostile source ended: the state of its inlet before an administrator stopped it, and after that.

    `detail` is the text beside the first state, `processes` are those that are left.
    """

    behaviour: Behaviour
    state: str
    detail: str
    stopped: str
    processes: tuple[int, ...]


@dataclass(frozen=True)
class SourcePhase:
    """A part of the campaign; `before` and `after` have the server and the honest inlets while nothing happens.

    `hostile` is there if a source does harm in it. With half-open connections `rooms` has how many clients of each kind
    the inlets have room for.
    """

    phase: Phase
    before: Mapping[str, Rest]
    after: Mapping[str, Rest]
    hostile: HostileEnd | None = None
    rooms: Mapping[str, float] = field(default_factory=dict)


@dataclass
class SourceFindings:
    """All that the campaign has measured; `flood` has what the bystander of a flood would have noted."""

    flood: Findings
    phases: list[SourcePhase]
    sending: SendingNotes
    tracebacks: list[str]
    lost: list[str] = field(default_factory=list)

    def of_device(self) -> dict[str, Timed]:
        """Return what the honest device sent, stored or not: the moment of each begin, and the seconds."""
        stored = {SENDING[name]: timed for name, timed in self.sending.stored.items()}
        refused = {f"{name}, to come again": timed for name, timed in self.sending.refused.items()}
        return stored | refused
