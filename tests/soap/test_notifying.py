"""Telling subscribers: what they hear, in which order, how often, and what happens to those who do not listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import ANNA, BORIS
from listeners import Listener, Telling
from schemas import assert_valid
from works import SID, instructions, until

from postscan.core.assembly import Core
from postscan.core.model import JobToken, Principal
from postscan.core.subscriptions import Port, Sink, Subscription

CREATED = ("PostScanJobStatusEvent", "Creating")
CANCELED = [("PostScanJobStatusEvent", "Canceled"), ("PostScanJobEndStateEvent", "Canceled")]
BLOCK = '<a:Ticket xmlns:a="urn:acme">7 &amp; 8</a:Ticket>'


def subscribe(core: Core, listener: Listener, by: Principal = ANNA, **more: Any) -> Subscription:
    """Subscribe somebody to the events of the processing service."""
    wanted: dict[str, Any] = {
        "port": Port.PROCESSING,
        "end_to": Sink(listener.origin + "/end", "127.0.0.1", BLOCK),
        "actions": (),
        "seconds": 3600.0,
    } | more
    return core.subscriptions.add(
        owner=by,
        notify_to=Sink(listener.url, "127.0.0.1", BLOCK),
        manager_of=lambda id: f"http://scan7.contoso.example:5362/ScanServer/processing/subscriptions/{id}",
        absolute=False,
        **wanted,
    )


def create(core: Core, by: Principal = ANNA) -> JobToken:
    """Make a job."""
    return core.service.create(by, SID, "P", instructions("copy"))


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A sink in good health."""
    with Listener() as listener:
        yield listener


def test_a_subscriber_hears_of_its_job_from_the_first_state_to_the_end(core: Core, listener: Listener) -> None:
    """DSP-002, DSP-063, DSP-065: a status at each change, the last of them before the one end."""
    subscribe(core, listener)
    with Telling(core):
        job = create(core)
        core.service.cancel(job, ANNA)
        until(lambda: len(listener.heard) >= 3)

    assert listener.told == [CREATED, *CANCELED]
    for message in listener.heard:
        assert_valid(message)
