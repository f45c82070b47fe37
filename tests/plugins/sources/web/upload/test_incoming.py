"""Bodies into files: in bounded numbers, as long as the disk has room, and gone if they are not complete."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postscan.plugins.sources.web.body import HttpRefused, SenderGone
from postscan.plugins.sources.web.upload.incoming import BATCH, LOOK, SPARE, Incoming, ReceivedFile


async def chunks(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    """Yield pieces of a body, and then raise an error."""
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


def receive(incoming: Incoming, *pieces: bytes, error: Exception | None = None) -> ReceivedFile:
    """Receive one body."""
    return asyncio.run(incoming.file(chunks(*pieces, error=error), "a.png"))


@pytest.mark.parametrize("pieces", [(b"abc",), (b"a" * BATCH, b"b"), tuple([b"x" * 70_000] * 40)])
def test_a_file_has_the_bytes_of_its_body(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    """With their number and hash; nobody else can read it."""
    file = receive(Incoming(tmp_path, 2), *pieces)
    whole = b"".join(pieces)

    assert file.path.read_bytes() == whole
    assert (file.size, file.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert file.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("error", [SenderGone(), HttpRefused(408, "slow")])
@pytest.mark.parametrize("pieces", [(), (b"a",), (b"a" * 3 * BATCH,)])
def test_half_a_file_is_removed(tmp_path: Path, pieces: tuple[bytes, ...], error: Exception) -> None:
    """Whether its sender has gone or is too slow."""
    with pytest.raises(type(error)):
        receive(Incoming(tmp_path, 2), *pieces, error=error)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rest", [b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=f; filename=b\r\n\r\nhalf"]
)
def test_half_a_form_leaves_none_of_its_files(tmp_path: Path, rest: bytes) -> None:
    """Also not those that were complete."""
    form = b"--x\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n" + b"a" * 2 * BATCH + b"\r\n" + rest

    with pytest.raises(HttpRefused) as refused:
        asyncio.run(Incoming(tmp_path, 2).form(chunks(form), b"x"))
    assert refused.value.status == 400
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_refuses_a_body_before_it_comes(tmp_path: Path) -> None:
    """If its length is known; some room is left for the server."""
    incoming = Incoming(tmp_path, 2, lambda: SPARE + 100)

    with incoming.place("ann", 100):
        pass
    with pytest.raises(HttpRefused) as refused, incoming.place("ann", 101):
        pass
    assert (refused.value.status, refused.value.headers) == (507, {"retry-after": "60"})


def test_a_disk_that_becomes_full_ends_a_body(tmp_path: Path) -> None:
    """At the next look, and nothing of it is left."""
    left = [SPARE + 2 * LOOK, SPARE]
    incoming = Incoming(tmp_path, 2, lambda: left.pop(0) if len(left) > 1 else left[0])

    with pytest.raises(HttpRefused) as refused:
        receive(incoming, *[b"a" * BATCH] * (LOOK // BATCH + 2))
    assert refused.value.status == 507
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_finds_no_room_is_a_full_disk(tmp_path: Path) -> None:
    """Whatever the free space said before."""
    incoming = Incoming(tmp_path, 2)
    writer = incoming._new("a.png")
    writer._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115  (closed below)

    async def work() -> None:
        await writer.add(b"a" * BATCH)

    with pytest.raises(HttpRefused) as refused:
        asyncio.run(work())
    assert refused.value.status == 507
    writer._file.close()


def test_so_many_bodies_arrive_at_a_time(tmp_path: Path) -> None:
    """Of one sender half of them; then there is room again."""
    incoming = Incoming(tmp_path, 4)
    with incoming.place("ann", 0), incoming.place("ann", 0):
        with pytest.raises(HttpRefused) as refused, incoming.place("ann", 0):
            pass
        assert refused.value.status == 503
        with incoming.place("bob", 0), incoming.place("carol", 0), pytest.raises(HttpRefused):
            incoming.place("dave", 0).__enter__()

    with incoming.place("ann", 0):
        pass
