"""HP's walk-up at the simulated scanner: registrations, the table of events, presses. Source: escl.md section 8."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest
from escl_client import EsclAnswer, EsclTestClient, eventually, jpeg_page
from lxml import etree

from postscan.cli.device.escl.scanner import SimulatedEsclScanner
from postscan.cli.device.escl.walkup.walkup import UnknownWalkupName
from postscan.core.errors import PostscanError

DD: Final = "http://www.hp.com/schemas/imaging/con/dictionaries/1.0/"
DD3: Final = "http://www.hp.com/schemas/imaging/con/dictionaries/2009/04/06"
COMP: Final = "http://www.hp.com/schemas/imaging/con/ledm/walkupscan/2010/09/28"
OLD: Final = "http://www.hp.com/schemas/imaging/con/rest/walkupscan/2009/09/21"
COMP_PATH: Final = "/WalkupScanToComp/WalkupScanToCompDestinations"
OLD_PATH: Final = "/WalkupScan/WalkupScanDestinations"
PAGES = [jpeg_page(number) for number in range(2)]


def registration(name: str, space: str = COMP, element: str = "WalkupScanToCompDestination") -> bytes:
    """Write a registration as clients do."""
    return (
        f'<{element} xmlns="{space}"><Hostname xmlns="{DD3}">{name}</Hostname><Name xmlns="{DD}">{name}</Name>'
        f"<LinkType>Network</LinkType></{element}>"
    ).encode()


def local(answer: EsclAnswer, name: str) -> list[str]:
    """Return the texts of all elements of this local name."""
    return [one.text or "" for one in etree.fromstring(answer.data).iter(f"{{*}}{name}")]


def table(client: EsclTestClient, etag: str = "", tenths: int = 0) -> EsclAnswer:
    """GET the table of events."""
    query = f"?timeout={tenths}" if tenths else ""
    headers = {"If-None-Match": etag} if etag else {}
    return client.call("GET", f"/EventMgmt/EventTable{query}", **headers)


@pytest.fixture
def scanner() -> Iterator[SimulatedEsclScanner]:
    """An HP device with WalkupScanToComp and a platen."""
    with SimulatedEsclScanner(PAGES, source="platen", hp="comp") as scanner:
        yield scanner


@pytest.fixture
def client(scanner: SimulatedEsclScanner) -> EsclTestClient:
    """A client of it."""
    return EsclTestClient(scanner.url)


def test_the_discovery_tree_leads_to_manifests_and_they_to_resources(client: EsclTestClient) -> None:
    """escl.md section 8, step 1."""
    tree = client.call("GET", "/DevMgmt/DiscoveryTree.xml")
    kinds = dict(zip(local(tree, "ManifestURI"), local(tree, "ResourceType")[1:], strict=True))

    assert kinds == {
        "/eSCL/eSclManifest.xml": "eSCL:eSclManifest",
        "/WalkupScanToComp/WalkupScanToCompManifest.xml": "ledm:hpLedmWalkupScanToCompManifest",
    }
    manifest = client.call("GET", "/WalkupScanToComp/WalkupScanToCompManifest.xml")
    base, *resources = local(manifest, "ResourceURI")
    assert [client.call("GET", base + one).status for one in resources] == [200, 200, 200]
    assert local(client.call("GET", f"{base}/WalkupScanToCompCaps"), "MaxNetworkDestinations") == ["15"]
    assert local(client.call("GET", "/eSCL/eSclManifest.xml"), "ResourceURI")[0] == "/eSCL"


def test_a_name_is_registered_listed_and_deleted(client: EsclTestClient) -> None:
    """201 with Location, then 200, 204, 404."""
    answer = client.call("POST", COMP_PATH, registration("Invoices"))
    path = answer.headers["location"].removeprefix(client.url.removesuffix("/eSCL"))

    assert answer.status == 201
    assert local(client.call("GET", COMP_PATH), "Name") == ["Invoices"]
    assert local(client.call("GET", COMP_PATH), "ResourceURI") == [path]
    assert [client.call(method, path).status for method in ("GET", "DELETE", "GET")] == [200, 204, 404]
    assert local(client.call("GET", COMP_PATH), "Name") == []


@pytest.mark.parametrize(
    "data",
    [
        registration("A", OLD),
        registration("A", OLD, "WalkupScanDestination"),
        registration(""),
        b"<a",
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + registration("&b;"),
    ],
)
def test_a_wrong_registration_is_answered_400(client: EsclTestClient, data: bytes) -> None:
    """The namespace of the other generation is one (escl.md section 8, step 2)."""
    assert client.call("POST", COMP_PATH, data).status == 400
    assert local(client.call("GET", COMP_PATH), "Name") == []


def test_there_is_room_for_fifteen_names(client: EsclTestClient) -> None:
    """MaxNetworkDestinations; then 503."""
    statuses = [client.call("POST", COMP_PATH, registration(f"N{number}")).status for number in range(16)]

    assert statuses == [201] * 15 + [503]


def test_a_press_is_an_event_with_the_name_and_the_state(scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """escl.md section 8, steps 3 to 5: the waiting request ends with it, the destination has the shortcut."""
    path = client.call("POST", COMP_PATH, registration("Invoices")).headers["location"].partition("/Walkup")[2]
    before = table(client).headers["etag"]
    answers: list[EsclAnswer] = []
    waiting = threading.Thread(target=lambda: answers.append(table(client, before, 100)))
    waiting.start()
    eventually(lambda: scanner.walkup is not None and scanner.walkup.most_waiting == 1)
    stamp = scanner.press("Invoices", shortcut="SaveJPEG", duplex=True)
    waiting.join(5)

    (answer,) = answers
    assert (answer.status, answer.headers["etag"]) == (200, stamp)
    assert local(answer, "AgingStamp")[-1] == stamp
    assert local(answer, "UnqualifiedEventCategory") == ["PowerUpEvent", "ScanEvent"]
    assert local(answer, "ResourceURI") == [f"/Walkup{path}", "/WalkupScanToComp/WalkupScanToCompEvent"]
    state = client.call("GET", "/WalkupScanToComp/WalkupScanToCompEvent")
    assert local(state, "WalkupScanToCompEventType") == ["ScanRequested"]
    chosen = client.call("GET", f"/Walkup{path}")
    assert (local(chosen, "Shortcut"), local(chosen, "ScanPlexMode")) == (["SaveJPEG"], ["Duplex"])


def test_without_an_event_the_poll_ends_with_304(client: EsclTestClient) -> None:
    """The timeout counts tenths of a second; without one the answer comes at once."""
    etag = table(client).headers["etag"]
    began = time.monotonic()

    assert table(client, etag).status == 304
    assert table(client, f'"{etag}"', 3).status == 304
    assert 0.25 < time.monotonic() - began < 5


def test_a_press_goes_from_host_selected_to_the_last_page(
    scanner: SimulatedEsclScanner, client: EsclTestClient
) -> None:
    """HostSelected, ScanRequested, ScanNewPageRequested with the next page on the platen, ScanPagesComplete."""

    def state() -> str:
        return local(client.call("GET", "/WalkupScanToComp/WalkupScanToCompEvent"), "WalkupScanToCompEventType")[0]

    client.call("POST", COMP_PATH, registration("Invoices"))
    scanner.press("Invoices", start=False)
    states = [state()]
    assert scanner.walkup is not None
    scanner.walkup.choose()
    states.append(state())
    pages = client.pages(client.job("Platen"))[0]
    scanner.next_page()
    states.append(state())
    pages += client.pages(client.job("Platen"))[0]
    scanner.done()

    assert [*states, state()] == ["HostSelected", "ScanRequested", "ScanNewPageRequested", "ScanPagesComplete"]
    assert pages == PAGES


def test_jobs_change_the_table_but_leave_the_last_press_in_it(
    scanner: SimulatedEsclScanner, client: EsclTestClient
) -> None:
    """A client that takes each event of a new table for a press scans twice (ESCL-053)."""
    client.call("POST", COMP_PATH, registration("Invoices"))
    stamp = scanner.press("Invoices")
    client.pages(client.job("Platen"))
    answer = table(client)

    assert local(answer, "UnqualifiedEventCategory") == ["PowerUpEvent", "ScanEvent", "JobEvent"]
    assert local(answer, "AgingStamp")[1] == stamp
    assert answer.headers["etag"] != stamp


def test_a_restart_forgets_names_and_events(scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """AgingStamps begin with the number of the start."""
    client.call("POST", COMP_PATH, registration("Invoices"))
    stamp = scanner.press("Invoices")
    scanner.reboot()

    assert local(client.call("GET", COMP_PATH), "Name") == []
    assert local(table(client), "AgingStamp") == ["2-1"]
    assert stamp == "1-2"
    with pytest.raises(UnknownWalkupName, match="registered: none"):
        scanner.press("Invoices")


def test_an_older_device_has_urls_and_no_state() -> None:
    """WalkupScan: escl.md section 8, steps 1 and 2."""
    with SimulatedEsclScanner(PAGES, hp="old") as scanner:
        client = EsclTestClient(scanner.url)
        origin = scanner.url.removesuffix("/eSCL")
        answer = client.call("POST", OLD_PATH, registration("Invoices", OLD, "WalkupScanDestination"))
        scanner.press("Invoices")
        location = answer.headers["location"]
        chosen = client.call("GET", location.removeprefix(origin))

        assert client.call("POST", OLD_PATH, registration("Invoices")).status == 400
        assert local(client.call("GET", OLD_PATH), "ResourceURI") == [location]
        assert location.startswith(origin)
        assert local(table(client), "ResourceURI") == [location]
        assert client.call("GET", "/WalkupScanToComp/WalkupScanToCompCaps").status == 404
        assert etree.fromstring(chosen.data).tag == f"{{{OLD}}}WalkupScanDestinations"
        assert local(chosen, "Shortcut") == ["SavePDF"]
        for further in (scanner.next_page, scanner.done):
            with pytest.raises(UnknownWalkupName, match="one scan for each press"):
                further()
        assert local(table(client), "UnqualifiedEventCategory") == ["PowerUpEvent", "ScanEvent"]


def test_a_press_without_an_action_is_over_after_its_timeout() -> None:
    """UserActionTimeout."""
    with SimulatedEsclScanner(PAGES, hp="comp", action_seconds=0.05) as scanner:
        client = EsclTestClient(scanner.url)
        client.call("POST", COMP_PATH, registration("Invoices"))
        scanner.press("Invoices")
        path = "/WalkupScanToComp/WalkupScanToCompEvent"

        eventually(lambda: local(client.call("GET", path), "WalkupScanToCompEventType") == ["ScanPagesComplete"])


def test_a_client_that_has_gone_no_longer_waits(scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """Its thread ends; else 48 lost polls would lock the device."""
    etag = table(client).headers["etag"]
    for _ in range(60):
        connection = client.connection()
        connection.request("GET", "/EventMgmt/EventTable?timeout=1200", headers={"If-None-Match": etag})
        eventually(lambda: scanner.requests[-1].path == "/EventMgmt/EventTable")
        connection.close()
    assert scanner.walkup is not None
    walkup = scanner.walkup

    eventually(lambda: walkup.waiting == 0)
    assert table(client).status == 200


def test_a_scanner_without_walk_up_has_none_of_it() -> None:
    """404, and no press."""
    with SimulatedEsclScanner(PAGES) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.call("GET", "/DevMgmt/DiscoveryTree.xml").status == 404
        assert table(client).status == 404
        with pytest.raises(PostscanError, match="no walk-up"):
            scanner.press("Invoices")


SCAN_SETTINGS: Final = """<?xml version="1.0" encoding="UTF-8"?>
<ScanSettings xmlns="http://schemas.hp.com/imaging/escl/2011/05/03" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
	<Version xmlns="http://www.pwg.org/schemas/2010/12/sm">2.62</Version>
	<Intent>Photo</Intent>
	<ScanRegions xmlns="http://www.pwg.org/schemas/2010/12/sm" xmlns:n0="http://www.pwg.org/schemas/2010/12/sm" \
