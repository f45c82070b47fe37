"""The process of a source and its socket: what an honest one does, and how each other one ends. Real processes."""

from __future__ import annotations

import logging

import pytest
from errands import Start
from sourced import ADMIN
from works import alive, until

from postscan.core.settings import Settings
from postscan.core.sources import inlet as inlets

FOLDER_BYTES = 8 << 20


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with a small folder for each filter and each source."""
    running = settings.running.model_copy(update={"folder_bytes": FOLDER_BYTES})
    return settings.model_copy(update={"running": running})


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("flood", "it sent more than 4000 messages in 10 s"),
        ("ask_twice", "it sent a second request 1 before the reply to the first"),
        ("send_no_message", "it sent an invalid message: "),
        ("send_no_end", "it sent a message of more than 1048576 bytes"),
        ("declare_twice", "it declared itself twice"),
        ("claim", "it claims the proof 'certificate', which it has not declared"),
        ("read_nothing", "it does not read the replies to its requests"),
        ("fail", "RuntimeError: the errand is over"),
        ("leave_something", "its process ended with exit code 3"),
    ],
)
def test_a_source_that_is_not_honest_or_fails_is_ended_with_one_line(
    start: Start, behaviour: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """T-S4: the line says why; no process of it is left, and neither is its folder."""
    with start(errand={"behaviour": behaviour}) as running:
        process = running.process()
        until(lambda: running.row().detail.startswith(reason), f"for {reason!r}: {caplog.records}")
        ended = [vars(record)["reason"] for record in caplog.records if record.message == "source ended"]
        until(lambda: not alive(process))
        running.core.inlets.stop("errand", ADMIN)
        running.await_state("stopped")
        left = running.workdirs()
        daemon = running.folder("errand") / "daemon"
        assert not daemon.exists() or not alive(int(daemon.read_text()))

    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert ended[0].startswith(reason)
    assert {line.message for line in lines} == {"source ended"}
    assert left == []


def test_requests_without_a_reply_are_counted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """T-S4: a source that does not wait is ended; nothing waits in memory."""
    monkeypatch.setattr(inlets, "BURST", 10_000)
    with start(errand={"behaviour": "ask_without_end"}) as running:
        until(lambda: running.row().detail == "it has more than 64 requests without a reply")


def test_a_source_that_fills_its_folder_is_ended(start: Start) -> None:
    """T-S4: it has no leave for that."""
    with start(errand={"behaviour": "fill"}) as running:
        until(lambda: running.row().detail == f"its folder took more than {FOLDER_BYTES} bytes")
        running.core.inlets.stop("errand", ADMIN)
        running.await_state("stopped")

        assert running.workdirs() == []


def test_a_source_that_does_not_stop_is_killed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Token, its grace, SIGTERM, SIGKILL, as a filter."""
    caplog.set_level(logging.INFO)
    with start(errand={"behaviour": "deaf"}) as running:
        process = running.process()
        running.core.inlets.stop("errand", ADMIN)
        running.await_state("stopped")

        assert not alive(process)
    assert "source stopped" in caplog.messages


def test_a_source_that_closes_its_socket_is_killed(start: Start) -> None:
    """It can say nothing any more, and do nothing."""
    with start(errand={"behaviour": "close"}) as running:
        process = running.process()
        until(lambda: running.row().detail.startswith("its process ended"))

        assert not alive(process)


def test_the_lines_of_a_source_are_counted_and_its_fields_are_its_own(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """T-S4: so many in a minute; none of its fields is one of the server's."""
    monkeypatch.setattr(inlets, "LINES", 20)
    caplog.set_level(logging.INFO)
    with start(errand={"behaviour": "shout"}) as running:
        running.process()
        until(lambda: len([one for one in caplog.records if one.message == "source logged"]) >= 20)
        running.core.inlets.stop("errand", ADMIN)
        running.await_state("stopped")

    lines = [vars(one) for one in caplog.records if one.message == "source logged"]
    assert len(lines) == 20
    assert (lines[0]["text"], lines[0]["file"], lines[0]["inlet"], lines[0]["plugin"]) == (
        "line 0",
        "a\nb",
        "errand",
        "errand",
    )
    assert lines[0]["name"] != "x"
    assert "A b" not in lines[0]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"plugin": "missing"}, "no plugin named 'missing' is installed"),
        ({"speed": 3}, "[sources.errand] has no setting 'speed'"),
    ],
)
def test_a_source_that_cannot_be_loaded_says_why(start: Start, table: dict[str, object], reason: str) -> None:
    """An unknown plugin, a key that it does not have."""
    with start(errand=table) as running:
        until(lambda: running.row().detail.startswith(reason), f"for {reason!r}")


def test_a_source_that_is_loaded_late_is_tried_again_and_never_given_up(
    start: Start, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A busy machine is late with anything (decision 71): that is no fault of the source, and no quarantine."""
    plugins = settings.plugins.model_copy(update={"probe_seconds": 0.3})
    object.__setattr__(settings, "plugins", plugins)
    with start(errand={"loading": 600.0}) as running:
        until(lambda: caplog.messages.count("source ended") == 2)
        row = running.row()
        ends = running.core.sources._inlets[0]._restarts._ends

    assert row.detail == "it was not loaded within 0.3 s"
    assert (row.quarantine, len(ends)) == ("", 0)
