"""What is kept of a device across restarts: where it is, its subscriptions, and its last presses.

The key is the endpoint of the device, since its address changes. Source: ws-scan.md sections 3 (item 5) and 4; WSS-006,
WSS-014 and WSS-027.
"""

from __future__ import annotations

import secrets
import uuid
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from postscan.soap.wsscan.subscriptions.messages import EventAddress

MOST_PRESSES: Final = 64
"""Presses of a device that are remembered, the oldest first."""

_Text = Annotated[str, Field(max_length=2048)]


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class OfferedDestination(_Stored):
    """A destination at a panel: its id and label here, the ClientContext that was sent, the token that came back."""

    id: _Text
    label: _Text
    context: _Text
    token: _Text = ""


class StoredSubscription(_Stored):
    """A subscription: our event address, and the manager of the device with its reference parameters (XML).

    `until` is the time of its end in seconds since 1970. Without a `manager` the device has not answered yet.
    """

    path: _Text
    identifier: _Text
    notify_to: _Text
    manager: _Text = ""
    parameters: Annotated[str, Field(max_length=8192)] = ""
    until: float = 0.0
    destinations: Annotated[tuple[OfferedDestination, ...], Field(max_length=1000)] = ()

    @property
    def event_address(self) -> EventAddress:
        """Where its events go."""
        return EventAddress(self.notify_to, self.notify_to + "/end", self.identifier)

    @property
    def offered(self) -> tuple[tuple[str, str], ...]:
        """The ids and labels that it offers, in their order."""
        return tuple((one.id, one.label) for one in self.destinations)


class StoredPress(_Stored):
    """A press: its identifier, the path of its subscription, the id of the destination, whether its scan has begun.

    A device may count presses from 1 again when it starts, and then has another subscription. `at` is the time of the
    event in seconds since 1970.
    """

    scan_identifier: _Text
    path: _Text
    destination: _Text
    input_source: _Text = ""
    at: float = 0.0
    state: Literal["waiting", "begun"] = "waiting"

    @property
    def key(self) -> tuple[str, str]:
        """What it has for itself among the presses of its device."""
        return self.path, self.scan_identifier


class DeviceRecord(_Stored):
    """A device: its endpoint, its metadata URL, the host it was last seen at, its scan service, and its state here.

    `configured` is the setting `device` that led to it. `instance` is the run in its last Hello, -1 if there was none.
    """

    endpoint: _Text
    url: _Text
    host: _Text
    service: _Text
    name: _Text = ""
    model: _Text = ""
    configured: _Text = ""
    instance: int = -1
    scans: StoredSubscription | None = None
    jobs: StoredSubscription | None = None
    presses: Annotated[tuple[StoredPress, ...], Field(max_length=MOST_PRESSES)] = ()

    def with_press(self, press: StoredPress) -> DeviceRecord:
        """Return the record with this press in place of the older one of its identifier, or behind all others."""
        others = [one for one in self.presses if one.key != press.key]
        return self.model_copy(update={"presses": (*others, press)[-MOST_PRESSES:]})

    def has_press(self, press: StoredPress) -> bool:
        """Return whether this press is remembered."""
        return any(one.key == press.key for one in self.presses)


def new_subscription(origin: str, destinations: tuple[tuple[str, str], ...] = ()) -> StoredSubscription:
    """Return a subscription before it is sent: its path, identifier and contexts are random and serve it alone.

    *origin* is scheme, host and port of the event sink; *destinations* are ids and labels.
    """
    path = secrets.token_hex(16)
    return StoredSubscription(
        path=path,
        identifier=uuid.uuid4().urn,
        notify_to=f"{origin}/wsd/{path}",
        destinations=tuple(
            OfferedDestination(id=id, label=label, context=str(uuid.uuid4())) for id, label in destinations
        ),
    )