n0:MustHonor="false">
		<ScanRegion><Height>160</Height><Width>120</Width><XOffset>0</XOffset><YOffset>0</YOffset>
		<ContentRegionUnits>escl:ThreeHundredthsOfInches</ContentRegionUnits></ScanRegion>
	</ScanRegions>
	<DocumentFormatExt>image/jpeg</DocumentFormatExt>
	<InputSource xmlns="http://www.pwg.org/schemas/2010/12/sm">Feeder</InputSource>
	<XResolution>300</XResolution><YResolution>300</YResolution><ColorMode>RGB24</ColorMode><Duplex>false</Duplex>
	<MultipickDetection>true</MultipickDetection><AutoCrop>false</AutoCrop><Brightness>996</Brightness>
	<CompressionFactor>0</CompressionFactor><Gamma>180</Gamma><Overscan>true</Overscan>
</ScanSettings>"""
"""The settings of node-hp-scan-to 1.10.0, with some of its elements left out."""


@pytest.mark.conformance("ESCL-063")
@pytest.mark.parametrize(("hp", "space", "folder"), [("comp", COMP, "WalkupScanToComp"), ("old", OLD, "WalkupScan")])
def test_the_dialogue_of_node_hp_scan_to_brings_all_pages(hp: str, space: str, folder: str) -> None:
    """Its requests, in its order, as recorded from release 1.10.0: it registers, is pressed, and fetches the pages."""
    with SimulatedEsclScanner(PAGES, hp=hp) as scanner:
        client = EsclTestClient(scanner.url)

        def get(path: str) -> EsclAnswer:
            answer = client.call("GET", path)
            assert answer.status == 200, path
            return answer

        get("/DevMgmt/DiscoveryTree.xml")
        get(f"/{folder}/{folder}Manifest.xml")
        if hp == "comp":
            get(f"/{folder}/{folder}Caps")
        get("/eSCL/eSclManifest.xml")
        get("/eSCL/ScannerCapabilities")
        get(f"/{folder}/{folder}Destinations")
        body = registration("Invoices", space, f"{folder}Destination")
        added = client.call("POST", f"/{folder}/{folder}Destinations", body)
        path = f"/{folder}{added.headers['location'].partition(f'/{folder}')[2]}"
        etag = table(client).headers["etag"]
        waiting = threading.Timer(0.1, scanner.press, ["Invoices"])
        waiting.start()
        event = table(client, etag, 1200)
        assert any(one.endswith(path) for one in local(event, "ResourceURI"))
        if hp == "comp":
            get(local(event, "ResourceURI")[-1])
        assert local(get(path), "Shortcut") == ["SavePDF"]
        assert local(get("/eSCL/ScannerStatus"), "AdfState") == ["ScannerAdfLoaded"]
        created = client.call("POST", "/eSCL/ScanJobs", SCAN_SETTINGS.encode(), **{"Content-Type": "text/xml"})
        job = created.headers["location"].removeprefix(scanner.url.removesuffix("/eSCL"))
        pages = []
        for _ in PAGES:
            pages.append(get(f"{job}/NextDocument").data)
            assert local(get(f"{job}/ScanImageInfo"), "JobUri") == [job]
            get("/eSCL/ScannerStatus")

        assert pages == PAGES
        eventually(lambda: client.job_state(job) == ("Completed", "JobCompletedSuccessfully"))
        assert client.call("DELETE", path).status == 204


def test_documents_declare_namespaces_at_their_root_only(scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The XML reader of node-hp-scan-to takes a declaration on an element with text for part of its content."""
    location = client.call("POST", COMP_PATH, registration("Invoices")).headers["location"]
    scanner.press("Invoices")
    paths = [
        *("/DevMgmt/DiscoveryTree.xml", "/EventMgmt/EventTable", "/eSCL/eSclManifest.xml"),
        *(f"/WalkupScanToComp/WalkupScanToComp{one}" for one in ("Manifest.xml", "Caps", "Destinations", "Event")),
        *("/eSCL/ScannerCapabilities", "/eSCL/ScannerStatus"),
        location.removeprefix(client.url.removesuffix("/eSCL")),
    ]
    for path in paths:
        root = client.call("GET", path).data.partition(b"?>")[2].strip()
        assert b"xmlns" not in root.partition(b">")[2], path
