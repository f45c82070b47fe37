"""The messages of WS-Eventing: what is read, what is refused in which words, and what is written."""

from __future__ import annotations

from dataclasses import replace

import messages
import pytest
from conftest import ANNA
from lxml import etree
from messages import DSP
from schemas import assert_valid
from subscriptions import (
    BY_ACTION,
    LISTED,
    PEER,
    SERVICE,
    SINK,
    SOAP,
    WSA,
    WSDP,
    WSE,
    delivery,
    endpoint,
    envelope,
    filter_,
    subscribe,
)

from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.soap.eventing import messages as eventing_messages
from postscan.soap.eventing.messages import OtherRequest, RenewRequest, SubscribeRequest
from postscan.soap.eventing.notifications import Notification
from postscan.soap.message import addressing, faults
from postscan.soap.message.envelope import read
from postscan.soap.message.faults import Fault

ID = "64b5a6f7-8091-4a2b-bc3d-4e5f60718208"
BOTH = (f"{DSP}/PostScanJobStatusEvent", f"{DSP}/PostScanJobEndStateEvent")
SUBSCRIPTION = Subscription(
    id=ID,
    port=EventService.PROCESSING,
    owner=ANNA,
    notify_to=Sink(f"{SINK}?a=1&b=2", PEER, f'<wse:Identifier xmlns:wse="{WSE}">urn:uuid:7</wse:Identifier>'),
    end_to=Sink(f"{SINK}/end", PEER, '<x:T xmlns:x="urn:x">a</x:T><x:T xmlns:x="urn:x">b</x:T>'),
    actions=(),
    manager=f"{SERVICE}/subscriptions/{ID}",
    absolute=False,
    until=0.0,
    cursor=0,
)
EXAMPLE = f"""<e:Envelope xmlns:e="{SOAP}" xmlns:A="{WSA}" xmlns="{WSE}"><e:Header>
  <A:To>https://scan01.fabrikam.example:5362/ScanServer/3f0d6a52-8f3e-4b1c-9a57-6f1b2c7d9e10</A:To>
  <A:Action>{WSE}/Subscribe</A:Action><A:MessageID>urn:uuid:7d6c5b4a-3928-4716-8504-f3e2d1c0b906</A:MessageID>
  <A:ReplyTo><A:Address>{messages.ANONYMOUS}</A:Address></A:ReplyTo></e:Header><e:Body>
  <Subscribe>
    <EndTo><A:Address>http://mfp-17.fabrikam.example:5357/events/end</A:Address>
      <A:ReferenceParameters><Identifier>urn:uuid:1c4b7a90</Identifier></A:ReferenceParameters></EndTo>
    <Delivery Mode="{WSE}/DeliveryModes/Push">
      <NotifyTo><A:Address>
          http://mfp-17.fabrikam.example:5357/events/3
        </A:Address></NotifyTo></Delivery>
    <Filter Dialect="{BY_ACTION}">{LISTED}</Filter>
    <ScanDestinations xmlns="http://schemas.microsoft.com/windows/2006/08/wdp/scan"/>
    <Expires>PT1H</Expires>
  </Subscribe></e:Body></e:Envelope>"""


def subscribed(*children: str) -> SubscribeRequest:
    """Return a Subscribe as it is read."""
    return eventing_messages.read_subscribe(
        read(envelope("Subscribe", subscribe(*children))).body, EventService.PROCESSING
    )


def refused(*children: str) -> Fault:
    """Return the fault that a Subscribe with these children raises."""
    with pytest.raises(Fault) as caught:
        subscribed(*children)
    assert_valid(faults.write(caught.value, messages.MESSAGE_ID))
    return caught.value


# --- Subscribe -------------------------------------------------------------------------------------------------------


def test_a_subscribe_is_read() -> None:
    """dpws.md section 11.5, in another style: default namespace, line breaks, another order, an extension."""
    request = eventing_messages.read_subscribe(read(EXAMPLE.encode()).body, EventService.PROCESSING)

    assert request.notify_to.address == "http://mfp-17.fabrikam.example:5357/events/3"
    assert request.end_to is not None
    assert request.end_to.address == "http://mfp-17.fabrikam.example:5357/events/end"
    assert request.end_to.parameters == f'<Identifier xmlns="{WSE}">urn:uuid:1c4b7a90</Identifier>'
    assert (request.expires.text, request.actions) == ("PT1H", BOTH)  # type: ignore[union-attr]


