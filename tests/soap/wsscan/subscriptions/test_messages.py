"""Messages of subscriptions: what is sent, and how much of what devices answer is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from lxml import etree

from postscan.soap.wsscan.faults import InvalidAnswer
from postscan.soap.wsscan.messages import envelope
from postscan.soap.wsscan.subscriptions import messages
from postscan.soap.wsscan.subscriptions.calls import SubscriptionCalls
from postscan.soap.wsscan.subscriptions.messages import LONGEST_LABEL, PRESSES, EventAddress
from postscan.soap.wsscan.subscriptions.record import new_subscription

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TO = EventAddress("http://10.0.0.5:5367/wsd/3f", "http://10.0.0.5:5367/wsd/3f/end", "urn:uuid:3f")
WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
SCAN = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"


def body(content: str, scheme: str = "http") -> etree._Element:
    """Return the content of a Body, as it is read from an answer."""
    declared = f'xmlns:e="{WSE}" xmlns:a="{WSA}" xmlns:w="{SCAN}" xmlns:x="urn:extension"'.replace(
        "http:", scheme + ":"
    )
    soap = "http://www.w3.org/2003/05/soap-envelope"
    return envelope.read_answer(
        f'<s:Envelope xmlns:s="{soap}" {declared}><s:Body>{content}</s:Body></s:Envelope>'.encode()
    )


def granted(expires: str = "<e:Expires>PT1H</e:Expires>", tokens: str = "", parameters: str = "") -> str:
    """Return a SubscribeResponse."""
    block = f"<a:ReferenceParameters>{parameters}</a:ReferenceParameters>" if parameters else ""
    return (
        f"<e:SubscribeResponse><e:SubscriptionManager><a:Address>http://10.0.0.9/m</a:Address>{block}"
        f"</e:SubscriptionManager>{expires}<w:DestinationResponses>{tokens}</w:DestinationResponses></e:SubscribeResponse>"
    )


def token(context: str, token: str) -> str:
    """Return a DestinationResponse."""
    return (
        f"<w:DestinationResponse><x:Note/><w:DestinationToken>{token}</w:DestinationToken>"
        f"<w:ClientContext> {context} </w:ClientContext></w:DestinationResponse>"
    )


@pytest.mark.conformance("WSS-008", "WSS-010")
def test_a_subscribe_has_the_order_of_windows_and_http_names() -> None:
    """EndTo, Delivery, Expires, Filter, ScanDestinations; all namespaces with http."""
    made = messages.subscribe(TO, PRESSES, 3600, [("Invoices", "c1"), ("Letters & <more>", "c2")])
    written = etree.tostring(made).decode()

    assert [etree.QName(one).localname for one in made] == [
        "EndTo",
        "Delivery",
        "Expires",
        "Filter",
        "ScanDestinations",
    ]
    assert "https:" not in written
    assert made.findtext(f".//{{{WSE}}}NotifyTo/{{{WSA}}}Address") == TO.notify_to
    assert made.findtext(f"{{{WSE}}}EndTo/{{{WSA}}}ReferenceParameters/{{{WSE}}}Identifier") == TO.identifier
    assert made.findtext(f"{{{WSE}}}Filter") == f"{SCAN}/ScanAvailableEvent"
    assert made.findtext(f"{{{WSE}}}Expires") == "PT1H"
    shown = [one.text for one in made.iter(f"{{{SCAN}}}ClientDisplayName")]
    assert shown == ["Invoices", "Letters & <more>"]


@pytest.mark.conformance("WSS-011")
@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("Invoices", "Invoices"),
        ("a" * 127, "a" * 127),
        ("a" * 128, "a" * 127),
        ("ä" * 200, "ä" * 127),
        ("\U0001f5c2" * 200, "\U0001f5c2" * 127),
        ("a" * 126 + "e\u0301", "a" * 126),
        ("a" * 126 + " b", "a" * 126),
        ("a" * 125 + "\U0001f469\u200d\U0001f469", "a" * 125),
    ],
)
def test_a_long_label_is_cut_at_a_character(label: str, shown: str) -> None:
    """As people see it: no accent and no part of a symbol is lost."""
    assert messages.shown_label(label) == shown
    assert len(shown) <= LONGEST_LABEL


@pytest.mark.conformance("WSS-011")
def test_a_context_is_short_enough() -> None:
    """At most 255 characters."""
    made = new_subscription("http://10.0.0.5:1", (("d1", "A" * 300),))

    assert len(made.destinations[0].context) <= messages.LONGEST_CONTEXT


@pytest.mark.conformance("WSS-008", "WSS-013")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tokens_are_found_by_their_context(scheme: str) -> None:
    """In any order, with extensions, and in both spellings of the namespaces."""
    found = messages.read_subscribed(body(granted(tokens=token("c2", "t2") + token("c1", "t1")), scheme), NOW)

    assert found.tokens == {"c1": "t1", "c2": "t2"}
    assert found.manager == "http://10.0.0.9/m"
    assert found.seconds == 3600


def test_the_first_token_of_a_context_counts() -> None:
    """And one without a token, or without a context, does not."""
    tokens = token("c1", "t1") + token("c1", "t2") + token("c2", "") + token("", "t3")

    assert messages.read_subscribed(body(granted(tokens=tokens)), NOW).tokens == {"c1": "t1"}


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [
        ("", None),
        ("<e:Expires>soon</e:Expires>", None),
        ("<e:Expires>PT5M</e:Expires>", 300),
        ("<e:Expires>2026-03-01T12:10:00Z</e:Expires>", 600),
    ],
)
def test_a_lifetime_is_a_duration_or_a_moment(expires: str, seconds: float | None) -> None:
    """Or nothing that can be read."""
    assert messages.read_subscribed(body(granted(expires)), NOW).seconds == seconds


@pytest.mark.conformance("WSS-015")
def test_reference_parameters_come_back_as_headers() -> None:
    """With the namespaces that they use, and without those of SOAP and addressing."""
    parameters = "<e:Identifier>urn:uuid:7</e:Identifier><x:Other a='1'><x:In/></x:Other><a:To>http://elsewhere</a:To>"
    found = messages.read_subscribed(body(granted(parameters=parameters)), NOW)
    headers = messages.reference_headers(found.parameters)

    assert [str(one.tag) for one in headers] == [f"{{{WSE}}}Identifier", "{urn:extension}Other"]
    assert headers[0].text == "urn:uuid:7"


@pytest.mark.parametrize(
    "answer",
    [
        "<e:RenewResponse/>",
        "<e:SubscribeResponse/>",
        "<e:SubscribeResponse><e:SubscriptionManager/></e:SubscribeResponse>",
        "",
        granted(parameters="<x:a/>" * 33),
        granted(parameters=f"<x:a>{'b' * 5000}</x:a>"),
    ],
)
def test_an_answer_without_a_manager_or_with_too_much_is_refused(answer: str) -> None:
    """Nothing can be renewed with it."""
    with pytest.raises(InvalidAnswer):
        messages.read_subscribed(body(answer), NOW)


class Answering:
    """A device with one answer."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def call(self, *_request: object, **_options: object) -> etree._Element:
        """Return it."""
        return body(self.answer)


@pytest.mark.parametrize(
    ("expires", "lasts"),
    [
        ("PT10M", 600),
        ("PT2H", 3600),
        ("PT0S", 3600),
        ("-PT5S", 3600),
        ("PT1S", 4),
        ("2020-01-01T00:00:00Z", 3600),
        ("2099-01-01T00:00:00Z", 3600),
        ("never", 3600),
    ],
)
def test_a_lifetime_that_makes_no_sense_is_the_one_that_was_asked_for(expires: str, lasts: float) -> None:
    """A device may have a wrong clock, or lie; it is asked neither all the time nor never again."""
    answer = granted(f"<e:Expires>{expires}</e:Expires>")
    calls = SubscriptionCalls(Answering(answer), lambda: NOW)
    made = calls.subscribe("http://10.0.0.9/scan", new_subscription("http://10.0.0.5:1"), PRESSES, 3600.0)

    assert made.until == NOW.timestamp() + lasts
