"""When a scan has ended, and how: ESCL-025 to ESCL-032."""

from __future__ import annotations

import time

import pytest
from escl_device import EsclDevice, Exchange, Script, status
from escl_inlet import StartEscl
from works import until


def emptied(device: EsclDevice, code: int, state: str = "Completed", reason: str = "", feeder: str = "") -> None:
    """Let NextDocument be answered with this status once the first page was sent, and the job be in this state."""

    def end(exchange: Exchange) -> None:
        job = device.jobs[-1]
        job.state, job.reasons = state, (reason,) if reason else ()
        device.feeder = feeder or "ScannerAdfEmpty"
        exchange.answer(code)

    device.on("NextDocument", device.next, end)


# --- a good end ------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("ESCL-025")
@pytest.mark.parametrize("code", [404, 409])
@pytest.mark.parametrize("state", ["Completed", "Processing"])
def test_a_feeder_ends_with_404_or_409(device: EsclDevice, start: StartEscl, code: int, state: str) -> None:
    """AirSane ends each scan of a feeder with 409; some devices list the job as Processing until it is deleted."""
    emptied(device, code, state)
    job = start().scan()

    assert (job.state, len(job.pages)) == ("Pending", 1)


@pytest.mark.conformance("ESCL-025")
def test_no_second_page_of_the_platen_is_asked_for(device: EsclDevice, start: StartEscl) -> None:
    """A device may move its lamp for it."""
    start(source="platen").scan()

    assert len(device.asked("NextDocument")) == 1


@pytest.mark.conformance("ESCL-030")
@pytest.mark.parametrize("newest_first", [False, True])
def test_our_job_is_found_wherever_it_stands_in_the_list(
    device: EsclDevice, start: StartEscl, pages: list[bytes], newest_first: bool
) -> None:
    """An older job of another client was cancelled; that says nothing about ours."""
    device.newest_first = newest_first
    inlet = start()
    inlet.scan()
    device.jobs[0].state, device.jobs[0].reasons = "Canceled", ("JobCanceledByUser",)
    device.load(*pages)

    assert inlet.scan().state == "Pending"


@pytest.mark.conformance("ESCL-030")
def test_the_list_is_read_before_our_own_delete(device: EsclDevice, start: StartEscl) -> None:
    """AirSane turns a job into a cancelled one by it."""
    start().scan()
    until(lambda: device.asked("DELETE"))

    last_status = device.asked("ScannerStatus")[-1].at
    assert device.asked("NextDocument")[-1].at < last_status < device.asked("DELETE")[0].at


