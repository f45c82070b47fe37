"""The pages of a job: what is stored of them, when the server is asked for room, and what is refused."""

from __future__ import annotations

import errno
import io
import resource
import threading
from pathlib import Path

import pytest
import source_server
from idle_sources import Idle, Job, bring
from source_server import SourceServer
from works import PATIENCE

from postscan.core.filters.source.messages import InletBusy, LeaveRequest, Request, RequestRefused
from postscan.plugins import Busy, Refused, SourceContext

MIB = 1 << 20


def test_an_exception_leaves_nothing_of_a_page(server: SourceServer, inlet: SourceContext, job: Job) -> None:
    """The other pages of the job stay."""
    with job() as one:
        bring(one, b"first")
        with pytest.raises(ConnectionError), one.page() as page:
            page.write(b"a ha")
            raise ConnectionError("cut")
        bring(one, b"second")

    assert server.jobs[0].pages == [b"first", b"second"]
    assert list(inlet.workdir.iterdir()) == []


def test_a_page_asks_leave_before_each_8_mib(server: SourceServer, job: Job) -> None:
    """Rule 5: a full disk stops the origin early, and not at the end of the page."""
    sizes: list[int] = []

    def record(request: Request) -> None:
        if isinstance(request, LeaveRequest):
            sizes.append(request.bytes)

    server.on_request = record
    with job() as one, one.page() as page:
        assert page.write(b"x") == 1
        assert sizes == [8 * MIB]
        for _ in range(8):
            page.write(bytes(MIB))
        assert sizes == [8 * MIB] * 2
        page.write(bytes(20 * MIB))
        assert sizes == [8 * MIB, 8 * MIB, 16 * MIB]
        assert page.size == 28 * MIB + 1

    assert [len(page) for page in server.jobs[0].pages] == [28 * MIB + 1]


def test_a_full_disk_of_the_server_ends_the_page(server: SourceServer, job: Job) -> None:
    """`Busy.full` lets a source answer 507 where there is one; the job fails, and its key is free."""
    server.on_request = lambda request: (
        InletBusy(id=request.id, seconds=60.0, full=True) if isinstance(request, LeaveRequest) else None
    )

    with pytest.raises(Busy) as busy, job() as one:
        bring(one, b"page")

    assert (busy.value.full, busy.value.seconds) == (True, 60.0)
    assert server.jobs[0].state == "Aborted"


def test_a_full_disk_of_the_source_is_the_same(job: Job) -> None:
    """The workdir may be on another disk; here the kernel's own full file is in the place of the page."""
    with pytest.raises(Busy) as busy, job() as one, one.page() as page:
        page._file.close()
        page._file = io.FileIO("/dev/full", "wb")
        page.write(b"page")

    assert busy.value.full
    assert isinstance(busy.value.__cause__, OSError)
    assert busy.value.__cause__.errno == errno.ENOSPC


def test_a_page_above_the_limit_of_the_process_is_refused(server: SourceServer, job: Job) -> None:
    """It would be too large the next time as well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    try:
        with pytest.raises(Refused, match="larger than a file of this source may be"), job() as one:
            bring(one, bytes(2 * MIB))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert server.jobs[0].state == "Aborted"


def test_a_page_that_comes_slowly_is_no_silence(source: Idle, tmp_path: Path) -> None:
    """The server aborts a job without a request for `job_seconds`."""
    with source_server.running(source, tmp_path, job_seconds=0.0004) as server:
        assert source.ready.wait(PATIENCE)
        with source.inlet.job("one", "d1", "device", "x") as one, one.page() as page:
            for _ in range(3):
                threading.Event().wait(0.01)
                page.write(b"x")

    asked = [request.bytes for request in server.requests if isinstance(request, LeaveRequest)]
    assert asked == [8 * MIB, 0, 0]


def test_a_refused_page_may_be_left_out(server: SourceServer, job: Job) -> None:
    """One attachment of a mail is no picture; the source decides whether the others are a job."""
    server.on_request = lambda request: (
        RequestRefused(id=request.id, reason="it is no image") if getattr(request, "format", "") == "exe" else None
    )
    with job() as one:
        bring(one, b"page")
        with pytest.raises(Refused, match="it is no image"), one.page("exe") as page:
            page.write(b"MZ")

    assert (server.jobs[0].state, server.jobs[0].pages) == ("Pending", [b"page"])


def test_the_protocols_own_end_mark_is_passed_on(server: SourceServer, job: Job) -> None:
    """It may be known before the page or after it."""
    with job() as one:
        with one.page("png", whole=True) as page:
            page.write(b"first")
        with one.page() as page:
            page.write(b"second")
            page.whole = True
        bring(one, b"third")

    assert server.jobs[0].formats == ["png", "", ""]
    assert server.jobs[0].whole == [True, True, False]


def test_a_finished_file_is_taken_from_either_folder(server: SourceServer, inlet: SourceContext, job: Job) -> None:
    """And stays there; a path that leads elsewhere is an error of the source."""
    (inlet.folder / "kept").write_bytes(b"kept")
    (inlet.workdir / "below").mkdir()
    (inlet.workdir / "below" / "new").write_bytes(b"new")
    with job() as one:
        one.page_from(inlet.folder / "kept")
        one.page_from(Path("below/new"))
        for elsewhere in ("/etc/passwd", inlet.workdir / ".." / "x", inlet.workdir):
            with pytest.raises(ValueError, match="no file of the folder or the workdir"):
                one.page_from(Path(elsewhere))

    assert server.jobs[0].pages == [b"kept", b"new"]
    assert (inlet.folder / "kept").exists()
