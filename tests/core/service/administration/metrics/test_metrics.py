"""The metrics of a server: what has happened is counted once, what is true is read, and what is old is not told."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from served_metrics import Series, series, value
from works import SID, Works, instructions, until

from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy, StoreFull
from postscan.core.model.events import Event, FilterStateChanged, ImageReceived, JobEnded, JobStateChanged, to_record
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import EventRow
from postscan.core.service.administration.metrics import happenings, metrics_socket
from postscan.core.service.administration.metrics.condition import ConnectionUse
from postscan.core.service.administration.metrics.happenings import OTHER, Happenings
from postscan.core.service.administration.metrics.server_metrics import OLD, Metrics
from postscan.core.store.events import EndedStep

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE = JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")
COPY = "urn:acme:copy"
OPERATOR = Principal("local:root", Proof.LOCAL, admin=True)


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def rendered(core: Engine) -> Series:
    """Render the metrics, and return what they say."""
    core.metrics.update()
    return series(core.metrics.page().decode())


def counted(*events: Event, steps: tuple[EndedStep, ...] = (), plugin: str | None = "acme") -> Series:
    """Return what is counted of these events of one job, in one page."""
    registry = CollectorRegistry()
    counts = Happenings(registry, lambda dialect: plugin if dialect == COPY else None)
    rows = [EventRow(number, ONE, *_stored(event)) for number, event in enumerate(events, 1)]
    counts.count(rows, steps, {ONE: NOON})
    return series(generate_latest(registry).decode())


def _stored(event: Event) -> tuple[str, datetime, dict[str, object]]:
    kind, fields = to_record(event)
    return kind, event.at, fields


# --- what has happened -----------------------------------------------------------------------------------------------


def test_a_job_is_counted_from_its_creation_to_its_end() -> None:
    """Each of its events is an increase of one metric; the seconds are those between the events."""
    found = counted(
        JobStateChanged("Creating", (), NOON),
        ImageReceived(1, 700, "", at(1)),
        ImageReceived(2, 300, "", at(2)),
        FilterStateChanged(0, "Processing", (), at(3)),
        FilterStateChanged(0, "CompletedSuccessfully", (), at(5)),
        JobEnded("Completed", ("PostScanJobCompletedSuccessfully",), at(6)),
        steps=(EndedStep(ONE, 0, COPY, "completed", 2),),
    )

    assert value(found, "postscan_jobs_created_total") == 1
    assert value(found, "postscan_images_received_total") == 2
    assert value(found, "postscan_images_received_bytes_total") == 1000
    assert value(found, "postscan_filter_runs_total", filter="acme", outcome="completed") == 1
    assert value(found, "postscan_filter_duration_seconds_sum", filter="acme") == 2
    assert value(found, "postscan_deliveries_total", filter="acme") == 2
    reason = {"state": "Completed", "reason": "PostScanJobCompletedSuccessfully"}
    assert value(found, "postscan_jobs_ended_total", **reason) == 1
    assert value(found, "postscan_job_duration_seconds_sum", state="Completed") == 6


def test_a_cancel_is_counted_once_with_the_time_to_its_end() -> None:
    """A job may be cancelled again while its filters stop: that is the same cancel."""
    found = counted(
        JobStateChanged("Terminating", (), at(10)),
        JobStateChanged("Terminating", (), at(11)),
        JobEnded("Canceled", ("PostScanJobCanceled",), at(12)),
    )

    assert value(found, "postscan_cancels_total") == 1
    assert value(found, "postscan_cancel_duration_seconds_count") == 1
    assert value(found, "postscan_cancel_duration_seconds_sum") == 2


def test_a_cancel_of_a_job_that_waits_is_counted_and_has_no_time_to_stop() -> None:
    found = counted(JobEnded("Canceled", ("PostScanJobCanceled",), at(12)))

    assert value(found, "postscan_cancels_total") == 1
    assert value(found, "postscan_cancel_duration_seconds_count") == 0


def test_dialects_of_clients_make_no_series() -> None:
    """A lenient server takes any dialect: a client could else make as many series as it likes."""
    numbers = random.Random(1).sample(range(10_000), 3)
    steps = tuple(EndedStep(ONE, place, f"urn:x:{number}", "failed", 0) for place, number in enumerate(numbers))
    ends = (FilterStateChanged(place, "CompletedWithErrors", (), NOON) for place in range(3))
    found = counted(*ends, steps=steps)

    filters = {dict(labels)["filter"] for name, labels in found if name == "postscan_filter_runs_total"}
    assert filters == {OTHER}
    assert value(found, "postscan_filter_runs_total", filter=OTHER, outcome="failed") == 3


def test_a_clock_that_was_set_back_makes_no_negative_seconds() -> None:
    found = counted(JobEnded("Completed", ("PostScanJobCompletedSuccessfully",), at(-30)))

    assert value(found, "postscan_job_duration_seconds_sum", state="Completed") == 0


def test_each_way_to_end_has_a_series_before_the_first_job() -> None:
    """Without it, the first job that fails would be no increase, and no alert."""
    assert value(counted(), "postscan_jobs_ended_total", state="Aborted", reason="PostScanJobTimedOut") == 0


# --- a server --------------------------------------------------------------------------------------------------------


def test_jobs_of_a_server_are_counted_once(works: Works) -> None:
    """Also when nothing was written for a long time, and when it is written again."""
    good, other = works.start("copy"), works.start("copy", images=2)
    works.ended(good)
    works.ended(other)
    rendered(works.core)
    found = rendered(works.core)

    reason = {"state": "Completed", "reason": "PostScanJobCompletedSuccessfully"}
    assert value(found, "postscan_jobs_created_total") == 2
    assert value(found, "postscan_images_received_total") == 3
    assert value(found, "postscan_jobs_ended_total", **reason) == 2
    assert value(found, "postscan_filter_runs_total", filter="acme", outcome="completed") == 2
    assert value(found, "postscan_filter_duration_seconds_count", filter="acme") == 2
    assert value(found, "postscan_deliveries_total", filter="acme") == len(works.delivered())
    assert value(found, "postscan_spool_bytes") == works.core.store.spooled_bytes(works.by.name)


def test_what_another_process_cancels_is_counted(works: Works) -> None:
    """The command line changes the database, not this process: the events are the only place that has both."""
    token = works.start("sleep 600")
    works.await_trace(token, "sleep")
    other = Engine(works.core.settings, works.core.service._processes)
    with contextlib.closing(other):
        other.service.cancel(token, OPERATOR)
    works.ended(token)
    found = rendered(works.core)

    assert value(found, "postscan_cancels_total") == 1
    assert value(found, "postscan_cancel_duration_seconds_count") == 1
    assert value(found, "postscan_filter_runs_total", filter="acme", outcome="stopped") == 1


def test_open_jobs_slots_and_plugins_are_told_as_they_are(works: Works) -> None:
    token = works.start("sleep 600")
    works.await_trace(token, "sleep")
    works.create("copy")
    found = rendered(works.core)

    assert value(found, "postscan_jobs", state="Processing") == 1
    assert value(found, "postscan_jobs", state="Creating") == 1
    assert value(found, "postscan_jobs", state="Pending") == 0
    assert value(found, "postscan_slots_used") == 1
    assert value(found, "postscan_slots") == works.core.settings.running.slots
    assert value(found, "postscan_plugins", state="ready") == len(
        [one for one in works.core.filters.catalogue.plugins if one.state == "ready"]
    )


def test_refused_requests_are_counted_by_verb(core: Engine) -> None:
    for _ in range(3):
        with pytest.raises(LookupError):
            core.service.job(ONE, Principal("device:192.0.2.7", Proof.ADDRESS))

    assert value(rendered(core), "postscan_refused_requests_total", verb="get") == 3


def test_the_age_of_the_oldest_waiting_job_grows(core: Engine) -> None:
    by = Principal("device:192.0.2.7", Proof.ADDRESS)
    token = core.service.create(by, SID, "P", instructions("copy"))
    with core.service.open_image(token, by, 1, "png") as writer:
        writer.write(b"x")
    core.service.end(token, by)
    before = value(rendered(core), "postscan_oldest_pending_seconds")
    assert before is not None

    until(lambda: (value(rendered(core), "postscan_oldest_pending_seconds") or 0) > before, "for the job to grow older")


def test_connections_are_told_if_there_are_any_to_count(core: Engine) -> None:
    before = rendered(core)
    core.metrics.watch_connections(lambda: ConnectionUse(7, 100))
    after = rendered(core)

    assert value(before, "postscan_connections") is None
    assert value(after, "postscan_connections") == 7
    assert value(after, "postscan_connections_limit") == 100


def test_an_outage_is_told_and_its_figures_are_absent(core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old figures would look like present ones. What happens meanwhile is counted when the database answers again."""

    @contextlib.contextmanager
    def reading() -> Iterator[None]:
        core.store.outages.failed(StoreBusy("gone"))
        raise StoreBusy("gone")
        yield

    core.store.outages.start()
    core.metrics.begin()
    core.service.create(Principal("device:192.0.2.7", Proof.ADDRESS), SID, "P", instructions("copy"))
    with monkeypatch.context() as outage:
        outage.setattr(core.store, "reading", reading)
        gone = rendered(core)
    core.store.outages.recovered(has_room=True)
    back = rendered(core)

    assert value(gone, "postscan_database_up") == 0
    assert value(gone, "postscan_jobs", state="Creating") is None
    assert value(gone, "postscan_database_outages_total", kind="busy") == 1
    assert value(back, "postscan_database_up") == 1
    assert value(back, "postscan_jobs", state="Creating") == 1
    assert value(back, "postscan_jobs_created_total") == 1


