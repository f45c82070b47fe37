"""What the engine may expect of a store of images: one body of tests for all adapters."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import swift_store

from postscan.core.clock import SystemClock
from postscan.core.errors import ImageDamaged, InvalidArgument, SpoolAway
from postscan.core.model.job import JobDocument, JobToken
from postscan.core.settings import Settings
from postscan.core.spool.image_store.object_store.bucket import LOOK_SECONDS, QUICK_SECONDS
from postscan.core.spool.image_store.opening import open_spool
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.core.spool.job_log import JobLogWriter
from postscan.core.spool.pictures import PictureKey, StoredPicture

LARGE = (16 << 20) + 12_345
"""Bytes of an image that is sent to an object store in parts."""

Make = Callable[..., SpoolStore]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[swift_store.Swift]:
    """An object store that all tests of this file use, each with a prefix of its own."""
    with swift_store.running(tmp_path_factory.mktemp("swift")) as started:
        yield started


@pytest.fixture(params=["folder", "shared folder", pytest.param("s3", marks=pytest.mark.services)])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Return what opens the spool as one machine after the other does; the settings of `[spool]` may be others."""
    spool: dict[str, str] = {}
    if request.param == "shared folder":
        spool = {"store": str(tmp_path / "share")}
    elif request.param == "s3":
        spool = request.getfixturevalue("store").settings(uuid.uuid4().hex)
    database = "" if request.param == "folder" else "postgresql+psycopg://nowhere/postscan"

    def opened(machine: str = "first", **others: str) -> SpoolStore:
        home = tmp_path / ("first" if request.param == "folder" else machine)
        storage = {"data_dir": home, "database": database}
        cluster = {"members": "several" if database else "one"}
        settings = Settings.model_validate({"storage": storage, "cluster": cluster, "spool": {**spool, **others}})
        settings.storage.run_dir.mkdir(parents=True, exist_ok=True)
        return open_spool(settings)

    return opened


@pytest.fixture
def token() -> JobToken:
    """The token of a job."""
    return JobToken(str(uuid.uuid4()))


def sent(spool: SpoolStore, token: JobToken, data: bytes, id: int = 1, *, made: bool = False) -> JobDocument:
    """Store an image, and return its document."""
    with spool.open_image(token, id, "png", len(data), made=made) as image:
        for begin in range(0, len(data), 1 << 20):
            image.write(data[begin : begin + (1 << 20)])
    return image.document


def read(spool: SpoolStore, document: JobDocument) -> bytes:
    """Fetch a document, and return its bytes."""
    with spool.fetching() as fetch:
        return fetch(document).read_bytes()


def keys(spool: SpoolStore) -> list[str]:
    """Return the keys of all files."""
    return sorted(file.key for file in spool.files())


