"""The documents of HP's walk-up, as recorded from devices and as no device should send them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.hp import documents
from postscan.plugins.sources.hp.documents import (
    PanelChoice,
    RegisteredDestination,
    ScanEvent,
    WalkupKind,
    WalkupLimits,
)

NEWER, OLDER = WalkupKind.TO_COMP, WalkupKind.OLDER
DD = 'xmlns:dd="http://www.hp.com/schemas/imaging/con/dictionaries/1.0/"'
DD3 = 'xmlns:dd3="http://www.hp.com/schemas/imaging/con/dictionaries/2009/04/06"'
LEDM = "http://www.hp.com/schemas/imaging/con/ledm/2007/09/21"
NEW = 'xmlns:wus="http://www.hp.com/schemas/imaging/con/ledm/walkupscan/2010/09/28"'
OLD = 'xmlns:wus="http://www.hp.com/schemas/imaging/con/rest/walkupscan/2009/09/21"'
EVENTS = f'xmlns:ev="http://www.hp.com/schemas/imaging/con/ledm/events/2007/09/16" {DD}'


def event(*payloads: tuple[str, str], category: str = "ScanEvent", stamp: str = "164-12") -> str:
    """Return an event; a payload is the URI and the type of a resource."""
    inside = "".join(
        f"<ev:Payload><dd:ResourceURI>{uri}</dd:ResourceURI><dd:ResourceType>{kind}</dd:ResourceType></ev:Payload>"
        for uri, kind in payloads
    )
    return (
        f"<ev:Event><dd:UnqualifiedEventCategory>{category}</dd:UnqualifiedEventCategory>"
        f"<dd:AgingStamp>{stamp}</dd:AgingStamp>{inside}</ev:Event>"
    )


def table(*events: str) -> bytes:
    """Return a table of events, with the comment that devices have in it."""
    return f"<?xml version='1.0'?><!-- DATA --><ev:EventTable {EVENTS}>{''.join(events)}</ev:EventTable>".encode()


def test_a_press_is_read_from_the_table_of_the_older_interface() -> None:
    """The URI has a host, which is not called: the path counts."""
    uri = "http://192.168.1.7:8080/WalkupScan/WalkupScanDestinations/1cb3125d"
    found = documents.scan_events(table(event(category="JobEvent"), event((uri, "hpCnxWalkupScanDestinations"))))

    assert found == (ScanEvent("164-12", "/WalkupScan/WalkupScanDestinations/1cb3125d"),)


def test_a_press_is_read_from_the_table_of_the_newer_interface() -> None:
    """The second payload is where its state is."""
    of_state = "/WalkupScanToComp/WalkupScanToCompEvent"
    found = documents.scan_events(
        table(event(("/W/D/ab60", "wus:WalkupScanToCompDestination"), (of_state, "wus:WalkupScanToCompEvent")))
    )

    assert found == (ScanEvent("164-12", "/W/D/ab60", of_state),)
    assert found[0].key == "164-12/ab60"


@pytest.mark.parametrize(
    "one",
    [
        event(),
        event(("/W/D/1", "x:SomethingElse")),
        event(("", "x:Destination")),
        event(("http://10.0.0.9/", "x:Destination")),
        event(("/W/D/1 HTTP/1.1", "x:Destination")),
        event((f"/{'x' * 2000}", "x:Destination")),
        event(("/W/D/1", "x:Destination"), stamp=""),
        event(("/W/D/1", "x:Destination"), category="scanevent"),
    ],
)
def test_an_event_that_names_no_press_is_left_out(one: str) -> None:
    """Whatever else it says; a path is one line of printable ASCII."""
    assert documents.scan_events(table(one)) == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html/>",
        table()[:-5],
        b"<EventTable/>",  # of no namespace
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        table(event() * 10_000),
        table("<ev:a>" * 40 + "</ev:a>" * 40),
    ],
)
def test_what_is_no_table_or_is_too_large_is_refused(data: bytes) -> None:
    """The bounds are those of eSCL."""
    with pytest.raises(DeviceRefused):
        documents.scan_events(data)


@pytest.mark.conformance("ESCL-050")
@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (("ledm:hpLedmWalkupScanToCompManifest",), NEWER),
        (("hpCnxWalkupScanManifest",), OLDER),
        (("hpCnxWalkupScanManifest", "ledm:hpLedmWalkupScanToCompManifest"), NEWER),
        (("eSCL:eSclManifest", "ledm:hpLedmScanJobManifest"), None),
        ((), None),
    ],
)
def test_the_interface_is_read_from_the_tree(types: tuple[str, ...], expected: WalkupKind | None) -> None:
    """The newer one where a device has both."""
    inside = "".join(f"<l:SupportedIfc><dd:ResourceType>{one}</dd:ResourceType></l:SupportedIfc>" for one in types)
    data = f'<l:DiscoveryTree xmlns:l="{LEDM}" {DD}>{inside}</l:DiscoveryTree>'

    assert documents.kind_in_tree(data.encode()) is expected


SECONDS = (("1e9", 600.0), ("nan", 60.0), ("inf", 60.0), ("-1", 60.0), ("0.001", 1.0), ("x", 60.0))


def action(text: str) -> str:
    """Return a UserActionTimeout."""
    return f"<wus:UserActionTimeout><dd:ValueFloat>{text}</dd:ValueFloat></wus:UserActionTimeout>"


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("", WalkupLimits(15, several_sheets=False, action_seconds=60.0)),
        ("<wus:MaxNetworkDestinations>10</wus:MaxNetworkDestinations>", WalkupLimits(10)),
        ("<wus:MaxNetworkDestinations>999999999</wus:MaxNetworkDestinations>", WalkupLimits(15)),
        ("<wus:MaxNetworkDestinations>-3</wus:MaxNetworkDestinations>", WalkupLimits(15)),
        (
            "<wus:SupportsMultiItemScanFromPlaten>true</wus:SupportsMultiItemScanFromPlaten>" + action("130"),
            WalkupLimits(15, several_sheets=True, action_seconds=130.0),
        ),
        *((action(text), WalkupLimits(15, action_seconds=seconds)) for text, seconds in SECONDS),
    ],
)
def test_limits_are_read_within_bounds(inside: str, expected: WalkupLimits) -> None:
    """A device that lies about them binds no one for hours."""
    data = f"<wus:WalkupScanToCompCaps {NEW} {DD}>{inside}</wus:WalkupScanToCompCaps>"

    assert documents.limits(data.encode(), NEWER) == expected


def test_destinations_are_read() -> None:
    """Name and Hostname, and the path, in the namespaces of the device."""
    one = (
        "<wus:WalkupScanToCompDestination><dd:ResourceURI>/W/D/4ad0</dd:ResourceURI><dd:Name>Invoices</dd:Name>"
        "<dd3:Hostname>scan7</dd3:Hostname><wus:LinkType>Network</wus:LinkType></wus:WalkupScanToCompDestination>"
    )
    nowhere = one.replace("/W/D/4ad0", "")
    data = f"<wus:WalkupScanToCompDestinations {NEW} {DD} {DD3}>{one}{nowhere}</wus:WalkupScanToCompDestinations>"

    assert documents.destinations(data.encode(), NEWER) == (RegisteredDestination("/W/D/4ad0", "Invoices", "scan7"),)


SETTINGS = (
    '<t:ScanSettings xmlns:t="http://www.hp.com/schemas/imaging/con/ledm/scantype/2008/03/17">'
    "<dd:ScanPlexMode>Duplex</dd:ScanPlexMode></t:ScanSettings><wus:Shortcut>SavePDF</wus:Shortcut>"
)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (NEWER, f"<wus:WalkupScanToCompDestination {NEW} {DD}>{SETTINGS}</wus:WalkupScanToCompDestination>"),
        (
            OLDER,
            f"<wus:WalkupScanDestinations {OLD} {DD}><wus:WalkupScanDestination>{SETTINGS}"
            "</wus:WalkupScanDestination></wus:WalkupScanDestinations>",
        ),
    ],
)
def test_what_was_chosen_is_read(kind: WalkupKind, data: str) -> None:
    """The older interface has a list of one around it."""
    assert documents.choice(data.encode(), kind) == PanelChoice("SavePDF", "Duplex")


@given(
    st.sampled_from(WalkupKind),
    *[st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40)] * 2,
)
def test_a_new_destination_is_in_its_own_namespace_with_any_name(kind: WalkupKind, name: str, host: str) -> None:
    """A device answers the other namespace with 400; a name is no markup."""
    root = ET.fromstring(documents.new_destination(kind, name, host))
    texts = {one.tag.rpartition("}")[2]: one.text or "" for one in root}

    assert root.tag == f"{{{kind.namespace}}}{kind}Destination"
    assert texts == {"Hostname": host, "Name": name, "LinkType": "Network"}