def test_an_event_that_cannot_be_counted_makes_no_other_count_twice(
    core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of its page that come behind it are missing; the next page is counted."""
    core.metrics.begin()
    core.service.create(Principal("device:192.0.2.7", Proof.ADDRESS), SID, "P", instructions("copy"))
    count = Happenings.count

    def fail(*arguments: object) -> None:
        count(*arguments)
        raise ValueError("an event of a kind that is not known")

    with monkeypatch.context() as patched, pytest.raises(ValueError, match="a kind"):
        patched.setattr(Happenings, "count", fail)
        core.metrics.update()
    core.service.create(Principal("device:192.0.2.7", Proof.ADDRESS), SID, "P", instructions("copy"))

    assert value(rendered(core), "postscan_jobs_created_total") == 2


def test_outages_are_counted_from_their_beginning(core: Engine) -> None:
    """A hundred failures of one outage are one outage; a full disk is another kind."""
    core.store.outages.start()
    for _ in range(100):
        core.store.outages.failed(StoreFull("no room"))
    found = rendered(core)

    assert value(found, "postscan_database_outages_total", kind="full") == 1
    assert value(found, "postscan_database_outages_total", kind="busy") == 0


def test_the_time_from_the_end_of_scanning_to_the_claim_is_counted() -> None:
    """From each moment at which the job could be processed: a job that is held does not wait for a slot meanwhile."""
    found = counted(
        JobStateChanged("Creating", (), at(0)),
        JobStateChanged("Pending", (), at(10)),
        JobStateChanged("Pending-Held", (), at(11)),
        JobStateChanged("Pending", (), at(100)),
        JobStateChanged("Started", (), at(102)),
        JobStateChanged("Processing", (), at(103)),
    )

    assert value(found, "postscan_claim_delay_seconds_count") == 1
    assert value(found, "postscan_claim_delay_seconds_sum") == 2


def test_the_time_from_a_cancel_to_its_token_is_counted_where_the_filter_runs(works: Works) -> None:
    """Not for a job of which no filter runs."""
    running, waiting = works.start("sleep 600"), works.create("copy")
    works.await_trace(running, "sleep")
    for token in (running, waiting):
        works.service.cancel(token, works.by)
    works.ended(running)
    found = rendered(works.core)

    assert value(found, "postscan_cancels_total") == 2
    assert value(found, "postscan_cancel_token_seconds_count") == 1
    assert value(found, "postscan_cancel_token_seconds_bucket", le="5.0") == 1


def test_interrupts_of_jobs_whose_end_is_never_counted_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that their number has a bound, whatever happens to jobs."""
    monkeypatch.setattr(happenings, "MOST_INTERRUPTS", 2)
    tokens = [JobToken(f"5d2c1b8e-0f47-4c9d-a6b3-e18472f0c93{number}") for number in range(4)]
    counts = Happenings(CollectorRegistry(), lambda _dialect: None)
    for token in tokens:
        counts.note_interrupt(token, NOON)

    assert list(counts._interrupted) == tokens[2:]


def test_connections_to_the_database_are_told(core: Engine) -> None:
    """Those that are in use: none but the one that asks."""
    with core.store.reading():
        during = core.store.connections()

    assert during == (1, 9)
    assert core.store.connections() == (0, 9)
    assert value(rendered(core), "postscan_database_connections_limit") == 9


def test_a_part_adds_metrics_of_its_own(core: Engine) -> None:
    """And cannot take the name of another one."""
    own = Gauge("postscan_example_age_seconds", "An example.", registry=None)
    own.set(3)
    core.metrics.add(own)

    assert value(rendered(core), "postscan_example_age_seconds") == 3
    with pytest.raises(ValueError, match="Duplicated"):
        core.metrics.add(Gauge("postscan_images_received", "Another one.", registry=None))


def test_metrics_that_are_not_rendered_any_more_are_not_told(core: Engine) -> None:
    """Old figures would look like present ones: their thread hangs, in a file system for example."""
    now = [0.0]
    metrics = Metrics(core.store, core.metrics._watched, lambda: now[0])
    before = metrics.page()
    metrics.update()
    fresh = metrics.page()
    now[0] = OLD

    assert before == metrics.page() == b""
    assert b"postscan_build_info" in fresh


def test_the_console_reads_them_while_the_server_runs_and_not_behind_it(core: Engine) -> None:
    folder = core.settings.storage.data_dir
    with core.running():
        until(lambda: metrics_socket.read(folder), "for the metrics")
        assert (folder / metrics_socket.NAME).stat().st_mode & 0o077 == 0

    assert metrics_socket.read(folder) == ""
    assert not (folder / metrics_socket.NAME).exists()


def test_an_error_is_one_line_in_the_log(
    core: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes on, and tries again."""
    tries: list[None] = []

    def fail() -> None:
        tries.append(None)
        raise ValueError("an event of a kind that is not known")

    monkeypatch.setattr(core.metrics, "update", fail)
    with core.metrics.served(seconds=0.01):
        until(lambda: len(tries) > 3, "for more tries")

    assert caplog.text.count("metrics failed") == 1