def test_most_of_it_may_be_left_out() -> None:
    """DPW-056, dpws.md quirk 7: delivery without a mode, no end of time, no filter; then all events are meant."""
    request = subscribed(delivery(mode=""))

    assert (request.notify_to.address, request.end_to, request.expires, request.actions) == (SINK, None, None, ())


@pytest.mark.parametrize(
    "children",
    [
        ("",),
        ("<wse:Delivery/>",),
        (delivery(), delivery()),
        (delivery(endpoint("NotifyTo") * 2),),
        (delivery(), "<wse:Expires>PT1H</wse:Expires><wse:Expires>PT1H</wse:Expires>"),
        (delivery(), "<wse:NotifyTo/>"),
        (delivery(), "<wse:Expires><a/></wse:Expires>"),
        (delivery("<wse:NotifyTo><wsa:Address/></wse:NotifyTo>"),),
        (delivery(), "<wse:EndTo/>"),
        (delivery(endpoint("NotifyTo", SINK, "<wsa:To>x</wsa:To>")),),
        (delivery(endpoint("NotifyTo", SINK, f'<a xmlns="urn:a">{"x" * 5000}</a>')),),
    ],
)
def test_a_subscribe_that_is_built_wrongly_is_not_valid(children: tuple[str, ...]) -> None:
    """dpws.md section 8.2; T-A5, T-X8: the fault shows which element is wrong."""
    fault = refused(*children)

    assert (fault.code, fault.subcode, fault.action) == ("Sender", "wse:InvalidMessage", f"{WSE}/fault")
    assert fault.detail is not None
    assert fault.detail[0].startswith((f"{{{WSE}}}", f"{{{WSA}}}"))


def test_another_body_than_the_action_says_is_not_valid() -> None:
    """T-X7."""
    with pytest.raises(Fault) as caught:
        eventing_messages.read_renew(read(envelope("Renew", "<wse:Unsubscribe/>")).body)

    assert caught.value.subcode == "wse:InvalidMessage"
    assert caught.value.detail == (f"{{{WSE}}}Renew", f"{{{WSE}}}Unsubscribe")


def test_events_are_pushed_and_nothing_else() -> None:
    """DPW-057: the fault names the mode that there is (dpws.md section 11.7)."""
    fault = refused(delivery(mode=f' Mode="{WSE}/DeliveryModes/Pull"'))

    assert (fault.code, fault.subcode) == ("Sender", "wse:DeliveryModeRequestedUnavailable")
    assert fault.detail == (f"{{{WSE}}}SupportedDeliveryMode", f"{WSE}/DeliveryModes/Push")
    assert fault.reason == "The requested delivery mode is not supported."


@pytest.mark.parametrize("text", ["", "PT", "1 hour", "2026-99-01T00:00:00Z", "P" + "1" * 300])
def test_an_end_that_means_nothing_is_refused(text: str) -> None:
    """DPW-066."""
    fault = refused(delivery(), f"<wse:Expires>{text}</wse:Expires>")

    assert fault.subcode in ("wse:InvalidExpirationTime", "wse:InvalidMessage")
    assert fault.detail is not None
    assert fault.detail[0] == f"{{{WSE}}}Expires"


# --- filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "dialect", "actions"),
    [
        (LISTED, BY_ACTION, BOTH),
        (LISTED, f" {BY_ACTION}\n", BOTH),
        (BOTH[1], BY_ACTION, BOTH[1:]),
        (f"urn:other {DSP}/", BY_ACTION, BOTH),
        (LISTED, "", BOTH),
        ("PostScanJobEndStateEvent", "", BOTH[1:]),
    ],
)
def test_a_filter_lists_actions(listed: str, dialect: str, actions: tuple[str, ...]) -> None:
    """DPW-058 to DPW-060, dpws.md quirk 7: with white space between them, and perhaps without a dialect."""
    assert subscribed(delivery(), filter_(listed, dialect)).actions == actions


@pytest.mark.parametrize(
    ("listed", "dialect"), [(f"{DSP}/NoSuchEvent", BY_ACTION), ("", BY_ACTION), ("http://x.example/", "")]
)
def test_a_filter_that_nothing_can_pass_is_refused(listed: str, dialect: str) -> None:
    """DPW-061: in the words of the device profile, and with its fault action."""
    fault = refused(delivery(), filter_(listed, dialect))

    assert (fault.code, fault.subcode) == ("Sender", "wsdp:FilterActionNotSupported")
    assert fault.action == f"{WSDP}/fault"