@pytest.mark.parametrize("size", [1, 300_000, LARGE])
def test_an_image_that_was_stored_by_one_machine_is_fetched_by_another(make: Make, token: JobToken, size: int) -> None:
    """With its size and hash; in one request, or in parts."""
    data = os.urandom(size)

    document = sent(make("first"), token, data)

    assert (document.size, document.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert read(make("second"), document) == data
    assert keys(make("second")) == [document.blob]
    assert dict(make().sizes([document.blob, f"{token}/none"])) == {document.blob: size, f"{token}/none": None}


def test_an_image_that_breaks_off_is_never_there(make: Make, token: JobToken, tmp_path: Path) -> None:
    """Neither in the store, nor on the disk of the machine (I3)."""
    spool = make()
    with pytest.raises(ConnectionError), spool.open_image(token, 1, "png", LARGE) as image:
        image.write(bytes(LARGE))
        raise ConnectionError
    with pytest.raises(InvalidArgument, match="ImageData"), spool.open_image(token, 2, "png", 10):
        pass

    assert keys(spool) == []
    assert list(tmp_path.rglob("*.part")) == []


def test_images_of_the_same_number_have_keys_of_their_own(make: Make, token: JobToken) -> None:
    """So nothing is replaced, whatever is repeated."""
    spool = make()
    first, second = sent(spool, token, b"first"), sent(spool, token, b"second", made=True)

    assert first.blob != second.blob
    assert [read(spool, one) for one in (first, second)] == [b"first", b"second"]


def test_a_copy_outlives_its_image(make: Make, token: JobToken) -> None:
    """A release gives the images of a job to another, also those that were sent in parts."""
    spool, other = make(), JobToken(str(uuid.uuid4()))
    data = os.urandom(LARGE)
    document = sent(spool, token, data)

    copy = spool.copy(document, other)
    spool.discard(document)

    assert copy.blob.startswith(f"{other}/")
    assert keys(spool) == [copy.blob]
    assert read(make("second"), copy) == data


def test_what_is_discarded_is_gone_and_that_can_be_repeated(make: Make, token: JobToken) -> None:
    """Retention does it again after a crash."""
    spool = make()
    documents = [sent(spool, token, b"page", number) for number in (1, 2, 3)]

    spool.discard(*documents[:2])
    spool.discard(*documents[:2])

    assert keys(spool) == [documents[2].blob]
    spool.discard(documents[2])
    assert keys(spool) == []


def test_a_file_without_a_row_is_put_aside_with_its_bytes(make: Make, token: JobToken) -> None:
    """It is no file of a job any more, and counted."""
    spool = make()
    document = sent(spool, token, b"page")
    assert [file.changed() > 1e9 for file in spool.files()] == [True]

    place = spool.quarantine(document.blob)

    assert document.blob in place
    assert (keys(spool), spool.put_aside()) == ([], 1)


def test_identifiers_are_read_written_and_renamed(make: Make) -> None:
    """They are no files of jobs."""
    make("first").write_mark("spool-id.part", "one")
    make("first").rename_mark("spool-id.part", "spool-id")

    spool = make("second")
    assert (spool.read_mark("spool-id"), spool.read_mark("spool-id.part")) == ("one", None)
    assert keys(spool) == []


def test_the_log_of_a_run_that_has_ended_is_read_by_another_machine(make: Make, token: JobToken) -> None:
    """Also if the runs were on different machines; a page of it can be read on from its end."""
    for machine, text in (("first", "one"), ("second", "two")):
        writer = JobLogWriter(make(machine).logs, token, "owner", 0, 1, SystemClock(None), 0)
        writer.append("info", text)
        writer.close()

    logs = make("third").logs
    page = logs.read(token)
    assert [line.text for line in page.lines] == ["one", "two"]
    assert logs.read(token, page.end).lines == ()
    assert logs.tokens() == [token]
    logs.count(token, "owner")
    assert logs.bytes_of("owner") == page.end
    logs.remove(token)
    assert (make("first").logs.read(token).lines, make("first").logs.tokens()) == ((), [])


def test_a_picture_that_one_front_end_made_is_shown_by_another(make: Make, token: JobToken) -> None:
    """And is removed with its job."""
    key = PictureKey(token, 1, 1, 320)
    data = b"RIFF" + (4).to_bytes(4, "little") + b"WEBP"
    assert make("first").pictures.put(key, StoredPicture(data, 7), 0)

    pictures = make("second").pictures
    assert pictures.get(key) == StoredPicture(data, 7)
    assert pictures.get(key._replace(page=2)) is None
    assert pictures.tokens() == [token]
    pictures.remove(token)
    assert (make("first").pictures.get(key), make("first").pictures.tokens()) == (None, [])


# --- an object store alone -----------------------------------------------------------------------------------------

only_s3 = pytest.mark.parametrize("make", [pytest.param("s3", marks=pytest.mark.services)], indirect=True)


@only_s3
@pytest.mark.parametrize("size", [5, LARGE])
def test_bytes_that_are_not_those_of_the_row_are_found_when_they_are_fetched(
    make: Make, token: JobToken, size: int
) -> None:
    """Before a filter gets them (T-B1); and a missing object is told from a missing bucket."""
    spool = make()
    spool.write_mark("spool-id", "one")
    document = sent(spool, token, bytes(size))
    spool.write_mark(document.blob, "other")

    with pytest.raises(ImageDamaged, match="other bytes"):
        read(spool, document)
    spool.discard(document)
    with pytest.raises(ImageDamaged, match="is missing"):
        read(spool, document)
    spool.drop("spool-id")
    with pytest.raises(SpoolAway, match="spool-id"):
        read(spool, document)


@only_s3
def test_a_store_that_refuses_or_is_not_there_says_so_without_a_secret(make: Make, token: JobToken) -> None:
    """And is not asked for each image again."""
    cases = {
        "refuses the credentials": {"secret_key": "wrong-secret"},
        "has no such bucket": {"store": "s3://elsewhere/prefix"},
        "does not answer": {"endpoint": "http://127.0.0.1:9"},
    }
    for reason, others in cases.items():
        with pytest.raises(SpoolAway, match=reason) as away:
            sent(make(**others), token, b"page")
        assert "secret" not in str(away.value)


@only_s3
def test_a_store_that_hangs_is_given_up(make: Make, token: JobToken, store: swift_store.Swift) -> None:
    """Within 5 s, and the next caller gets the same at once; what was not stored is not there afterwards (T-B4)."""
    spool = make()
    with spool.open_image(token, 1, "png", 10) as image:
        image.write(b"first")
    spool._bucket._answered = float("-inf")
    with store.frozen():
        with pytest.raises(SpoolAway) as away:
            sent(spool, token, b"page", 2)
        begun = spool._bucket._failed
        with pytest.raises(SpoolAway):
            spool.open_image(token, 3, "png", 10)
        assert spool._bucket._failed == begun

    assert "does not answer" in str(away.value)
    assert keys(make("second")) == [image.document.blob]
    assert QUICK_SECONDS + LOOK_SECONDS < 5
