"""Jobs that a source brings: the block of a job, its pages, and every way in which it can end."""

from __future__ import annotations

import errno
import io
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import source_server
from idle_sources import Idle
from source_server import SourceServer
from works import PATIENCE

from postscan.core.filters.source.messages import (
    EndRequest,
    FailRequest,
    InletBusy,
    LeaveRequest,
    OpenRequest,
    PageRequest,
    Reply,
    Request,
    RequestRefused,
)
from postscan.plugins import Busy, CancellationToken, Ended, Refused, SourceContext, SourceJob, Taken

MIB = 1 << 20


class IdleWithJob(Idle):
    """An idle source that ends after the job that is open at its stop."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Lock()

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Wait for the stop, and for that job."""
        super().run(inlet, token)
        with self.open:
            pass


@pytest.fixture
def source() -> IdleWithJob:
    """The source of the test."""
    return IdleWithJob()


@pytest.fixture
def server(source: Idle, tmp_path: Path) -> Iterator[SourceServer]:
    """The server's side of its inlet."""
    with source_server.running(source, tmp_path, destinations=("Invoices", "Letters")) as server:
        assert source.ready.wait(PATIENCE)
        yield server


@pytest.fixture
def inlet(server: SourceServer, source: Idle) -> SourceContext:
    """The source's side of it."""
    return source.inlet


@pytest.fixture
def job(inlet: SourceContext) -> Callable[..., SourceJob]:
    """A way to open a job."""

    def job(key: str = "one", destination: str = "Invoices") -> SourceJob:
        return inlet.job(key=key, destination=destination, proof="device", subject="10.0.0.9", name="from the test")

    return job


def bring(job: SourceJob, *pages: bytes) -> None:
    """Write whole pages."""
    for one in pages:
        with job.page() as page:
            page.write(one)


Job = Callable[..., SourceJob]


def test_a_job_is_stored_with_its_pages_when_its_block_was_left(server: SourceServer, job: Job) -> None:
    """Rule 1: what comes after the block may tell the origin."""
    with job() as one:
        bring(one, b"first", b"second")
        assert server.jobs[0].state == "Creating"

    (stored,) = server.jobs
    assert (stored.state, stored.pages, stored.id) == ("Pending", [b"first", b"second"], one.id)


def test_the_server_hears_who_was_proven_and_never_a_user(server: SourceServer, job: Job) -> None:
    """Rule 4."""
    with job() as one:
        bring(one, b"page")

    asked = server.jobs[0].request.model_dump(exclude={"id", "type", "remember_seconds"})
    assert asked == {
        "key": "one",
        "destination": "d1",
        "proof": "device",
        "subject": "10.0.0.9",
        "name": "from the test",
        "account": "",
    }


def test_a_job_without_a_page_is_cancelled(server: SourceServer, job: Job) -> None:
    """A device that connected and changed its mind."""
    with job():
        pass

    assert (server.jobs[0].state, server.jobs[0].reason) == ("Canceled", "the origin had no page")


def test_a_key_is_a_job_once(server: SourceServer, job: Job) -> None:
    """Rule 2: the second time says which job it is."""
    with job() as one:
        bring(one, b"page")

    with pytest.raises(Taken) as taken, job():
        raise AssertionError("the block must not be entered")
    assert taken.value.token == one.id
    assert len(server.jobs) == 1


def test_a_key_whose_job_is_open_is_busy(job: Job) -> None:
    """Two connections that bring the same at once."""
    with job() as one:
        with pytest.raises(Busy), job():
            raise AssertionError("the block must not be entered")
        bring(one, b"page")


@pytest.mark.parametrize("error", [RuntimeError("connection reset"), KeyboardInterrupt(), Refused("no picture")])
def test_an_exception_fails_the_job_and_frees_the_key(server: SourceServer, job: Job, error: BaseException) -> None:
    """Rule 3: a half never becomes a job."""
    with pytest.raises(type(error)), job() as one:
        bring(one, b"page")
        raise error

    assert server.jobs[0].state == "Aborted"
    assert type(error).__name__ in server.jobs[0].reason
    with job() as again:
        bring(again, b"page", b"and the rest")
    assert server.jobs[1].state == "Pending"


def test_an_origin_that_cancels_cancels_the_job(server: SourceServer, job: Job) -> None:
    """However the block is left then."""
    with job("one") as one:
        bring(one, b"page")
        one.cancel("stopped at the panel")
    with pytest.raises(ConnectionError), job("two") as two:
        two.cancel("stopped at the panel")
        raise ConnectionError("and hung up")

    assert [(one.state, one.reason) for one in server.jobs] == [("Canceled", "stopped at the panel")] * 2


@pytest.mark.parametrize("label", ["Letters", "letters", "LETTERS", "d2"])
def test_a_destination_may_be_named_by_its_label(server: SourceServer, job: Job, label: str) -> None:
    """Devices change the case."""
    with job(destination=label) as one:
        bring(one, b"page")

    assert server.jobs[0].request.destination == "d2"


def test_an_unknown_destination_is_refused_without_the_server(server: SourceServer, job: Job) -> None:
    """In a sentence for the origin."""
    with pytest.raises(Refused, match="no destination 'Lettres'"), job(destination="Lettres"):
        raise AssertionError("the block must not be entered")
    assert server.requests == []


# --- pages -------------------------------------------------------------------------------------------------------


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


