"""The life of an inlet: starts, stops, quarantine, drain, and what administrators order. Real processes."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import databases
import pytest
from conftest import AnyProcess
from errands import Running, Start
from shared_lead import Member
from sourced import ADMIN, ANNA
from works import SID, alive, until

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, Unavailable
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.states import JobReason, JobState
from postscan.core.registry import restarts
from postscan.core.settings import Settings
from postscan.core.sources import supervisor

CALLER = Principal("device:192.0.2.7", Proof.ADDRESS)


def follow(running: Running, *steps: str, name: str = "errand") -> list[str]:
    """Let the source carry out steps; return their results."""
    folder = running.folder(name)
    steps_file, results = folder / "steps", folder / "results"
    before = len(results.read_text().splitlines()) if results.exists() else 0
    done = steps_file.read_text() if steps_file.exists() else ""
    (folder / "new").write_text(done + "".join(f"{step}\n" for step in steps))
    (folder / "new").rename(steps_file)

    def new() -> list[str]:
        return results.read_text().splitlines()[before:] if results.exists() else []

    until(lambda: len(new()) >= len(steps), f"for {steps}: {new()}")
    return new()


def held(running: Running, name: str = "errand") -> JobToken:
    """Wait until a source holds a job open with a page, and return it."""
    file = running.folder(name) / "job"
    until(lambda: file.exists() and file.read_text(), f"for {name} to hold a job: {running.row(name)}")
    return JobToken(file.read_text())


def job_of(running: Running, token: str) -> tuple[JobState, tuple[str, ...]]:
    """Return state and reasons of a job."""
    job = running.core.service.job(token, ADMIN)
    return job.state, job.reasons


HOLD = {"behaviour": "hold"}


def test_a_source_brings_a_job_and_is_shown_as_it_says(start: Start) -> None:
    """Ready, and the time of its last job."""
    with start(errand=HOLD) as running:
        token = held(running)
        row = running.await_state("ready")
        (running.folder("errand") / "go").touch()
        until(lambda: job_of(running, token)[0].ended)
        until(lambda: running.row().last_job is not None)

        assert row.detail == "on its way"
        assert job_of(running, token) == (JobState.COMPLETED, (JobReason.SUCCEEDED,))
        assert running.core.service.job(token, ADMIN).user.sid == ANNA == SID
        assert (running.folder("errand") / "done").exists()
    assert running.row().state == ""


def test_the_destinations_of_a_source_are_shown_without_their_names_and_users(start: Start) -> None:
    """What a device may see: a random identifier and the label. Settings of others are not there."""
    with start(errand={}, other={}) as running:
        running.process()
        (seen,) = follow(running, "(inlet.started.model_dump_json())")

        assert "invoices" not in seen
        assert ANNA not in seen
        assert "Invoices (Anna)" in seen
        assert str(running.folder("other")) not in seen


def test_a_changed_scan_ticket_reaches_a_source_that_runs(start: Start) -> None:
    """An administrator who edits a scan process need not start the inlet again."""
    with start(errand={}) as running:
        running.process()
        (before,) = follow(running, "inlet.destinations[0].ticket.images")
        running.core.origins._processes.scan_ticket = ScanTicket(images=3)  # type: ignore[attr-defined]  # the double
        until(lambda: follow(running, "inlet.destinations[0].ticket.images") == ["3"])

    assert before == "0"


def test_a_source_has_a_private_folder_that_is_kept_and_one_that_is_removed(start: Start) -> None:
    """For itself alone."""
    with start(errand={}) as running:
        running.process()
        folder, workdir = map(Path, follow(running, "inlet.folder", "inlet.workdir"))
        follow(running, "(inlet.folder / 'seen').write_text('1')", "(inlet.workdir / 'work').write_text('1')")
        modes = [path.stat().st_mode & 0o777 for path in (folder, workdir)]

    assert modes == [0o700, 0o700]
    assert (folder / "seen").exists()
    assert not workdir.exists()


def test_a_killed_source_is_started_again_and_its_job_has_failed(start: Start) -> None:
    """T-S2: its key is free, and the same origin is a new job."""
    with start(errand=HOLD) as running:
        process, first = running.process(), held(running)
        (running.folder("errand") / "job").unlink()
        os.kill(process, signal.SIGKILL)
        second = held(running)
        (running.folder("errand") / "go").touch()
        until(lambda: job_of(running, second)[0].ended)

        assert job_of(running, first) == (JobState.ABORTED, (JobReason.SEND_IMAGE_FAILED,))
        assert job_of(running, second)[0] is JobState.COMPLETED
        assert running.process() != process


def test_five_ends_within_ten_minutes_are_a_quarantine_until_an_administrator_starts_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Visible, with the reason, also to the next server; other inlets go on."""
    monkeypatch.setattr(restarts, "LONGEST", 0.01)
    with start(errand={"behaviour": "fail"}, other={}) as running:
        row = running.await_state("quarantined")
        until(lambda: running.row().quarantine)
        assert running.row("other").state in ("starting", "ready")
    ends = [record.message for record in caplog.records if record.message.startswith("source")]
    with start(errand={}) as running:
        again = running.await_state("quarantined")
        running.core.inlets.start("errand", ADMIN)
        running.process()
        running.await_state("ready")
        cleared = running.row()

    assert row.detail == again.detail == "RuntimeError: the errand is over"
    assert ends == ["source ended"] * 4 + ["source quarantined"]
    assert cleared.quarantine == ""


