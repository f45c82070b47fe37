"""Each quirk of ws-scan.md section 10 can be played, as its row says."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from works import until
from wsd_computer import WsdComputer, image_of

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.behaviour.quirks import QUIRKS, WsdTraits, traits_of
from postscan.core.errors import InvalidArgument

Begin = Callable[..., tuple[WsdScanner, WsdComputer]]
LABELS = {"ctx-1": "Invoices"}
GET = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
PATIENCE = 10.0


@pytest.fixture
def like(begin: Begin) -> Begin:
    """Switch a scanner on with one quirk."""

    def one(quirk: str, **given: object) -> tuple[WsdScanner, WsdComputer]:
        return begin(quirks=[quirk], **given)

    return one


def test_kyocera_scans_only_from_its_panel(like: Begin) -> None:
    """A client-started scan is refused, a press is not."""
    scanner, client = like("kyocera-panel-only")
    token = client.subscribe(LABELS).tokens["ctx-1"]

    assert client.create().fault == "ServerErrorNotAcceptingJobs"
    scanner.press("Invoices")
    assert client.create(press=client.next_event(), token=token).fault == ""


def test_kyocera_swaps_width_and_height(like: Begin, paper: list[bytes]) -> None:
    """The region is confirmed; the page is sent as it is."""
    _, client = like("kyocera-swapped-region")
    root = client.elements("ScannerConfiguration").root
    size = root.xpath("//*[local-name()='PlatenMaximumSize']/*/text()")
    region = (
        "<w:MediaSides><w:MediaFront><w:ScanRegion><w:ScanRegionWidth>100</w:ScanRegionWidth>"
        "<w:ScanRegionHeight>200</w:ScanRegionHeight></w:ScanRegion></w:MediaFront></w:MediaSides>"
    )
    created = client.create(client.ticket("ADF", more=region))

    assert size == ["11693", "8268"]
    assert created.root.xpath("//*[local-name()='ScanRegionWidth']/text()") == ["100"]
    assert image_of(client.retrieve(created)) == paper[0]


def test_brother_denies_duplex_and_has_it(like: Begin) -> None:
    """ADFBack shows it."""
    _, client = like("brother-duplex", source="duplex")
    root = client.elements("ScannerConfiguration").root

    assert root.xpath("string(//*[local-name()='ADFSupportsDuplex'])") == "false"
    assert root.xpath("count(//*[local-name()='ADFBack'])") == 1
    assert client.create(source="ADFDuplex").fault == ""


def test_ricoh_takes_zero_for_none_and_ends_with_an_unknown_job(like: Begin) -> None:
    """With 100 all pages come."""
    _, client = like("ricoh-mp201")
    none = client.retrieve(client.create())
    created = client.create(client.ticket("ADF", images=100))

    assert none.fault == "ClientErrorJobIdNotFound"
    assert [client.retrieve(created).fault for _ in range(4)] == ["", "", "", "ClientErrorJobIdNotFound"]


def test_canon_tr7500_wants_job_information(like: Begin) -> None:
    """InvalidArgs without it."""
    _, client = like("canon-tr7500")
    without = client.ticket("ADF").replace("<w:JobInformation>postscan</w:JobInformation>", "")

    assert client.create(without).fault == "InvalidArgs"
    assert client.create().fault == ""


def test_canon_mf410_does_not_accept_without_paper(like: Begin) -> None:
    """Its state stays Idle; with paper it accepts."""
    scanner, client = like("canon-mf410")
    pages = [page.data for page in scanner.pages]
    scanner.load([])

    assert client.create().fault == "ServerErrorNotAcceptingJobs"
    assert scanner.state == "Idle"
    scanner.load(pages)
    assert client.create().fault == ""


def test_others_accept_without_paper_and_have_no_image(begin: Begin) -> None:
    """What the quirk before differs from."""
    scanner, client = begin()
    scanner.load([])

    assert client.retrieve(client.create()).fault == "ClientErrorNoImagesAvailable"


def test_samsung_has_all_of_its_quirks(like: Begin, paper: list[bytes]) -> None:
    """A foreign XAddr first, a region of 0, a misspelt fault, tokens that another Subscribe replaces."""
    scanner, client = like("samsung-m288x", start_seconds=0.0)
    probe = "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe"
    found = client.call(probe, "<d:Probe><d:Types>p:Device</d:Types></d:Probe>", url=scanner.url)
    ticket = client.elements("DefaultScanTicket").root
    old = client.subscribe(LABELS).tokens["ctx-1"]
    client.subscribe({"ctx-2": "Archive"})
    scanner.press("Invoices")

    assert found.text("s:Body/d:ProbeMatches/d:ProbeMatch/d:XAddrs").split() == [
        "http://198.51.100.77:8018/wsd",
        scanner.url,
    ]
    assert ticket.xpath("string(//*[local-name()='ScanRegionWidth'])") == "0"
    assert scanner.destinations == ["Invoices", "Archive"]
    assert client.create(press=client.next_event(), token=old).fault == "ClientErrorInvalidDetinationToken"


def test_samsung_is_deaf_after_a_client_that_did_not_unsubscribe(like: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Get is not answered until a restart."""
    scanner, client = like("samsung-m288x", start_seconds=0.0)
    client.subscribe(LABELS, "PT0.2S")
    until(lambda: not scanner.subscriptions)
    monkeypatch.setattr("wsd_computer.SECONDS", 0.3)

    def deaf() -> bool:
        try:
            client.call(GET, "", url=scanner.url, to=scanner.uuid)
        except TimeoutError:
            return True
        return False

    until(deaf)
    scanner.reboot()
    monkeypatch.setattr("wsd_computer.SECONDS", PATIENCE)
    assert client.call(GET, "", url=scanner.url, to=scanner.uuid).status == 200


