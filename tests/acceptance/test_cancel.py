"""Cancelling a job, as its device sees it: in every state, with filters that help and filters that do not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from acceptance.scanning import CANCELED, NO_SUCH_JOB, Scanner, Status, assert_legal, good, refusal
from acceptance.server import Server, digest, none_alive, running
from works import until


@pytest.fixture
def scanner(single: Server) -> Scanner:
    """A device in front of a server that runs one job at a time."""
    return Scanner(single)


def canceled(*filters: str, images: int = 1) -> Status:
    """Return the status of a job that ended by a cancel (ws-dsp.md section 8)."""
    return Status("Canceled", ("PostScanJobCanceled",), filters, (), images)


def test_a_job_that_is_being_scanned_is_canceled_at_once(single: Server, scanner: Scanner) -> None:
    """DSP-046, O-14, promise 1: its images are discarded."""
    token = scanner.create("copy", "copy")
    scanner.send(token, 1, 2)
    assert len(single.images(token)) == 2
    good(scanner.device.cancel(token))

    assert scanner.status(token) == canceled("Canceled", "Canceled", images=2)
    assert not [name for name in single.spool() if token in name]


def test_an_image_that_arrives_while_its_job_is_canceled_is_not_kept(single: Server, scanner: Scanner) -> None:
    """DSP-039, I5: its device hears that the job was cancelled."""
    token = scanner.create("copy")

    def cancelled_on_the_way() -> object:
        yield b"half"
        until(lambda: any(name.endswith(".part") for name in single.spool()))
        good(scanner.device.cancel(token))
        yield b"and the rest"

    fault = refusal(scanner.device.send_image(token, 1, cancelled_on_the_way()))

    assert (fault.subcode, fault.reason) == ("dsp:ServerErrorPostScanJobCanceled", CANCELED)
    assert scanner.status(token) == canceled("Canceled", images=0)
    assert not [name for name in single.spool() if token in name]


def test_a_job_that_waits_is_canceled_at_once(single: Server, scanner: Scanner) -> None:
    """DSP-046, promise 3: none of its filters ever starts."""
    first = scanner.start("sleep 60")
    single.works.await_trace(first, "sleep")
    second = scanner.start("copy")
    waiting = scanner.status(second).state
    good(scanner.device.cancel(second))
    status = scanner.status(second)
    good(scanner.device.cancel(first))
    scanner.ended(first)

    assert waiting == "Pending"
    assert status == canceled("Canceled")
    assert single.works.trace(second) == []
    assert not [name for name in single.spool() if second in name]


def test_a_running_filter_stops_and_what_was_delivered_stays(single: Server, scanner: Scanner) -> None:
    """DSP-047, DSP-048, promises 3 and 6, I14, I15: finished filters keep their state, the rest are Canceled."""
    token = scanner.create("copy", "sleep 60", "copy")
    images = scanner.send(token, 1, 2)
    good(scanner.device.end(token))
    single.works.await_trace(token, "sleep")
    before = {file.name: digest(file) for file in single.out.iterdir() if file.suffix == ".png"}
    good(scanner.device.cancel(token))
    seen = scanner.polled(token)

    assert_legal(seen)
    assert seen[-1] == canceled("CompletedSuccessfully", "Canceled", "Canceled", images=2)
    assert [line[0] for line in single.works.trace(token)] == ["copy", "sleep"]
    assert len(images) == 2
    assert len(before) >= 2
    assert before == {file.name: digest(file) for file in single.out.iterdir() if file.suffix == ".png"}


def test_the_next_job_runs_when_the_first_is_canceled(single: Server, scanner: Scanner) -> None:
    """F-R26: a cancel gives the slot back."""
    first = scanner.start("sleep 60")
    single.works.await_trace(first, "sleep")
    second = scanner.start("copy")
    good(scanner.device.cancel(first))

    assert scanner.ended(second).state == "Completed"
    assert scanner.ended(first).state == "Canceled"


def test_a_filter_that_swallows_the_cancel_delivers_nothing(single: Server, scanner: Scanner) -> None:
    """Promise 3, T-P7, I14: no output is granted after the stored cancel."""
    token = scanner.start("swallow")
    single.works.await_trace(token, "swallow")
    delivered = single.works.delivered()
    good(scanner.device.cancel(token))

    assert scanner.ended(token) == canceled("Canceled")
    assert single.works.delivered() == delivered


def test_a_deaf_filter_is_ended_with_its_tools(tmp_path: Path) -> None:
    """Promises 4 and 8, D22, T-P7: the answer does not wait for it; a second cancel is answered, too."""
    with running(tmp_path, {"running": {"term_seconds": 10}}) as server:
        scanner = Scanner(server)
        token = scanner.start("deaf", "copy")
        _, worker, tool, _ = server.works.await_trace(token, "deaf")
        good(scanner.device.cancel(token))
        asked = scanner.status(token)
        good(scanner.device.cancel(token))
        seen = scanner.polled(token)

        assert (asked.state, asked.reasons) == ("Terminating", ("PostScanJobCanceled",))
        assert asked.filters == ("Processing", "Pending")
        assert_legal([asked, *seen])
        assert seen[-1] == canceled("Canceled", "Canceled")
        until(lambda: none_alive([int(worker), int(tool)]), "for the filter and its tool to be gone")


ENDINGS: dict[str, Callable[[Scanner], str]] = {
    "Completed": lambda scanner: scanner.start("copy"),
    "Aborted": lambda scanner: scanner.start("fail"),
    "Canceled": lambda scanner: scanner.create("copy"),
}


@pytest.mark.parametrize(("state", "begin"), ENDINGS.items(), ids=ENDINGS)
def test_a_job_that_has_ended_is_not_found(scanner: Scanner, state: str, begin: Callable[[Scanner], str]) -> None:
    """DSP-049, O-13, I7: its end does not change any more."""
    token = begin(scanner)
    if state == "Canceled":
        good(scanner.device.cancel(token))
    before = scanner.ended(token)
    fault = refusal(scanner.device.cancel(token))

    assert before.state == state
    assert (fault.status, fault.subcode, fault.reason) == (400, "dsp:ClientErrorJobTokenNotFound", NO_SUCH_JOB)
    assert fault.detail == ("JobToken", token)
    assert scanner.status(token) == before


def test_a_token_that_nobody_issued_is_not_found(scanner: Scanner) -> None:
    """DSP-049: whatever it looks like."""
    for token in (str(uuid.uuid4()), "job 7", "%00"):
        assert refusal(scanner.device.cancel(token)).detail == ("JobToken", token)


def test_a_cancel_at_any_moment_has_one_outcome(server: Server) -> None:
    """Promise 5, I8, I11: Canceled if the cancel was acknowledged, and as if it had not been sent if not."""
    scanner = Scanner(server)

    def race(moment: int) -> tuple[int, str]:
        token = scanner.start("copy", "copy")
        time.sleep(moment * 0.01)
        answer = scanner.device.cancel(token)
        return answer.status, scanner.ended(token).state

    with ThreadPoolExecutor(4) as pool:
        outcomes = set(pool.map(race, range(24)))

    assert outcomes <= {(200, "Canceled"), (400, "Completed")}
    assert (200, "Canceled") in outcomes


def test_an_end_and_a_cancel_at_once_have_one_outcome(server: Server) -> None:
    """Promise 5, I11: a job whose End was in time is cancelled all the same."""
    scanner = Scanner(server)
    for _ in range(10):
        token = scanner.create("sleep 60")
        scanner.send(token)
        with ThreadPoolExecutor(2) as pool:
            ending, cancelling = pool.submit(scanner.device.end, token), pool.submit(scanner.device.cancel, token)

        good(cancelling.result())
        assert ending.result().status == 200 or refusal(ending.result()).reason == CANCELED
        assert scanner.ended(token) == canceled("Canceled")
