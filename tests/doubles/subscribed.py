"""Subscriptions to the events of an engine, and the jobs that cause these, for tests of the delivery."""

from __future__ import annotations

import re
from typing import Any

from conftest import ANNA
from listeners import Listener
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.settings import Settings

CREATED = ("PostScanJobStatusEvent", "Creating")
CANCELED = [("PostScanJobStatusEvent", "Canceled"), ("PostScanJobEndStateEvent", "Canceled")]
BLOCK = '<a:Ticket xmlns:a="urn:acme">7 &amp; 8</a:Ticket>'


def with_events(settings: Settings, **events: Any) -> Settings:
    """Return the settings with other values in `[events]`."""
    return settings.model_copy(update={"events": settings.events.model_copy(update=events)})


def subscribe(core: Engine, listener: Listener, by: Principal = ANNA, **more: Any) -> Subscription:
    """Subscribe to the events of the processing service for an hour, without EndTo; *more* replaces arguments."""
    wanted: dict[str, Any] = {
        "port": EventService.PROCESSING,
        "notify_to": Sink(listener.url, "127.0.0.1", BLOCK),
        "end_to": None,
        "actions": (),
        "seconds": 3600.0,
    }
    return core.subscriptions.add(
        owner=by,
        manager_of=lambda id: f"http://scan7.contoso.example:5362/ScanServer/processing/subscriptions/{id}",
        absolute=False,
        **(wanted | more),
    )


def create(core: Engine, by: Principal = ANNA) -> JobToken:
    """Create a job."""
    return core.service.create(by, SID, "P", instructions("copy"))


def live_and_end(core: Engine, by: Principal = ANNA) -> None:
    """Create a job, and cancel it."""
    core.service.cancel(create(core, by), by)


def tokens(listener: Listener) -> list[str]:
    """Return the JobTokens in the messages that *listener* received, in order."""
    return re.findall(r"<ds[pc]:JobToken>([^<]+)<", "".join(map(bytes.decode, list(listener.heard))))


def message_ids(listener: Listener) -> list[str]:
    """Return the MessageIDs of the messages that *listener* received, in order."""
    return re.findall(r"<wsa:MessageID>([^<]+)<", "".join(map(bytes.decode, list(listener.heard))))