@pytest.mark.parametrize(
    ("listed", "dialect"),
    [
        ("/*", "http://www.w3.org/TR/1999/REC-xpath-19991116"),
        (LISTED, BY_ACTION.lower()),
        ("/soap:Envelope/soap:Body", ""),
        ("", ""),
    ],
)
def test_a_filter_in_another_dialect_is_refused(listed: str, dialect: str) -> None:
    """DPW-062: the fault names the one that there is; without a dialect, XPath is meant."""
    fault = refused(delivery(), filter_(listed, dialect))

    assert (fault.subcode, fault.action) == ("wse:FilteringRequestedUnavailable", f"{WSE}/fault")
    assert fault.detail == (f"{{{WSE}}}SupportedDialect", BY_ACTION)


# --- the other three -------------------------------------------------------------------------------------------------


def test_a_renew_says_for_how_long_or_not() -> None:
    """dpws.md section 11.6."""
    asked = eventing_messages.read_renew(
        read(envelope("Renew", "<wse:Renew><wse:Expires>PT2H</wse:Expires></wse:Renew>")).body
    )
    unasked = eventing_messages.read_renew(read(envelope("Renew", "<wse:Renew/>")).body)

    assert asked.expires is not None
    assert asked.expires.seconds == 7200
    assert unasked == RenewRequest(None)


def test_an_identifier_may_stand_in_the_body() -> None:
    """Some put it there (dpws.md section 8.2)."""
    named = f"<wse:Identifier> urn:uuid:{ID} </wse:Identifier>"
    status = eventing_messages.read_get_status(
        read(envelope("GetStatus", f"<wse:GetStatus>{named}</wse:GetStatus>")).body
    )
    end = eventing_messages.read_unsubscribe(
        read(envelope("Unsubscribe", f"<wse:Unsubscribe>{named}</wse:Unsubscribe>")).body
    )

    assert status == end == OtherRequest(f"urn:uuid:{ID}")


@pytest.mark.parametrize(
    ("named", "id"),
    [
        ((f"urn:uuid:{ID}", "", ""), ID),
        (("", f"URN:UUID:{ID.upper()}", "x"), ID),
        (("", "", ID), ID),
        ((ID, "", ""), ID),
        (("urn:uuid:", "", ID), ""),
        (("x", f"urn:uuid:{ID}", ID), ""),
        (("", "", "processing"), ""),
        (("", "", ""), ""),
    ],
)
def test_the_first_identifier_that_is_there_counts(named: tuple[str, ...], id: str) -> None:
    """T-X8: no other one is looked at, even if it means nothing."""
    assert eventing_messages.subscription_id(*named) == id


def test_the_identifier_is_read_from_the_header() -> None:
    """DPW-080: trimmed, like every identifier (DSP-011)."""
    headers = read(envelope("GetStatus", "<wse:GetStatus/>", f"<wse:Identifier>\n urn:uuid:{ID}\n</wse:Identifier>"))

    assert addressing.read(headers.headers).subscription == f"urn:uuid:{ID}"
    assert addressing.read(read(envelope("GetStatus", "<wse:GetStatus/>")).headers).subscription == ""


# --- what is written -------------------------------------------------------------------------------------------------


def test_a_subscription_is_answered_with_its_manager() -> None:
    """DPW-065, DPW-067: an address, and the identifier as its reference parameter (dpws.md section 11.5)."""
    header = addressing.Header(f"{WSE}/Subscribe", "urn:uuid:7", "")
    answer = assert_valid(addressing.reply(header, eventing_messages.write_subscribed(SUBSCRIPTION, "PT60M")))
    manager = answer.find(f".//{{{WSE}}}SubscriptionManager")

    assert manager is not None
    assert answer.findtext(f".//{{{WSA}}}Action") == f"{WSE}/SubscribeResponse"
    assert manager.findtext(f"{{{WSA}}}Address") == SUBSCRIPTION.manager
    assert manager.findtext(f"{{{WSA}}}ReferenceParameters/{{{WSE}}}Identifier") == f"urn:uuid:{ID}"
    assert answer.findtext(f".//{{{WSE}}}SubscribeResponse/{{{WSE}}}Expires") == "PT60M"


@pytest.mark.parametrize(
    ("name", "write"), [("Renew", eventing_messages.write_renewed), ("GetStatus", eventing_messages.write_status)]
)
def test_the_answers_to_the_manager_say_how_long(name: str, write) -> None:
    """DPW-063, DPW-068."""
    answer = assert_valid(addressing.reply(addressing.Header(f"{WSE}/{name}", "x", ""), write("PT1H57M12S")))

    assert answer.findtext(f".//{{{WSE}}}{name}Response/{{{WSE}}}Expires") == "PT1H57M12S"