def test_samsung_is_slow_after_power_on(like: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is answered for a while."""
    _, client = like("samsung-m288x", start_seconds=0.5)
    monkeypatch.setattr("wsd_computer.SECONDS", 0.1)

    with pytest.raises(TimeoutError):
        client.scan("GetActiveJobs")
    monkeypatch.setattr("wsd_computer.SECONDS", PATIENCE)
    assert client.scan("GetActiveJobs").status == 200


def test_samsung_has_no_large_tiff(like: Begin) -> None:
    """Up to 150 dpi it has."""
    tiff = bytes.fromhex(
        "49492a0008000000"  # little endian, directory at 8
        "0400"
        "00010300010000000100000001010300010000000100000003010300010000000100000011010400010000000800000000000000"
    )
    _, client = like("samsung-m288x", start_seconds=0.0, pages=[tiff])
    dpi = (
        "<w:MediaSides><w:MediaFront><w:Resolution><w:Width>{0}</w:Width></w:Resolution></w:MediaFront></w:MediaSides>"
    )
    format = "tiff-single-uncompressed"

    assert client.create(client.ticket("ADF", format=format, more=dpi.format(300))).fault == "OperationFailed"
    assert client.create(client.ticket("ADF", format=format, more=dpi.format(150))).fault == ""


def test_oki_scans_once(like: Begin) -> None:
    """Until it is restarted."""
    scanner, client = like("oki-mc362")
    client.cancel(client.create())

    assert client.create().fault == "ServerErrorNotAcceptingJobs"
    scanner.reboot()
    assert client.create().fault == ""


def test_xerox_hangs(like: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """RetrieveImage is not answered; a client that leaves aborts the job."""
    scanner, client = like("xerox-b225")
    created = client.create()
    monkeypatch.setattr("wsd_computer.SECONDS", 0.3)

    with pytest.raises(TimeoutError):
        client.retrieve(created)
    until(lambda: scanner.jobs[0].has_ended)
    assert scanner.jobs[0].reason == "ImageTransferError"


def test_lexmark_faults_with_200(like: Begin) -> None:
    """The body has the fault."""
    _, client = like("lexmark-http200")
    reply = client.scan("CancelJob", "<w:JobId>9</w:JobId>")

    assert (reply.status, reply.fault) == (200, "ClientErrorJobIdNotFound")


def test_odd_names_are_other_prefixes_without_relates_to(like: Begin, paper: list[bytes]) -> None:
    """The namespaces are the same, so a client that reads names still scans."""
    _, client = like("odd-names")
    created = client.create()

    assert b"<wsa:" not in created.data
    assert b"<wscn:" not in created.data
    assert b"RelatesTo" not in created.data
    assert image_of(client.retrieve(created)) == paper[0]
    assert client.elements("ScannerStatus").root.xpath("string(//@Name)") == "i0:ScannerStatus"


def test_https_namespaces_are_in_declarations_only(like: Begin) -> None:
    """Actions and other values stay as they are."""
    _, client = like("https-namespaces")
    data = client.scan("GetActiveJobs").data

    assert b'xmlns:wscn="https://schemas.microsoft.com/windows/2006/08/wdp/scan"' in data
    assert b'"http:' not in data
    assert b">http://schemas.microsoft.com/windows/2006/08/wdp/scan/GetActiveJobsResponse<" in data


def test_odd_mtom_has_the_image_first(like: Begin, paper: list[bytes]) -> None:
    """`start` names the envelope; the boundary has no quotes; XOP is that of 2003."""
    _, client = like("odd-mtom")
    reply = client.retrieve(client.create())

    assert "boundary=wsscan-" in reply.type
    assert reply.data.index(paper[0]) < reply.data.index(b"<soap@wsscan>") < reply.data.index(b"/2003/12/xop/include")
    assert reply.data.endswith(b"--\r\n")


def test_inline_images_are_base64(like: Begin, paper: list[bytes]) -> None:
    """No multipart; the page is in ScanData, in pieces that fit together."""
    _, client = like("inline-images", pages=[paper[0] + bytes(100_001)])
    reply = client.retrieve(client.create())

    assert reply.type == "application/soap+xml; charset=utf-8"
    found = reply.text("s:Body/w:RetrieveImageResponse/w:ScanData")
    assert base64.b64decode(found, validate=True) == paper[0] + bytes(100_001)


def test_epson_refuses_all_elements_at_once(like: Begin) -> None:
    """Without DefaultScanTicket it answers."""
    _, client = like("epson-elements")

    assert client.elements("ScannerConfiguration", "DefaultScanTicket").fault == "InvalidArgs"
    assert client.elements("ScannerConfiguration", "ScannerStatus").fault == ""


def test_event_200_wants_a_soap_message(like: Begin) -> None:
    """202 without a body is not enough: the press fails."""
    scanner, client = like("event-200")
    client.subscribe(LABELS)

    assert scanner.press("Invoices").wait(PATIENCE) == "NotDelivered"


@pytest.mark.conformance("WSS-081")
@pytest.mark.parametrize("name", QUIRKS)
def test_each_row_is_played_by_a_test(name: str) -> None:
    """A test of this file gives it to `like`."""
    assert f'like("{name}"' in Path(__file__).read_text("utf-8")


def test_each_trait_belongs_to_a_row() -> None:
    """None is only in the code."""
    used = {one.name for row in QUIRKS.values() for one in fields(row.traits) if getattr(row.traits, one.name)}

    assert used == {one.name for one in fields(WsdTraits)}


@pytest.mark.parametrize(
    ("quirk", "model"), [("ricoh-mp201", "RICOH Aficio MP 201"), ("odd-names", "postscan simulated")]
)
def test_the_metadata_have_the_name_of_the_model(like: Begin, quirk: str, model: str) -> None:
    """Clients know some models by it; a quirk of any device has none."""
    scanner, client = like(quirk)
    reply = client.call(GET, "", url=scanner.url, to=scanner.uuid)

    assert reply.root.xpath("string(//*[local-name()='ModelName'])") == model


def test_quirks_add_up() -> None:
    """A scanner may have several."""
    traits = traits_of(["oki-mc362", "odd-names"])

    assert (traits.one_scan, traits.odd_names, traits.hangs) == (True, True, False)


def test_an_unknown_quirk_is_refused() -> None:
    """With the known ones."""
    with pytest.raises(InvalidArgument, match="one of kyocera-panel-only"):
        traits_of(["hp"])