def test_an_administrator_stops_and_starts_an_inlet(start: Start) -> None:
    """It stays stopped, also with the next server."""
    with start(errand={}) as running:
        process = running.process()
        running.core.inlets.stop("errand", ADMIN)
        running.await_state("stopped")
        assert not alive(process)
    (running.folder("errand") / "process").unlink()
    with start(errand={}) as running:
        running.await_state("stopped")
        started = (running.folder("errand") / "process").exists()
        running.core.inlets.start("errand", ADMIN)
        running.process()
        lines = [(line.verb, line.token, line.who) for line in running.core.service.audit(ADMIN)]

    assert not started
    assert lines == [("stop", "source errand", "local:root"), ("start", "source errand", "local:root")]


def test_a_stop_fails_what_the_source_does_not_end_within_its_grace(start: Start) -> None:
    """T-S2: its key is free."""
    with start(errand=HOLD) as running:
        token = held(running)
        running.core.inlets.stop("errand", ADMIN)
        running.await_state("stopped")

        assert job_of(running, token) == (JobState.ABORTED, (JobReason.SEND_IMAGE_FAILED,))


def test_only_administrators_order_and_only_of_inlets_that_there_are(start: Start) -> None:
    """A name that is no inlet's is named."""
    with start(errand={}) as running:
        for name, by in (("missing", ADMIN), ("errand", CALLER)):
            with pytest.raises(InvalidArgument, match="the name of a table"):
                running.core.inlets.stop(name, by)
        assert running.core.inlets.list(CALLER) == {}


def test_an_inlet_that_is_switched_off_is_not_started(start: Start, settings: Settings) -> None:
    """By `enabled`, or by `plugins.disabled`."""
    with start(errand={"enabled": False}, other={"plugin": "acme"}) as running:
        off = running.await_state("disabled")

        assert off.detail == "enabled = false"
        assert not (running.folder("errand") / "process").exists()


def test_the_plugin_of_an_inlet_may_be_disabled(start: Start, settings: Settings) -> None:
    """Its code is never imported then."""
    disabled = settings.plugins.model_copy(update={"disabled": (*settings.plugins.disabled, "errand")})
    object.__setattr__(settings, "plugins", disabled)
    with start(errand={}) as running:
        off = running.await_state("disabled")

    assert off.detail == "plugin errand is in plugins.disabled"
    assert not (running.folder("errand") / "process").exists()


def test_an_ordered_scan_reaches_the_source(start: Start) -> None:
    """With the identifier of a destination, or without one; once each."""
    with start(errand={}) as running:
        running.process()
        running.await_state("ready")
        pulled = running.folder("errand") / "pulled"
        running.core.inlets.scan("errand", "", ADMIN)
        until(lambda: running.row().pull is None)
        running.core.inlets.scan("errand", "invoices", ADMIN)
        until(lambda: pulled.exists() and len(pulled.read_text().splitlines()) == 2)
        (identifier,) = running.core.origins.destinations("errand")

        assert pulled.read_text().splitlines() == ["", identifier]
        with pytest.raises(InvalidArgument, match="the name of a destination"):
            running.core.inlets.scan("errand", "missing", ADMIN)


def test_a_scan_is_ordered_of_an_inlet_that_runs_and_once_at_a_time(start: Start) -> None:
    """The order of a server that has gone is not for the next one."""
    with start(errand={}, off={"enabled": False}) as running:
        running.process()
        running.await_state("ready")
        running.await_state("disabled", "off")
        with pytest.raises(Unavailable, match="off does not run; it is disabled"):
            running.core.inlets.scan("off", "", ADMIN)
        running.core.sources._over.set()
        running.core.sources._thread.join()
        running.core.inlets.scan("errand", "", ADMIN)
        with pytest.raises(Unavailable, match="ordered already"):
            running.core.inlets.scan("errand", "", ADMIN)
        (running.folder("errand") / "process").unlink()
    with start(errand={}) as running:
        running.process()
        running.await_state("ready")

        assert running.row().pull is None
        assert not (running.folder("errand") / "pulled").exists()


