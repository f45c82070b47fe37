"""What the campaign has found: its phases, the times of those who are honest, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from campaigns.flood.bystander import Timed
from campaigns.flood.phases import Findings, Phase
from campaigns.hostile_sources import half_open
from campaigns.hostile_sources.honest import SendingNotes
from campaigns.hostile_sources.inlets import MAILS, UPLOADS, Behaviour, Rest

SENDING: Final = {MAILS: "mail, to its 250", UPLOADS: "upload by FTP, to its 226"}
KINDS: Final[Mapping[str, Mapping[str, int]]] = {UPLOADS: half_open.FTP, MAILS: half_open.SMTP}
"""The half-open clients of each inlet, and how many of each kind there are at each address."""


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

    `hostile` is there if a source does harm in it; `rooms`, how many connections each inlet has room for, if those are
    half open.
    """

    phase: Phase
    before: Mapping[str, Rest]
    after: Mapping[str, Rest]
    hostile: HostileEnd | None = None
    rooms: Mapping[str, int] = field(default_factory=dict)


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
        refused = {f"{name}, to come again": timed for name, timed in self.sending.refused.items() if timed}
        return stored | refused
