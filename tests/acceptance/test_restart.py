"""A server that is killed, and the next one on the same data: what was acknowledged is there, and goes on."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.rawhttp import connected
from acceptance.scanning import Scanner, good, refusal
from acceptance.server import Server, digest, none_alive, running
from works import until


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own; a filter that ignores SIGTERM keeps its job Terminating for a minute."""
    with running(tmp_path, {"running": {"term_seconds": 60}}) as server:
        yield server


def hashes(images: list[bytes]) -> list[str]:
    return sorted(hashlib.sha256(image).hexdigest() for image in images)


def killed_and_started_again(server: Server) -> Scanner:
    """Kill -9, see that nothing of the server is left, and start the next one; return a device in front of it."""
    family = server.family()
    server.kill()
    until(lambda: none_alive(family), f"for {family} to be gone")
    server.start()
    return Scanner(server)


@pytest.mark.conformance("DSP-089", "DSP-090")
def test_acknowledged_images_survive_and_the_job_goes_on(mortal: Server) -> None:
    """O-29, I1, I4, F-R1: the image that was on its way is gone, the others are there. No client has subscribed."""
    scanner = Scanner(mortal)
    token = scanner.create("copy")
    images = scanner.send(token, 1, 2, size=300_000)
    kind, parts = scanner.device.package(token, 3, os.urandom(1 << 20))
    package = b"".join(parts)
    with connected(mortal.url) as line:
        line.send(line.head(f"Content-Length: {len(package)}", content_type=kind) + package[: 1 << 19])
        until(lambda: any(name.endswith(".part") for name in mortal.spool()))
        again = killed_and_started_again(mortal)

    assert mortal.images(token) == hashes(images)
    assert again.status(token).state == "Creating"
    images += again.send(token, 3)
    good(again.device.end(token))
    end = again.ended(token)
    assert (end.state, end.images) == ("Completed", 3)
    assert sorted(map(digest, mortal.out.glob("*.png"))) == hashes(images)


def test_a_filter_that_was_running_runs_again(mortal: Server) -> None:
    """O-29, F-R4, I20: those that had ended do not; nothing is delivered twice, and no process is left."""
    scanner = Scanner(mortal)
    token = scanner.create("copy", "sleep until woken", "copy")
    images = scanner.send(token, 1, 2)
    good(scanner.device.end(token))
    mortal.works.await_trace(token, "sleep")
    again = killed_and_started_again(mortal)
    mortal.works.wake(token)
    end = again.ended(token)

    assert end.state == "Completed"
    assert end.filters == ("CompletedSuccessfully",) * 3
    assert [line[0] for line in mortal.works.trace(token)] == ["copy", "sleep", "sleep", "slept", "copy"]
    assert sorted(map(digest, mortal.out.glob("*.png"))) == sorted(hashes(images) * 2)


def test_a_deaf_filter_and_its_tool_do_not_outlive_the_server(mortal: Server) -> None:
    """Promise 4, T-P7: although it ignores SIGTERM, and although nobody is left to kill it."""
    scanner = Scanner(mortal)
    token = scanner.start("deaf")
    _, worker, tool, _ = mortal.works.await_trace(token, "deaf")
    family = mortal.family()
    mortal.kill()

    assert {int(worker), int(tool)} <= set(family)
    until(lambda: none_alive(family), f"for {family} to be gone")


def test_a_cancel_that_was_acknowledged_survives(mortal: Server) -> None:
    """Promise 1, F-R23, I11: the job ends Canceled, and none of its filters starts again."""
    scanner = Scanner(mortal)
    token = scanner.start("deaf", "copy")
    mortal.works.await_trace(token, "deaf")
    good(scanner.device.cancel(token))
    before = scanner.status(token)
    again = killed_and_started_again(mortal)
    end = again.ended(token)

    assert before.state == "Terminating"
    assert (end.state, end.reasons) == ("Canceled", ("PostScanJobCanceled",))
    assert end.filters == ("Canceled", "Canceled")
    assert [line[0] for line in mortal.works.trace(token)] == ["deaf"]
    assert refusal(again.device.cancel(token)).subcode == "dsp:ClientErrorJobTokenNotFound"


@pytest.mark.conformance("DSP-031", "DSP-090")
def test_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(mortal: Server) -> None:
    """DSP-031, DSP-090, I1, I2, I4, F-R1: under load; what was not acknowledged is there whole, or not at all."""
    acknowledged: dict[str, dict[int, bytes]] = defaultdict(dict)
    sent: dict[str, set[str]] = defaultdict(set)

    def scan(scanner: Scanner) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for number in range(1, 1000):
                token, image = tokens[scanner], os.urandom(50_000)
                sent[token].add(hashlib.sha256(image).hexdigest())
                good(scanner.device.send_image(token, number, image))
                acknowledged[token][number] = image

    for seconds in (0.3, 0.8):
        tokens = {scanner: scanner.create("copy") for scanner in (Scanner(mortal), Scanner(mortal), Scanner(mortal))}
        threads = [threading.Thread(target=scan, args=(scanner,)) for scanner in tokens]
        for thread in threads:
            thread.start()
        until(lambda: any(list(acknowledged.values())), "for an image to be acknowledged")
        time.sleep(seconds)
        killed_and_started_again(mortal)
        for thread in threads:
            thread.join()

    again = Scanner(mortal)
    for token, images in acknowledged.items():
        stored = mortal.images(token)
        assert set(hashes([*images.values()])) <= set(stored) <= sent[token]
        assert again.status(token).images in (len(images), len(images) + 1)
        assert len(stored) >= again.status(token).images
    assert not [name for name in mortal.spool() if name.endswith(".part")]
    assert acknowledged


def test_a_server_that_is_asked_to_stop_puts_its_jobs_down(mortal: Server) -> None:
    """F-R24, O-29: in order, with exit code 0; and the next one takes them up."""
    scanner = Scanner(mortal)
    token = scanner.start("sleep until woken", "copy")
    mortal.works.await_trace(token, "sleep")
    family = mortal.family()
    code = mortal.stop()
    until(lambda: none_alive(family), f"for {family} to be gone")
    mortal.start()
    mortal.works.wake(token)

    assert code == 0
    assert Scanner(mortal).ended(token).state == "Completed"
    assert mortal.tracebacks() == []