def test_a_cancel_reaches_the_source(start: Start) -> None:
    """Its token is set; what it does with the job then is late, and it may go on."""
    with start(errand={}) as running:
        running.process()
        opened = "kept.setdefault('job', inlet.job('1', inlet.destinations[0], 'device', '10.0.0.9')).__enter__().id"
        (token,) = follow(running, opened)
        running.core.service.cancel(token, ADMIN)
        waited, late = follow(
            running,
            "kept['job'].token.wait(60)",
            "kept['job'].page_from(picture())",
        )
        (told,) = follow(running, "kept['job'].told('stopped')")
        origin = running.core.origins.of_job(token, ADMIN)

        assert (waited, late, told) == ("True", "Ended the job was cancelled", "None")
        assert origin is not None
        assert origin.told == "stopped"


def test_a_cancel_by_the_command_line_reaches_it_too(start: Start, settings: Settings) -> None:
    """Another process changes the row, and the server looks at it several times in 100 ms."""
    with start(errand=HOLD) as running:
        token = held(running)
        with running.core.store.change(token) as job:  # as any other process does
            job.cancel(running.core.clock.now())
        until(lambda: running.row().last_job is None and running.core.sources._inlets[0].tokens() == [])

        assert job_of(running, token)[0] is JobState.CANCELED


def test_a_cancel_does_not_wait_for_the_next_look_at_orders(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """WSS-060, ESCL-040: a scanner is told within 100 ms, and orders are looked for four times a second."""
    with start(errand=HOLD) as running:
        running.await_state("ready")
        monkeypatch.setattr(supervisor, "POLL_SECONDS", 3600)
        token = held(running)
        running.core.service.cancel(token, ADMIN)

        until(lambda: running.core.sources._inlets[0].tokens() == [], "for the source to end its job")
    assert supervisor.CANCEL_SECONDS <= 0.05


def test_at_the_drain_open_jobs_get_their_last_pages(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """No new origin is taken meanwhile; the source ends then, and the server after it."""
    caplog.set_level(logging.INFO)
    with start(errand=HOLD, other={}) as running:
        token = held(running)
        running.process("other")
        running.await_state("ready", "other")
        folder = running.folder("errand")
        threading.Timer(0.5, (folder / "go").touch).start()
    stopped = [vars(record)["inlet"] for record in caplog.records if record.message == "source stopped"]

    assert (folder / "done").read_text() == token
    assert job_of(running, token)[0] in (JobState.PENDING, JobState.STARTED, JobState.PROCESSING, JobState.COMPLETED)
    assert sorted(stopped) == ["errand", "other"]
    assert running.workdirs() == []


def test_a_drain_does_not_wait_for_ever(start: Start, settings: Settings) -> None:
    """After `drain_seconds` the source is stopped; its job has failed, and its key is free for the next server."""
    with start(errand=HOLD) as running:
        object.__setattr__(running.core.settings.server, "drain_seconds", 0.2)
        token = held(running)

    assert job_of(running, token) == (JobState.ABORTED, (JobReason.SEND_IMAGE_FAILED,))
    assert not alive(running.process())


def test_without_sources_nothing_runs(settings: Settings) -> None:
    """No thread, and no look into the database."""
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    with core.running():
        names = [thread.name for thread in threading.enumerate()]
    core.close()

    assert not [name for name in names if name.startswith(("postscan-sources", "postscan-inlet"))]


def test_an_inlet_runs_at_the_server_that_holds_its_lock(start: Start, job: Callable[..., Job]) -> None:
    """It ends where the lock is lost; where it is taken, the jobs of the last holder are failed first."""
    with start(errand=HOLD) as running:
        token, member = held(running), Member(leads=False)
        running.core.sources._leadership = member
        until(lambda: job_of(running, token)[0].ended, "for the job of the source that ended")
        running.core.inlets.record_state("errand", "ready", "at another server")
        of_other = JobToken("of-another-server")
        running.core.store.insert(job(token=of_other, owner=Principal("source:errand:someone", Proof.SOURCE)))
        (running.folder("errand") / "job").unlink()

        assert job_of(running, of_other)[0] is JobState.CREATING
        assert running.row().detail == "at another server"
        member.is_leader = True
        held(running)
        running.await_state("ready")
        assert job_of(running, of_other)[0] is JobState.ABORTED
        assert running.row().detail == "on its way"
