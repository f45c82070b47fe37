"""A subscription: its owner, the events, the address, and the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from postscan.core.model.principal import Principal


class EventService(StrEnum):
    """The service whose events they are: that for devices, or that for administrators."""

    PROCESSING = "processing"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Sink:
    """An address for messages: `url`, at the IP `address` that its host had when the sink was accepted.

    `parameters` are its reference parameters as XML text, opaque here.
    """

    url: str
    address: str
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription to events.

    `actions` selects the events; empty means all. `manager` is the address that it is managed at, `absolute` whether
    its end was requested as a date, `until` its end in ticks. Events up to `cursor` are delivered. A `cancelled` one
    was ended by an administrator: callers no longer find it, and its subscriber is still to be notified.
    """

    id: str
    port: EventService
    owner: Principal
    notify_to: Sink
    end_to: Sink | None
    actions: tuple[str, ...]
    manager: str
    absolute: bool
    until: float
    cursor: int
    cancelled: bool = False

    @property
    def scope(self) -> Principal | None:
        """The owner whose jobs it is about (D23); None for all jobs and the repository."""
        return None if self.port is EventService.CONFIGURATION else self.owner
