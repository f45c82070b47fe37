"""Each misbehaviour of the simulated eSCL scanner, seen by a client of a few lines."""

from __future__ import annotations

import gzip
import http.client
import threading
import time
import zlib
from collections.abc import Callable
from typing import Final

import pytest
from escl_client import EsclTestClient, eventually, jpeg_page
from lxml import etree

from postscan.cli.device.escl.behaviour.misbehaviours import MISBEHAVIOURS
from postscan.cli.device.escl.scanner import NOWHERE, SimulatedEsclScanner

PAGES: Final = [jpeg_page(number) for number in range(3)]


def playing(name: str, pause: float = 0.3) -> SimulatedEsclScanner:
    """Start a scanner that misbehaves so."""
    return SimulatedEsclScanner(PAGES, misbehaviours=(name,), pause=pause, foreign_page=jpeg_page(99))


def test_each_misbehaviour_has_its_test() -> None:
    """One that is added without fails here."""
    assert set(MISBEHAVIOURS) == set(PLAYS)


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_misbehaviour(name: str) -> None:
    """See the function of that name."""
    with playing(name) as scanner:
        PLAYS[name](scanner, EsclTestClient(scanner.url))


def half_page(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The connection ends before Content-Length."""
    with pytest.raises(http.client.IncompleteRead) as caught:
        client.next(client.job())
    assert caught.value.partial == PAGES[0][: len(PAGES[0]) // 2]


def short_image(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The answer is whole, the image is not."""
    assert client.next(client.job()).data == PAGES[0][: len(PAGES[0]) // 2]


def stall(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """Half of the page comes, then nothing, and the connection stays open."""
    connection = client.connection()
    job = client.job()
    connection.request("GET", f"{job}/NextDocument")
    answer = connection.getresponse()
    half = len(PAGES[0]) // 2

    assert answer.read(half) == PAGES[0][:half]
    assert connection.sock is not None
    connection.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        answer.read(1)
    connection.close()


def hang(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """NextDocument is silent; all else is answered."""
    job = client.job()
    with pytest.raises(TimeoutError):
        EsclTestClient(client.url, seconds=0.3).next(job)
    assert client.call("DELETE", job).status == 200


def late(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The page comes after the pause, whole."""
    job = client.job()
    began = time.monotonic()

    assert client.next(job).data == PAGES[0]
    assert 0.3 <= time.monotonic() - began < 10


def slow(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The page takes the pause, from its first byte to its last."""
    connection = client.connection()
    job = client.job()
    connection.request("GET", f"{job}/NextDocument")
    answer = connection.getresponse()
    data = answer.read(1)
    began = time.monotonic()
    data += answer.read()
    connection.close()

    assert data == PAGES[0]
    assert time.monotonic() - began > 0.15


def repeat_page(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """One page too many, which the job counts as one: nothing in the protocol tells it from a page."""
    job = client.job()

    assert client.pages(job) == ([*PAGES, PAGES[-1]], 404)
    assert client.status().texts("//pwg:ImagesCompleted") == ["4"]
    assert client.job_state(job) == ("Completed", "JobCompletedSuccessfully")


def other_job(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The image is another one, and Content-Location says of which job."""
    answer = client.next(client.job())

    assert answer.data == jpeg_page(99)
    assert answer.headers["content-location"] == "/eSCL/ScanJobs/101/NextDocument/1"


def endless_pages(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """There is always one more."""
    assert len(client.pages(client.job(), at_most=50)[0]) == 50


def endless_page(scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """Far more than the page, and no end; the scanner stops as soon as the client closes."""
    connection = client.connection()
    job = client.job()
    connection.request("GET", f"{job}/NextDocument")
    answer = connection.getresponse()

    assert len(answer.read(5_000_000)) == 5_000_000
    connection.close()
    eventually(lambda: not scanner.jobs[0].sending)


def vanish(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """Nothing listens any more after half of the first page."""
    job = client.job()
    with pytest.raises(http.client.IncompleteRead):
        client.next(job)

    def refused() -> bool:
        try:
            client.status()
        except OSError:
            return True
        return False

    eventually(refused)


def deaf(scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """DELETE takes effect, and is never answered."""
    job = client.job()
    with pytest.raises(TimeoutError):
        EsclTestClient(client.url, seconds=0.3).call("DELETE", job)
    assert scanner.jobs[0].state == "Canceled"


def busy(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """503 for each job."""
    assert [client.post().status for _ in range(3)] == [503] * 3
    assert client.next("/eSCL/ScanJobs/1").status == 503


def forget(scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """After a cancel at the panel the job is 404, and no longer in the list."""
    job = client.job()
    client.next(job)
    scanner.cancel()

    assert client.next(job).status == 404
    assert client.status().texts("//pwg:JobUri") == []


def html(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """A page of the web server in place of the capabilities."""
    assert client.call("GET", "ScannerCapabilities").headers["content-type"] == "text/html"


def redirect(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """To a host that is not the scanner."""
    answer = client.call("GET", "ScannerCapabilities")

    assert (answer.status, answer.headers["location"]) == (302, f"{NOWHERE}/ScannerCapabilities")
    assert (client.post().status, client.post().headers["location"]) == (307, f"{NOWHERE}/ScanJobs")


def foreign_location(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The job is said to be on another host, and is on the scanner."""
    assert client.post().headers["location"] == f"{NOWHERE}/ScanJobs/1"
    assert client.pages("/eSCL/ScanJobs/1") == (PAGES, 404)


def wrong_type(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """Of XML and of images."""
    assert client.status().headers["content-type"] == "application/octet-stream"
    assert client.next(client.job()).headers["content-type"] == "text/html"


def bomb(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """A small document that a parser gives up, since it expands to ten thousand million bytes."""
    data = client.call("GET", "ScannerCapabilities").data

    assert len(data) < 2000
    assert b"SYSTEM" in data
    with pytest.raises(etree.XMLSyntaxError, match=r"amplification|entity"):
        etree.fromstring(data)


def huge(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """More than anybody should read."""
    connection = client.connection()
    connection.request("GET", "/eSCL/ScannerCapabilities")

    assert len(connection.getresponse().read(3_000_000)) == 3_000_000
    connection.close()


def gzip_bomb(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """A few hundred kilobytes that expand to 256 MiB; here only to the first ten."""
    answer = client.call("GET", "ScannerCapabilities")

    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.data) < 1_000_000
    assert len(zlib.decompressobj(31).decompress(answer.data, 10_000_000)) == 10_000_000


def chunked(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """Documents and pages have no Content-Length, and are what they were."""
    answer = client.next(client.job())

    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.data == PAGES[0]
    assert client.status().headers["transfer-encoding"] == "chunked"
    assert client.status().texts("//pwg:JobState") == ["Processing"]


def gzip_(_scanner: SimulatedEsclScanner, client: EsclTestClient) -> None:
    """The client did not ask for it."""
    answer = client.status()

    assert answer.headers["content-encoding"] == "gzip"
    assert etree.fromstring(gzip.decompress(answer.data)).tag.endswith("ScannerStatus")


PLAYS: Final[dict[str, Callable[[SimulatedEsclScanner, EsclTestClient], None]]] = {
    play.__name__.rstrip("_").replace("_", "-"): play
    for play in (
        *(half_page, short_image, stall, hang, late, slow, repeat_page, other_job, endless_pages, endless_page),
        *(vanish, deaf, busy, forget, html, redirect, foreign_location, wrong_type, bomb, huge, gzip_bomb),
        *(chunked, gzip_),
    )
}


def test_a_stop_ends_all_that_hangs() -> None:
    """Requests that are never answered end with the scanner."""
    scanner = playing("hang").start()
    client = EsclTestClient(scanner.url)
    job = client.job()
    ends: list[Exception] = []

    def wait() -> None:
        try:
            client.next(job)
        except (OSError, http.client.HTTPException) as error:
            ends.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for one in threads:
        one.start()
    eventually(lambda: sum(one.path.endswith("NextDocument") for one in scanner.requests) == 3)
    scanner.stop()
    for one in threads:
        one.join(5)

    assert len(ends) == 3
    assert not any(isinstance(one, TimeoutError) for one in ends)
