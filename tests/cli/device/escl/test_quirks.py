"""Each row of escl.md section 7 as the simulated scanner plays it, seen by a client of a few lines."""

from __future__ import annotations

import http.client
import io
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from escl_client import EsclTestClient, eventually, jpeg_page
from PIL import Image

from postscan.cli.device.escl.behaviour.misbehaviours import MISBEHAVIOURS, behaviour_of
from postscan.cli.device.escl.behaviour.quirks import QUIRKS
from postscan.cli.device.escl.machine import jpeg
from postscan.cli.device.escl.scanner import SimulatedEsclScanner
from postscan.core.errors import InvalidArgument

PAGES: Final = [jpeg_page(number) for number in range(3)]
DIGEST: Final = Path(__file__).parents[4] / "docs" / "protocol" / "escl.md"

ROWS: Final = {
    "Brother (all)": {"brother"},
    "Xerox B205/B215, WorkCentre 3345": {"xerox-b205", "xerox-3345"},
    "HP with `Server: HP_Compact_Server`, M630, M578": {"hp-compact-server", "hp-m630"},
    "Epson": {"epson"},
    "HP LaserJet M28w": {"hp-m28w"},
    "Canon iR2625/2630": {"canon-ir2625"},
    "Canon MF410": {"canon-mf410"},
    "HP Officejet 6600 and others of 2011": {"hp-officejet-6600"},
    "HP ADF, JPEG": {"hp-adf-dnl"},
    "HP Smart Tank 570": {"hp-smart-tank-570"},
    "HP 9012e, Brother L2750DW": {"hp-html"},
    "HP, many": {"hp-https"},
    "Ricoh SP C261SFNw": {"ricoh-c261"},
    "Kyocera M2030": {"kyocera-m2030"},
    "NAPS2 server": {"naps2", "naps2-no-images"},
    "AirSane": {"airsane"},
    "HP, some": {"hp-scan-disabled"},
}
"""The devices of escl.md section 7, and the quirks that play them."""

ELSEWHERE: Final = {"kyocera-m6526", "hp-deskjet-3520"}
"""Quirks of escl.md section 6."""


def playing(*quirks: str, source: str = "feeder", **options: float) -> SimulatedEsclScanner:
    """Start a scanner with these quirks."""
    return SimulatedEsclScanner(PAGES, source=source, quirks=quirks, page_seconds=options.get("page_seconds", 0))


@pytest.mark.conformance("ESCL-062")
def test_each_row_of_the_digest_has_its_quirk_and_each_quirk_its_test() -> None:
    """A row that is added to escl.md section 7 without one fails here."""
    section = DIGEST.read_text().partition("## 7. Quirks")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)

    assert rows[0] == "Device"
    assert set(rows[1:]) == set(ROWS)
    assert set().union(*ROWS.values()) | ELSEWHERE == set(QUIRKS)
    assert set(QUIRKS) == set(PLAYS)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    """The option is named."""
    with pytest.raises(InvalidArgument, match=r"--quirk.*kyocera-m2030"):
        behaviour_of(("lexmark",), ())
    with pytest.raises(InvalidArgument, match=r"--misbehave.*half-page"):
        behaviour_of((), ("curse",))


@pytest.mark.parametrize("name", [*QUIRKS, *MISBEHAVIOURS])
def test_each_name_differs_from_a_plain_scanner(name: str) -> None:
    """All switches exist; a row without one would play nothing."""
    quirks, misbehaviours = ((name,), ()) if name in QUIRKS else ((), (name,))

    assert behaviour_of(quirks, misbehaviours) != behaviour_of((), ())


@pytest.mark.conformance("ESCL-062")
@pytest.mark.parametrize("name", QUIRKS)
def test_quirk(name: str) -> None:
    """Of one model; see the function of that name."""
    PLAYS[name](name)


def brother(name: str) -> None:
    """The next page too soon: 404, the job goes on, and the page is there a little later."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert client.next(job).status == 200
        assert client.next(job).status == 404
        assert client.job_state(job)[0] == "Processing"
        assert client.status().texts("//scan:AdfState") == ["ScannerAdfLoaded"]
        time.sleep(0.2)  # half of the 0.3 s that a page takes
        assert client.next(job).data == PAGES[1]


def xerox_b205(name: str) -> None:
    """404 and 410 before each page; a Location without the end of its address; no job after a DELETE at the end."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        location = client.post().headers["location"]
        job = "/eSCL/ScanJobs/1"

        assert location == f"http://[fe80{job}"
        assert [client.next(job).status for _ in range(4)] == [404, 410, 200, 404]
        for _ in range(7):
            client.next(job)
        assert client.job_state(job)[0] == "Completed"
        client.call("DELETE", job)
        assert client.post("Platen").status == 503
        scanner.reboot()
        assert client.post("Platen").status == 201


