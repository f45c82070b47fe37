"""The example messages of subscriptions and events, there and back.

What is asked gives the values that stand in it; what we answer, and what we send of our own accord, is the example's
message, element for element. Where we say otherwise, on purpose, the test says how.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from example_jobs import OWNER, a_job, another_job
from example_messages import example, header, same, shape, shape_of
from lxml import etree
from schemas import assert_valid

from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.soap.eventing import messages
from postscan.soap.eventing.notifications import Notification
from postscan.soap.message import addressing, envelope, faults
from postscan.soap.message.faults import Fault
from postscan.soap.services import job_elements
from postscan.soap.xml import durations, namespaces

IDENTIFIER = "64b5a6f7-8091-4a2b-bc3d-4e5f60718208"
MANAGER = "https://scan01.fabrikam.example:5362/ScanServer/3f0d6a52-8f3e-4b1c-9a57-6f1b2c7d9e10"
NOTIFY_TO = "http://mfp-17.fabrikam.example:5357/events/3"
END_TO = "http://mfp-17.fabrikam.example:5357/events/end"


def subscribed() -> messages.SubscribeRequest:
    """Return what the example asks for."""
    return messages.read_subscribe(envelope.read(example("dpws-11.5-Subscribe")).body, EventService.PROCESSING)


def subscription() -> Subscription:
    """Return the subscription that comes of it."""
    asked = subscribed()
    assert asked.end_to
    to, end = (Sink(one.address, "10.20.30.41", one.parameters) for one in (asked.notify_to, asked.end_to))
    return Subscription(IDENTIFIER, EventService.PROCESSING, OWNER, to, end, asked.actions, MANAGER, False, 0.0, 0)


def answered(name: str, body: str) -> bool:
    """Return whether an example is answered with this body as in the example of the answer."""
    return same(addressing.reply(addressing.read(envelope.read(example(name)).headers), body), f"{name}Response")


# --- making a subscription, and managing it --------------------------------------------------------------------------


def test_a_subscription_is_asked_for_and_made() -> None:
    """dpws.md section 11.5 (DPW-059, DPW-063, DPW-067): where to, for how long, and of what."""
    asked = subscribed()
    assert asked.end_to
    assert asked.expires

    assert (asked.notify_to.address, asked.end_to.address) == (NOTIFY_TO, END_TO)
    assert (asked.expires.seconds, asked.expires.absolute) == (3600.0, False)
    assert asked.actions == (f"{namespaces.DSP}/PostScanJobStatusEvent", f"{namespaces.DSP}/PostScanJobEndStateEvent")
    assert answered("dpws-11.5-Subscribe", messages.write_subscribed(subscription(), durations.write(3600)))


@pytest.mark.parametrize("name", ["Renew", "GetStatus", "Unsubscribe"])
def test_a_subscription_is_named_in_the_header(name: str) -> None:
    """dpws.md section 11.6: by the reference parameter of its manager (DPW-080)."""
    understood = addressing.read(envelope.read(example(f"dpws-11.6-{name}")).headers)

    assert messages.subscription_id(understood.subscription) == IDENTIFIER


def test_a_subscription_is_renewed() -> None:
    """dpws.md section 11.6: two hours are asked for as a duration, and granted as one (DPW-063)."""
    asked = messages.read_renew(envelope.read(example("dpws-11.6-Renew")).body)

    assert asked.expires
    assert asked.expires.seconds == 7200.0
    assert answered("dpws-11.6-Renew", messages.write_renewed(durations.write(7200)))


def test_a_subscription_is_looked_at() -> None:
    """dpws.md section 11.6: what is left of it."""
    messages.read_get_status(envelope.read(example("dpws-11.6-GetStatus")).body)

    assert answered("dpws-11.6-GetStatus", messages.write_status(durations.write(2 * 3600 - 168)))


def test_a_subscription_is_given_up() -> None:
    """dpws.md section 11.6: the body of the answer is empty (DPW-069)."""
    messages.read_unsubscribe(envelope.read(example("dpws-11.6-Unsubscribe")).body)

    assert answered("dpws-11.6-Unsubscribe", messages.UNSUBSCRIBED)


def test_another_delivery_is_refused() -> None:
    """dpws.md section 11.7 (DPW-057), but with the fault action of eventing (ruling 21)."""
    root = etree.fromstring(example("dpws-11.5-Subscribe"))
    (delivery,) = root.iter(f"{{{namespaces.WSE}}}Delivery")
    delivery.set("Mode", namespaces.WSE + "/DeliveryModes/Pull")
    with pytest.raises(Fault) as caught:
        messages.read_subscribe(root[1][0], EventService.PROCESSING)
    written = faults.write(caught.value, header("dpws-11.7-DeliveryModeRequestedUnavailable", "RelatesTo"))
    ours, theirs = (
        f"<wsa:Action>{action}</wsa:Action>".encode() for action in (messages.FAULT, namespaces.FAULT_ACTION)
    )

    assert_valid(written)
    assert written.count(ours) == 1
    assert same(written.replace(ours, theirs), "dpws-11.7-DeliveryModeRequestedUnavailable")


# --- what the server sends of its own accord -------------------------------------------------------------------------


def notified(about: Subscription, name: str, body: str) -> bool:
    """Return whether an event with this body is sent as in the example."""
    return same(messages.notification(about, 7, Notification(header(name, "Action"), body)), name)


def test_a_job_that_was_made_is_told_to_subscribers() -> None:
    """ws-dsp.md section 13.7; the reference parameter comes back as a header (DPW-072)."""
    made = a_job(FilterState.PENDING, FilterState.PENDING)
    made.state, made.documents = JobState.CREATING, []

    assert notified(subscription(), "dsp-13.7-PostScanJobStatusEvent", job_elements.status_event("dsp", made))


def test_a_job_that_has_ended_is_told_to_subscribers() -> None:
    """ws-dsp.md section 13.8: with the reason why a filter has failed."""
    ended = a_job(FilterState.ERRORS, FilterState.SUCCEEDED, ("FileShareAccessDenied",))
    ended.state, ended.reasons = JobState.COMPLETED, (JobReason.ERRORS,)
    ended.completed = datetime(2026, 3, 2, 9, 42, 18, 903_000, tzinfo=UTC)

    assert notified(subscription(), "dsp-13.8-PostScanJobEndStateEvent", job_elements.end_event("dsp", ended))


def test_a_job_that_has_ended_is_told_to_administrators() -> None:
    """ws-dsc.md section 3.1; the time has a zone in our file, and none in the digest."""
    name = "dsc-3.1-PostScanJobEndStateEvent"
    identifier = "<wse:Identifier>urn:uuid:3a5f9d10-4c1e-4b7a-9d1c-0e2f6a7b8c90</wse:Identifier>"
    to = Sink(header(name, "To"), "10.20.30.42", identifier)
    console = Subscription(IDENTIFIER, EventService.CONFIGURATION, OWNER, to, None, (), MANAGER, False, 0.0, 0)
    ended = another_job(namespaces.FILESHARE, FilterState.SUCCEEDED, JobState.COMPLETED, JobReason.SUCCEEDED)
    ended.completed = datetime(2025, 3, 4, 9, 15, 41, 100_000, tzinfo=UTC)

    assert notified(console, name, job_elements.end_event("dsc", ended))


def test_the_end_of_a_subscription_is_told_for_reasons_of_ours() -> None:
    """dpws.md section 11.6; but a server that stops does not end it, for it goes on when the server is back."""
    expected = etree.fromstring(example("dpws-11.6-SubscriptionEnd"))
    (status,), (reason,) = (expected.iter(f"{{{namespaces.WSE}}}{name}") for name in ("Status", "Reason"))
    status.text, reason.text = messages.SOURCE_CANCELLING, messages.REASONS[messages.SOURCE_CANCELLING]

    assert shape_of(example("dpws-11.6-SubscriptionEnd")) != shape(expected)
    written = messages.subscription_end(subscription(), messages.SOURCE_CANCELLING)
    assert shape(assert_valid(written)) == shape(expected)
