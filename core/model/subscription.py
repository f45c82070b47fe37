"""A subscription: who receives which events, where, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from postscan.core.model.principal import Principal


class EventService(StrEnum):
    """Which service the events are of: the one for devices, or the one for administrators."""

    PROCESSING = "processing"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Sink:
    """Where messages go: `url`, but only by way of `address`, the IP that it stood for when it was accepted.

    `parameters` are its reference parameters as XML text, opaque here.
    """

    url: str
    address: str
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Somebody's wish to hear of events.

    `actions` are those that it is about; empty means all. `manager` is the address that it is managed at, `absolute`
    whether its end was asked for as a date, `until` its end in ticks. Everything up to event `cursor` was told.
    A `cancelled` one was ended by an administrator: to callers it is gone, and its subscriber is to be told.
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
        """Whose jobs it is about (D23); None for those of all, and the repository."""
        return None if self.port is EventService.CONFIGURATION else self.owner