def xerox_3345(name: str) -> None:
    """A jam is reported for an empty feeder."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        scanner.load([])

        assert client.status().texts("//scan:AdfState") == ["ScannerAdfJam"]
        scanner.load()
        client.status()
        assert [client.next(client.job()).status] == [410]


def hp_compact_server(name: str) -> None:
    """From another machine only `Host: localhost` may scan; all may look."""
    with SimulatedEsclScanner(PAGES, quirks=(name,), listen=(own_address(), 0)) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.call("GET", "ScannerCapabilities").headers["server"] == "HP_Compact_Server"
        assert client.post().status == 403
        assert client.post(Host="localhost").status == 201


def hp_m630(name: str) -> None:
    """It is Testing until it is warm; its Host has to be localhost as well."""
    with SimulatedEsclScanner(PAGES, quirks=(name,), listen=(own_address(), 0)) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.post().status == 403
        assert client.status().texts("//pwg:State") == ["Testing"]
        assert [client.post(Host="localhost").status for _ in range(3)] == [503, 503, 201]
        assert client.status().texts("//pwg:State") == ["Processing"]


def epson(name: str) -> None:
    """A Host without a port is refused."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.post(Host="127.0.0.1").status == 400
        assert client.post().status == 201


def hp_m28w(name: str) -> None:
    """20 answers 503 for a page of 600 dots per inch, none for one of 300."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        assert client.pages(client.job(dots=300)) == (PAGES, 404)
        scanner.load()
        job = client.job(dots=600)

        assert [client.next(job).status for _ in range(22)] == [503] * 20 + [200, 503]


def canon_ir2625(name: str) -> None:
    """600 is offered, and an image of 300 is sent."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        offered = client.call("GET", "ScannerCapabilities").texts("//scan:PlatenInputCaps//scan:XResolution")
        page = client.next(client.job("Platen", dots=600)).data

        assert offered == ["300", "600"]
        assert Image.open(io.BytesIO(page)).info["dpi"] == (300, 300)


def canon_mf410(name: str) -> None:
    """A feeder job needs a look at the status right before it."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.post().status == 409
        client.status()
        assert client.pages(client.job()) == (PAGES, 404)
        assert client.post().status == 409
        assert client.post("Platen").status == 201


def hp_officejet_6600(name: str) -> None:
    """Version 1.0."""
    with playing(name) as scanner:
        answer = EsclTestClient(scanner.url).call("GET", "ScannerCapabilities")

        assert answer.texts("/scan:ScannerCapabilities/pwg:Version") == ["1.0"]
        assert answer.texts("/scan:ScannerCapabilities/pwg:MakeAndModel") == ["HP Officejet 6600"]


def hp_adf_dnl(name: str) -> None:
    """The height in the head is too large; DNL has the true one, and all other bytes are those of the page."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        answer = client.next(client.job())
        data = bytearray(answer.data)
        at = jpeg.head(answer.data).frame

        assert answer.headers["transfer-encoding"] == "chunked"
        assert int.from_bytes(data[at : at + 2]) == 200
        data[at : at + 2] = (160).to_bytes(2)
        assert bytes(data).replace(b"\xff\xdc\0\4" + (160).to_bytes(2), b"") == PAGES[0]
        assert client.pages("/eSCL/ScanJobs/1")[1] == 404
        assert client.next(client.job("Platen")).data == PAGES[0]


def hp_smart_tank_570(name: str) -> None:
    """ScanImageInfo has the size of the page, and the name of another job."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        client.next(job)
        answer = client.call("GET", f"{job}/ScanImageInfo")

        assert answer.texts("//scan:ActualHeight") == ["160"]
        assert answer.texts("//pwg:JobUri") == ["/eSCL/ScanJobs/101"]


def hp_html(name: str) -> None:
    """A page of the web server."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)

        for resource in ("ScannerCapabilities", "ScannerStatus"):
            answer = client.call("GET", resource)
            assert answer.status == 200
            assert answer.data.startswith(b"<!DOCTYPE html>")


def hp_https(name: str) -> None:
    """Each request over HTTP is sent to HTTPS, where all is as usual."""
    with playing(name) as scanner:
        answer = EsclTestClient(scanner.url).call("GET", "ScannerCapabilities")
        client = EsclTestClient(scanner.secure_url)

        assert (answer.status, answer.headers["location"]) == (301, f"{scanner.secure_url}/ScannerCapabilities")
        assert urlsplit(client.post().headers["location"]).scheme == "https"
        assert client.pages("/eSCL/ScanJobs/1") == (PAGES, 404)


def ricoh_c261(name: str) -> None:
    """NextDocument is silent over HTTP, while DELETE is answered; over HTTPS it yields the page."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url, seconds=0.3)
        job = client.job()

        with pytest.raises(TimeoutError):
            client.next(job)
        assert client.call("DELETE", job).status == 200
        secure = EsclTestClient(scanner.secure_url)
        assert secure.pages(secure.job()) == (PAGES, 404)


def kyocera_m2030(name: str) -> None:
    """The job stays in progress after its last page, and keeps the device busy, until it is deleted."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert re.fullmatch(r"/eSCL/ScanJobs/urn:uuid:[0-9a-f-]{36}", job)
        assert client.pages(job) == (PAGES, 404)
        assert client.job_state(job) == ("Processing", "JobScanning")
        assert client.post("Platen").status == 503
        client.call("DELETE", job)
        assert client.job_state(job) == ("Completed", "JobCompletedSuccessfully")