def test_a_job_that_is_not_listed_any_more_has_ended_well_behind_its_last_page(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """The feeder is empty then."""
    listed = device.status

    def unlisted(exchange: Exchange) -> None:
        head, _, rest = listed().partition(b"<scan:Jobs>")
        exchange.answer(200, head + b"<scan:Jobs>" + rest[rest.index(b"</scan:Jobs>") :])

    inlet = start()
    device.on("ScannerStatus", unlisted, always=True)

    assert inlet.scan().pages == pages


@pytest.mark.conformance("ESCL-031")
@pytest.mark.parametrize("code", [200, 204, 404, 500])
def test_the_answer_to_the_delete_behind_a_good_end_does_not_matter(
    device: EsclDevice, start: StartEscl, code: int
) -> None:
    """The job is stored."""
    device.on("DELETE", status(code))
    inlet = start()
    job = inlet.scan()
    until(lambda: inlet.logged("stored"))

    assert job.state == "Pending"
    assert len(device.asked("DELETE")) == 1


@pytest.mark.conformance("ESCL-031")
def test_a_device_that_must_not_get_a_delete_gets_none(device: EsclDevice, start: StartEscl) -> None:
    """Xerox B205."""
    inlet = start(quirks=["no-delete"])
    inlet.scan()
    until(lambda: inlet.logged("stored"))

    assert not device.asked("DELETE")


# --- no good end -----------------------------------------------------------------------------------------------------


@pytest.mark.conformance("ESCL-030", "ESCL-041")
@pytest.mark.parametrize("code", [404, 409])
@pytest.mark.parametrize("reason", ["JobCanceledByUser", "JobCanceledAtDevice", "JobCanceledByOperator", ""])
def test_a_cancel_at_the_device_is_no_end_whatever_the_status_is(
    device: EsclDevice, start: StartEscl, code: int, reason: str
) -> None:
    """AirSane answers 404 after a cancel."""
    emptied(device, code, "Canceled", reason)
    job = start().scan()

    assert job.state == "Canceled"
    assert "cancelled at the device" in job.reason


@pytest.mark.conformance("ESCL-041")
def test_410_is_a_cancel_at_the_device(device: EsclDevice, start: StartEscl) -> None:
    """Without a look at the list."""
    emptied(device, 410, "Processing")

    assert start().scan().state == "Canceled"


@pytest.mark.conformance("ESCL-041")
def test_a_cancel_behind_the_page_of_the_platen_is_seen_before_the_job_ends(
    device: EsclDevice, start: StartEscl
) -> None:
    """The page is whole, and the list says Canceled."""

    def cancelled(exchange: Exchange) -> None:
        device.next(exchange)
        device.jobs[0].state, device.jobs[0].reasons = "Canceled", ("JobCanceledAtDevice",)

    device.on("NextDocument", cancelled)

    assert start(source="platen").scan().state == "Canceled"


def test_paper_that_is_left_in_the_feeder_is_no_good_end(device: EsclDevice, start: StartEscl) -> None:
    """404, while the list says Processing and the feeder is loaded: pages would be missing."""
    emptied(device, 404, "Processing", feeder="ScannerAdfLoaded")
    job = start().scan()

    assert job.state == "Aborted"
    assert "paper in its feeder" in job.reason


@pytest.mark.parametrize("state", ["Aborted", "Processing"])
def test_a_jam_in_the_middle_fails_the_job_by_its_name(device: EsclDevice, start: StartEscl, state: str) -> None:
    """The whole pages stay in the spool."""
    emptied(device, 409, state, "AbortedBySystem" if state == "Aborted" else "", feeder="ScannerAdfJam")
    job = start().scan()

    assert job.state == "Aborted"
    assert "jammed" in job.reason
    assert len(job.pages) == 1
    until(lambda: device.asked("DELETE"))


def test_a_scan_of_no_page_is_not_stored(device: EsclDevice, start: StartEscl) -> None:
    """NAPS2 has served a job that was Completed with 0 images."""

    def none(exchange: Exchange) -> None:
        device.jobs[0].state, device.jobs[0].reasons = "Completed", ("JobCompletedSuccessfully",)
        exchange.answer(404)

    device.on("NextDocument", none)
    job = start().scan()

    assert job.state == "Aborted"
    assert "without a page" in job.reason


def test_a_feeder_that_turns_out_to_be_empty_cancels_the_job_by_that_name(device: EsclDevice, start: StartEscl) -> None:
    """ScanJobs was answered with 201, and NextDocument with 409."""

    def empty(exchange: Exchange) -> None:
        device.feeder = "ScannerAdfEmpty"
        exchange.answer(409)

    device.on("NextDocument", empty)
    job = start().scan()

    assert job.state == "Canceled"
    assert "empty" in job.reason
    until(lambda: device.asked("DELETE"))


@pytest.mark.parametrize("code", [400, 401, 500, 302])
def test_another_status_fails_the_job(device: EsclDevice, start: StartEscl, code: int) -> None:
    """By its number."""
    device.on("NextDocument", device.next, status(code))
    job = start().scan()

    assert job.state == "Aborted"
    assert str(code) in job.reason


def test_an_endless_feeder_is_ended(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """After the most pages that the settings allow."""
    device.on("NextDocument", lambda one: one.answer(200, pages[0], "image/jpeg"), always=True)
    job = start(most_pages=5).scan()

    assert job.state == "Aborted"
    assert len(job.pages) == 5


def test_a_page_with_the_bytes_of_the_one_before_counts_and_is_noted(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """Blank sides are equal; a page too much is seen, and a page too little is not."""
    device.pages = [pages[0], pages[0], pages[1]]
    inlet = start()

    assert inlet.scan().pages == [pages[0], pages[0], pages[1]]
    assert [one.message for one in inlet.server.log].count(
        "page 2 of the device has the bytes of the page before it"
    ) == 1


def test_a_page_above_the_most_bytes_is_ended(device: EsclDevice, start: StartEscl) -> None:
    """While it comes."""
    job = start(most_bytes=100).scan()

    assert job.state == "Aborted"
    assert "more than 100 bytes" in job.reason


@pytest.mark.parametrize("kind", ["text/html", "image/jpeg", ""])
def test_a_web_page_is_no_page(device: EsclDevice, start: StartEscl, kind: str) -> None:
    """Although it came with 200 and its whole length."""
    device.on("NextDocument", lambda one: one.answer(200, b"<html>Please log in</html>", kind))
    job = start().scan()

    assert (job.state, job.pages) == ("Aborted", [])
    assert "Please log in" in job.reason


# --- not ready -------------------------------------------------------------------------------------------------------


@pytest.mark.conformance("ESCL-026")
def test_a_page_that_is_not_ready_is_asked_for_again(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """After the seconds of Retry-After, or one."""
    device.on("NextDocument", status(503, Retry_After="0"), status(503), device.next, status(503, Retry_After="2"))
    job = start().scan()
    times = [one.at for one in device.asked("NextDocument")]

    assert job.pages == pages
    assert times[1] - times[0] < 0.9
    assert 0.9 < times[2] - times[1] < 1.9
    assert times[4] - times[3] > 1.9


@pytest.mark.conformance("ESCL-026")
def test_a_page_is_asked_for_thirty_times_and_no_more(device: EsclDevice, start: StartEscl) -> None:
    """Then the job fails, and the device is told."""
    device.on("NextDocument", status(503, Retry_After="0"), always=True)
    job = start().scan()

    assert job.state == "Aborted"
    assert len(device.asked("NextDocument")) == 30
    until(lambda: device.asked("DELETE"))


@pytest.mark.conformance("ESCL-026")
def test_a_jam_ends_the_wait_for_a_page(device: EsclDevice, start: StartEscl) -> None:
    """Nothing waits thirty times for paper that does not move."""

    def jam(exchange: Exchange) -> None:
        device.feeder = "ScannerAdfJam"
        exchange.answer(503, Retry_After="0")

    device.on("NextDocument", device.next, jam)
    job = start().scan()

    assert "jammed" in job.reason
    assert len(device.asked("NextDocument")) == 2


@pytest.mark.conformance("ESCL-026")
@pytest.mark.parametrize("code", [404, 410])
def test_some_devices_say_404_or_410_for_not_ready(
    device: EsclDevice, start: StartEscl, pages: list[bytes], code: int
) -> None:
    """Xerox B205 and others; whether the scan has ended is then said by the list alone."""
    not_ready = status(code, Retry_After="0")
    device.on("NextDocument", not_ready, device.next, not_ready, not_ready)

    assert start(quirks=["not-ready-is-404"]).scan().pages == pages


def test_a_device_that_asks_for_years_is_waited_for_thirty_seconds() -> None:
    """A lying Retry-After holds no scan."""
    from postscan.plugins.sources.escl.device.session import retry_after

    assert retry_after({"retry-after": "999999999"}) == 30.0
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 1.0
    assert retry_after({}) == 1.0


@pytest.mark.conformance("ESCL-027")
def test_a_pause_stands_before_the_next_page_of_some_devices(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """Brother: half the time of the page before, at most a second; what is asked for earlier is answered with 404."""
    sent: list[float] = []

    def slow(exchange: Exchange) -> None:
        if sent and time.monotonic() < sent[-1] + 0.1:
            exchange.answer(404)
            return
        time.sleep(0.3)  # the device scans
        device.next(exchange)
        sent.append(time.monotonic())

    device.on("NextDocument", slow, always=True)

    assert start(quirks=["pause-between-pages"]).scan().pages == pages


# --- pages that break off --------------------------------------------------------------------------------------------


def cut_page(page: bytes, size: int, *, chunked: bool, reset: bool = False) -> Script:
    """Return a script that sends a part of a page and closes the connection."""

    def cut(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
        if chunked:
            exchange.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (size, page[:size]))
        else:
            exchange.raw(head + b"Content-Length: %d\r\n\r\n" % len(page) + page[:size])
        exchange.cut(reset=reset)

    return cut


@pytest.mark.conformance("ESCL-029")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("missing", [1, 200])
def test_a_page_that_breaks_off_fails_the_job(
    device: EsclDevice, start: StartEscl, pages: list[bytes], chunked: bool, reset: bool, missing: int
) -> None:
    """Also one whose content is whole, if the last chunk is missing; the page before it stays for an administrator."""
    page = pages[1] + b"\0" * missing  # its image ends before the cut
    device.on("NextDocument", device.next, cut_page(page, len(page) - missing, chunked=chunked, reset=reset))
    job = start().scan()

    assert job.state == "Aborted"
    assert job.pages == pages[:1]
    assert "PageLost" in job.reason
    until(lambda: device.asked("DELETE"))


@pytest.mark.conformance("ESCL-041")
@pytest.mark.parametrize("end", ["page", "status"])
def test_a_connection_that_ends_for_a_cancel_at_the_device_is_a_cancel(
    device: EsclDevice, start: StartEscl, pages: list[bytes], end: str
) -> None:
    """The list says so; without it the job would be aborted."""

    def cancelled(exchange: Exchange) -> None:
        device.jobs[0].state, device.jobs[0].reasons = "Canceled", ("JobCanceledAtDevice",)
        if end == "page":
            cut_page(pages[1], 100, chunked=False)(exchange)
        else:
            exchange.answer(500)

    device.on("NextDocument", device.next, cancelled)
    job = start().scan()

    assert job.state == "Canceled"
    assert "cancelled at the device" in job.reason


@pytest.mark.conformance("ESCL-029")
def test_a_page_is_not_fetched_again(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """Whether a second GET gives the same page, the next one or none is not defined."""
    device.on("NextDocument", cut_page(pages[0], 100, chunked=False))
    start().scan()

    assert len(device.asked("NextDocument")) == 1


def test_a_page_of_no_byte_is_lost(device: EsclDevice, start: StartEscl) -> None:
    """Content-Length 0 is no image."""
    device.on("NextDocument", lambda one: one.answer(200, b"", "image/jpeg"))

    assert start().scan().state == "Aborted"


def test_a_page_that_is_cut_inside_and_has_its_whole_length_is_refused(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """The server looks into it."""
    device.on("NextDocument", lambda one: one.answer(200, pages[0][:-2], "image/jpeg"))
    job = start().scan()

    assert (job.state, job.pages) == ("Aborted", [])
    until(lambda: device.asked("DELETE"))


@pytest.mark.conformance("ESCL-032")
def test_silence_inside_a_page_ends_it(device: EsclDevice, start: StartEscl, pages: list[bytes]) -> None:
    """After silence_seconds, which are 60 if nothing else is set."""
    from postscan.plugins.sources.escl.settings import Settings

    def fall_silent(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n" + pages[0][:50])
        exchange.handler.rfile.read(1)  # until the client closes the connection

    device.on("NextDocument", fall_silent)
    inlet = start(silence_seconds=0.4)
    began = time.monotonic()
    job = inlet.scan()

    assert job.state == "Aborted"
    assert time.monotonic() - began < 5
    assert Settings().silence_seconds == 60.0


@pytest.mark.conformance("ESCL-032")
def test_a_page_may_take_longer_than_the_silence_while_bytes_come(
    device: EsclDevice, start: StartEscl, pages: list[bytes]
) -> None:
    """A slow device is no dead one."""
    began = time.monotonic()

    def drip(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(pages[0]))
        step = -(-len(pages[0]) // 8)
        for begin in range(0, len(pages[0]), step):
            exchange.raw(pages[0][begin : begin + step])
            time.sleep(0.15)
        device.jobs[0].state = "Completed"

    device.on("NextDocument", drip)

    assert start(source="platen", silence_seconds=0.6).scan().pages == pages[:1]
    assert time.monotonic() - began > 0.9


def test_a_head_that_never_ends_is_given_up(device: EsclDevice, start: StartEscl) -> None:
    """One byte before each silence would end: the head of a page has the time of one silence in all."""

    def drip(exchange: Exchange) -> None:
        exchange.raw(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(400):
            exchange.raw(b"x")
            time.sleep(0.02)

    device.on("NextDocument", drip)
    inlet = start(silence_seconds=0.5)
    began = time.monotonic()

    assert inlet.scan().state == "Aborted"
    assert time.monotonic() - began < 4