# --- what others do ----------------------------------------------------------------------------------------------


def test_a_cancel_reaches_the_origin_at_once(server: SourceServer, job: Job) -> None:
    """Rule 6: the token stops what waits for the origin, and what the origin said is kept."""
    aborted = threading.Event()
    with pytest.raises(Ended, match="by an administrator") as ended, job() as one, one.token.calling(aborted.set):
        server.cancel(server.jobs[0], "by an administrator")
        assert aborted.wait(PATIENCE)
        raise ConnectionError("the connection was closed")
    one.told("stopped")

    assert ended.value.token == one.id
    assert (server.jobs[0].state, server.jobs[0].told) == ("Canceled", ["stopped"])


@pytest.mark.parametrize("step", ["page", "write", "leave", "end"])
def test_a_cancel_that_came_before_is_seen_at_each_step(server: SourceServer, job: Job, step: str) -> None:
    """Also if its message comes behind the reply to the step."""
    kinds = {"page": PageRequest, "end": EndRequest, "leave": LeaveRequest, "write": LeaveRequest}

    def cancel(request: Request) -> None:
        if isinstance(request, kinds[step]):
            server.jobs[0].state, server.jobs[0].reason = "Canceled", "too late"

    server.on_request = cancel
    with pytest.raises(Ended, match="too late"), job() as one:
        if step == "write":
            with one.page() as page:
                with pytest.raises(Ended):
                    page.write(b"x")
                assert one.token.cancelled
                page.write(b"y")
        bring(one, b"page")

    assert server.jobs[0].state == "Canceled"


def test_a_cancelled_job_is_closed_when_its_block_was_left(server: SourceServer, job: Job) -> None:
    """Else the server would keep its place for the pages that it takes for possible."""
    with pytest.raises(Ended), job() as one:
        bring(one, b"page")
        server.cancel(server.jobs[0], "by an administrator")
        one.token.wait(PATIENCE)
        one.check()

    assert isinstance(server.requests[-1], FailRequest)
    assert server.jobs[0].state == "Canceled"


def test_an_end_that_cannot_be_stored_acknowledges_nothing(server: SourceServer, job: Job) -> None:
    """The job fails, so that the origin may come again."""
    server.on_request = lambda request: (
        InletBusy(id=request.id, seconds=3.0) if isinstance(request, EndRequest) else None
    )
    with pytest.raises(Busy), job() as one:
        bring(one, b"page")

    assert server.jobs[0].state == "Aborted"


@pytest.mark.parametrize("kind", [OpenRequest, LeaveRequest, PageRequest, EndRequest])
def test_the_death_of_the_server_ends_every_wait(
    server: SourceServer, inlet: SourceContext, job: Job, kind: type[Request]
) -> None:
    """At each step: `Busy`, which every protocol can say, and the tokens are set."""
    held = threading.Event()

    def die(request: Request) -> Reply | None:
        if isinstance(request, kind):
            server.die()
            held.wait(PATIENCE)
        return None

    server.on_request = die
    with pytest.raises(Busy), job() as one:
        bring(one, b"page")
    held.set()

    assert inlet.token.cancelled
    with pytest.raises(Busy), job("another"):
        raise AssertionError("the block must not be entered")


def test_a_wait_for_the_origin_ends_as_well(server: SourceServer, job: Job) -> None:
    """The token of each job is set."""
    with pytest.raises(Busy, match="server has gone"), job() as one:
        server.die()
        woken = one.token.wait(PATIENCE)
        one.token.check()

    assert woken


def test_a_stopped_inlet_takes_nothing_new_and_ends_what_is_open(
    server: SourceServer, source: IdleWithJob, inlet: SourceContext, job: Job
) -> None:
    """The origin hears "come again", as when there is no room."""
    with source.open, job() as one:
        server.stop()
        assert inlet.token.wait(PATIENCE)
        with pytest.raises(Busy, match="being stopped"), job("another"):
            raise AssertionError("the block must not be entered")
        assert not one.token.cancelled
        bring(one, b"page")

    assert server.jobs[0].state == "Pending"


def test_many_threads_may_bring_jobs_at_once(source: Idle, tmp_path: Path) -> None:
    """Each origin is one job with its own pages, whatever the order of replies, busy ones and reminders."""
    with source_server.running(source, tmp_path, open_jobs=6, requests=5) as server:
        assert source.ready.wait(PATIENCE)
        failures: list[BaseException] = []

        def bring_all(number: int) -> None:
            try:
                for origin in range(5):
                    bring_one(f"{number}-{origin}")
            except BaseException as error:
                failures.append(error)

        def bring_one(key: str) -> None:
            while True:
                try:
                    with source.inlet.job(key, "Invoices", "device", "10.0.0.9") as job:
                        bring(job, f"{key}/1".encode(), f"{key}/2".encode())
                        return
                except Busy:
                    threading.Event().wait(0.02)

        threads = [threading.Thread(target=bring_all, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

    assert failures == []
    done = [job for job in server.jobs if job.state == "Pending"]
    assert len(done) == 60
    assert {job.request.key: job.pages for job in done} == {
        key: [f"{key}/1".encode(), f"{key}/2".encode()] for key in (f"{n}-{m}" for n in range(12) for m in range(5))
    }
    assert list((tmp_path / "inlet-workdir").iterdir()) == []