def test_unsubscribe_is_answered_with_an_empty_body() -> None:
    """DPW-069."""
    header = addressing.Header(f"{WSE}/Unsubscribe", "x", "")
    answer = assert_valid(addressing.reply(header, eventing_messages.UNSUBSCRIBED))

    assert answer.findtext(f".//{{{WSA}}}Action") == f"{WSE}/UnsubscribeResponse"
    assert len(answer[1]) == 0


def blocks(message: bytes) -> list[tuple[str, str]]:
    """Return the header blocks of a message; fail if it is not valid."""
    return [(str(one.tag), one.text or "") for one in assert_valid(message)[0]]


def test_a_notification_goes_to_its_sink_with_its_parameters_as_headers() -> None:
    """DSP-068, DPW-072: To, Action, MessageID and the blocks, in the form of ws-dsp.md section 13.7."""
    notice = Notification(BOTH[0], _status())
    message = eventing_messages.notification(SUBSCRIPTION, 7, notice)
    to, action, message_id, block = blocks(message)

    assert to == (f"{{{WSA}}}To", f"{SINK}?a=1&b=2")
    assert action == (f"{{{WSA}}}Action", BOTH[0])
    assert message_id[0] == f"{{{WSA}}}MessageID"
    assert block == (f"{{{WSE}}}Identifier", "urn:uuid:7")
    assert message.startswith(b"<soap:Envelope ")
    assert b"RelatesTo" not in message


def test_a_message_is_named_after_what_it_is_about() -> None:
    """I27: the same twice is the same to the byte; another event, another subscriber or another number is not."""
    notice = Notification(BOTH[0], _status())
    first = eventing_messages.notification(SUBSCRIPTION, 7, notice)
    others = [
        eventing_messages.notification(SUBSCRIPTION, 8, notice),
        eventing_messages.notification(SUBSCRIPTION, 7, notice._replace(action=BOTH[1])),
        eventing_messages.notification(replace(SUBSCRIPTION, id=ID.replace("6", "7")), 7, notice),
        eventing_messages.subscription_end(SUBSCRIPTION, eventing_messages.DELIVERY_FAILURE),
    ]

    assert eventing_messages.notification(SUBSCRIPTION, 7, notice) == first
    assert len({blocks(one)[2] for one in (first, *others)}) == 5


@pytest.mark.parametrize("status", ["DeliveryFailure", "SourceCancelling"])
def test_the_end_of_a_subscription_is_told_with_its_reason(status: str) -> None:
    """DPW-073 (dpws.md section 11.6): the manager as it was given out, the status, and a sentence."""
    message = eventing_messages.subscription_end(SUBSCRIPTION, f"{WSE}/{status}")
    end = assert_valid(message).find(f".//{{{WSE}}}SubscriptionEnd")

    assert blocks(message)[:2] == [(f"{{{WSA}}}To", f"{SINK}/end"), (f"{{{WSA}}}Action", f"{WSE}/SubscriptionEnd")]
    assert blocks(message)[3:] == [("{urn:x}T", "a"), ("{urn:x}T", "b")]
    assert end is not None
    assert end.findtext(f"{{{WSE}}}Status") == f"{WSE}/{status}"
    assert end.findtext(f".//{{{WSA}}}Address") == SUBSCRIPTION.manager
    assert end.findtext(f".//{{{WSE}}}Identifier") == f"urn:uuid:{ID}"
    assert end.findtext(f"{{{WSE}}}Reason")


def test_nobody_is_told_who_has_not_said_where() -> None:
    """DPW-073: when EndTo is known."""
    with pytest.raises(ValueError, match="EndTo"):
        eventing_messages.subscription_end(replace(SUBSCRIPTION, end_to=None), eventing_messages.DELIVERY_FAILURE)


def _status() -> str:
    return etree.tostring(
        etree.fromstring(
            f'<dsp:PostScanJobStatusEvent xmlns:dsp="{DSP}"><dsp:JobStatus>'
            f"<dsp:JobToken>{ID}</dsp:JobToken><dsp:JobState>Creating</dsp:JobState><dsp:FilterStatuses>"
            "<dsp:FilterStatus><dsp:Dialect>urn:a</dsp:Dialect><dsp:FilterState>Pending</dsp:FilterState>"
            "</dsp:FilterStatus></dsp:FilterStatuses><dsp:ImagesReceived>0</dsp:ImagesReceived>"
            "<dsp:JobCreatedTime>2026-03-02T09:41:07.125Z</dsp:JobCreatedTime></dsp:JobStatus>"
            "</dsp:PostScanJobStatusEvent>"
        ),
        encoding="unicode",
    )
