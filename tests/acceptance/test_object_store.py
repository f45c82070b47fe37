"""A server whose images lie in an object store: nothing is lost, and nothing is left."""

from __future__ import annotations

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import swift_store
from acceptance.scanning import Scanner, good, refusal
from acceptance.server import Server, digest, none_alive
from acceptance.test_restart import hashes
from held_answers import HeldAnswers
from works import until

from postscan.core.settings.spool import SpoolSettings
from postscan.core.spool.image_store.object_store.bucket import Bucket

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swift_store.Swift]:
    """An object store."""
    with swift_store.running(tmp_path_factory.mktemp("swift")) as started:
        yield started


@pytest.fixture
def relay(store: swift_store.Swift) -> Iterator[HeldAnswers]:
    """What lies between the server and the store."""
    with HeldAnswers(store.port) as relay:
        yield relay


@pytest.fixture
def server(tmp_path: Path, store: swift_store.Swift, relay: HeldAnswers) -> Iterator[Server]:
    """A server; the images of ended jobs are removed by the next sweep."""
    spool = store.settings(tmp_path.name, endpoint=f"http://127.0.0.1:{relay.port}")
    server = Server(tmp_path, {"spool": spool, "retention": {"image_hours": 1e-6}})
    try:
        until(lambda: starts(server), "for a store that answers in time")
        yield server
    finally:
        server.close()


def starts(server: Server) -> bool:
    """Start a server; return False if the store, on a busy machine, has not answered in time, which ends its start."""
    try:
        server.start()
    except AssertionError as error:
        if "does not answer" not in str(error):
            raise
        return False
    return True


@pytest.fixture
def bucket(tmp_path: Path, store: swift_store.Swift) -> Bucket:
    """The objects of the server, past the relay."""
    return Bucket(SpoolSettings(**store.settings(tmp_path.name)))


def kept(bucket: Bucket) -> list[str]:
    """Return the keys of all objects but the identifier of the spool."""
    return [one.key for one in bucket.objects() if one.key != "spool-id"]


def test_a_kill_between_the_bytes_and_the_row_loses_and_leaves_nothing(
    server: Server, bucket: Bucket, relay: HeldAnswers
) -> None:
    """F-R1, F-S7 to F-S9, I1, I4: the image has no row, was not acknowledged, and is put aside; the others go on."""
    scanner = Scanner(server)
    token = scanner.create("copy", "copy")
    images = scanner.send(token, 1, 2, size=300_000)
    relay.held.set()

    def send() -> None:
        with contextlib.suppress(http.client.HTTPException, OSError):
            scanner.device.send_image(token, 3, os.urandom(300_000))

    sending = threading.Thread(target=send)
    sending.start()
    until(lambda: len(kept(bucket)) == 3, "for the bytes of the third image to be stored")
    family = server.family()
    server.kill()
    until(lambda: none_alive(family), f"for {family} to be gone")
    sending.join(60)
    relay.held.clear()
    until(lambda: time.time() > max(one.changed for one in bucket.objects()), "for the second of the store to pass")
    server.start()

    again = Scanner(server)
    assert (again.status(token).state, again.status(token).images) == ("Creating", 2)
    assert [key.startswith("lost+found/") for key in sorted(kept(bucket))].count(True) == 1
    assert len(kept(bucket)) == 3
    images += again.send(token, 3)
    good(again.device.end(token))
    assert again.ended(token).state == "Completed"
    assert sorted(map(digest, server.out.glob("*.png"))) == sorted(hashes(images) * 2)
    for _ in range(2):  # the first records when the job ended
        server.works.core.retention.sweep()
    assert [key for key in kept(bucket) if not key.startswith("lost+found/")] == []
    assert list(server.home.rglob("*.part")) == []
    assert server.tracebacks() == []


def test_while_the_store_is_away_images_are_refused_at_once_and_jobs_wait(
    server: Server, bucket: Bucket, relay: HeldAnswers
) -> None:
    """ServerErrorTemporaryError; a cancel is not delayed; what was acknowledged is delivered afterwards."""
    scanner = Scanner(server)
    token, canceled = scanner.create("copy"), scanner.create("copy")
    images = scanner.send(token, 1)
    scanner.send(canceled, 1)
    relay.held.set()
    assert refusal(scanner.device.send_image(token, 2, b"page")).subcode == "dsp:ServerErrorTemporaryError"
    good(scanner.device.end(token))
    good(scanner.device.end(canceled))
    until(lambda: "job waits for this machine" in server.log())
    good(scanner.device.cancel(canceled))

    assert scanner.ended(canceled).state == "Canceled"
    assert scanner.status(token).state not in ("Completed", "Aborted")
    relay.held.clear()
    assert scanner.ended(token).state == "Completed"
    assert sorted(map(digest, server.out.glob("*.png"))) == hashes(images)


def test_an_image_that_was_changed_in_the_store_reaches_no_filter(server: Server, bucket: Bucket) -> None:
    """T-B1: that job alone is Aborted; and one whose object was deleted."""
    scanner = Scanner(server)
    changed, deleted, whole = (scanner.create("copy") for _ in range(3))
    for token in (changed, deleted, whole):
        scanner.send(token, 1)
    for one in list(bucket.objects(changed)):
        bucket.store(one.key, b"of another")
    bucket.delete([one.key for one in bucket.objects(deleted)])
    for token in (changed, deleted, whole):
        good(scanner.device.end(token))

    ends = {token: scanner.ended(token) for token in (changed, deleted, whole)}
    assert [ends[token].state for token in (changed, deleted, whole)] == ["Aborted", "Aborted", "Completed"]
    assert ends[changed].reasons == ("PostScanJobProcessingFailed",)
    assert len(list(server.out.glob("*.png"))) == 1