def kyocera_m6526(name: str) -> None:
    """The head of 201 is whole, its body is missing."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        with pytest.raises(http.client.IncompleteRead):
            client.post()
        (job,) = scanner.jobs

        assert client.pages(f"/eSCL/ScanJobs/{job.name}") == (PAGES, 404)


def hp_deskjet_3520(name: str) -> None:
    """A host that no resolver has; the path is right."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        location = urlsplit(client.post().headers["location"])

        assert location.hostname != urlsplit(scanner.url).hostname
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(location.hostname, 80)
        assert client.pages(location.path) == (PAGES, 404)


def naps2(name: str) -> None:
    """503 with Retry-After before each page; the page has its number in Content-Location."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        answers = [client.next(job) for _ in range(4)]

        assert [one.status for one in answers] == [503, 200, 503, 200]
        assert answers[0].headers["retry-after"] == "1"
        assert answers[3].headers["content-location"] == f"{job}/NextDocument/2"


def naps2_no_images(name: str) -> None:
    """Completed, with no page at all."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert client.next(job).status == 404
        assert client.job_state(job) == ("Completed", "JobCompletedSuccessfully")
        assert client.status().texts("//pwg:ImagesCompleted") == ["0"]


def airsane(name: str) -> None:
    """409 at the end, a relative Location, Canceled after a DELETE of an ended job, 404 after a cancel."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)
        first = client.post().headers["location"]

        assert first == "/eSCL/ScanJobs/1"
        assert client.pages(first) == (PAGES, 409)
        assert client.job_state(first)[0] == "Completed"
        client.call("DELETE", first)
        assert client.job_state(first) == ("Canceled", "JobCanceledByUser")
        scanner.load()
        second = client.job()
        assert client.status().texts("//pwg:JobUri") == [first, second]
        client.next(second)
        scanner.cancel()
        assert client.next(second).status == 404
        assert client.job_state(second) == ("Canceled", "JobCanceledAtDevice")


def hp_scan_disabled(name: str) -> None:
    """Everything can be looked at, nothing scanned."""
    with playing(name) as scanner:
        client = EsclTestClient(scanner.url)

        assert client.status().status == 200
        assert client.post().status == 403


PLAYS: Final[dict[str, Callable[[str], None]]] = {
    play.__name__.replace("_", "-"): play
    for play in (
        *(brother, xerox_b205, xerox_3345, hp_compact_server, hp_m630, epson, hp_m28w, canon_ir2625, canon_mf410),
        *(hp_officejet_6600, hp_adf_dnl, hp_smart_tank_570, hp_html, hp_https, ricoh_c261, kyocera_m2030),
        *(kyocera_m6526, hp_deskjet_3520, naps2, naps2_no_images, airsane, hp_scan_disabled),
    )
}


# --- a cut -------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("ESCL-062")
@pytest.mark.parametrize("quirks", [(), ("hp-adf-dnl",)], ids=["length", "chunks"])
def test_a_page_can_be_cut_at_any_byte(quirks: tuple[str, ...]) -> None:
    """The client gets so many bytes, and knows from Content-Length or the missing last chunk that they are not all."""
    small = jpeg_page(1, 8, 8)
    whole = small if not quirks else jpeg.with_number_of_lines(small, 10)
    with SimulatedEsclScanner([small], quirks=quirks) as scanner:
        client = EsclTestClient(scanner.url)
        for at in range(len(whole)):
            scanner.cut(at)
            scanner.load()
            job = client.job()
            with pytest.raises(http.client.IncompleteRead) as caught:
                client.next(job)

            assert whole.startswith(caught.value.partial), at
            if not quirks:
                assert len(caught.value.partial) == at
            eventually(lambda: not scanner.jobs[-1].sending)
            assert scanner.jobs[-1].images == 0
            client.call("DELETE", job)


def test_a_cut_may_be_on_a_later_page() -> None:
    """The pages before are whole; so is the one behind, which the client may still ask for."""
    with SimulatedEsclScanner(PAGES, cut_at=100, cut_page=2) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()

        assert client.next(job).data == PAGES[0]
        with pytest.raises(http.client.IncompleteRead):
            client.next(job)
        eventually(lambda: not scanner.jobs[0].sending)
        assert scanner.jobs[0].images == 1


# --- helpers -----------------------------------------------------------------------------------------------------


def own_address() -> str:
    """Return an address of this machine that is not of loopback; `connect` of UDP sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def test_parallel_clients_are_answered_while_one_waits() -> None:
    """A page that is not scanned yet holds up no request for the status."""
    with playing(page_seconds=30) as scanner:
        client = EsclTestClient(scanner.url)
        job = client.job()
        waiting = threading.Thread(target=client.next, args=(job,), daemon=True)
        waiting.start()
        eventually(lambda: any(one.path.endswith("NextDocument") for one in scanner.requests))

        assert client.job_state(job)[0] == "Processing"
        client.call("DELETE", job)
        waiting.join(10)
        assert not waiting.is_alive()
