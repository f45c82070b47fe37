"""The place of a message in the sequence of a server's messages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from postscan.core.errors import SettingsError
from postscan.soap.discovery import app_sequence
from postscan.soap.discovery.app_sequence import AppSequence
from postscan.soap.discovery.messages import SequenceNumber


def test_a_run_is_numbered_above_every_run_before_it(tmp_path: Path) -> None:
    """DPW-014: even two in one second, and when the clock was set back by years."""
    late, early = datetime(2026, 5, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)
    runs = [app_sequence.begin(tmp_path, now).instance for now in (late, late, early)]

    assert runs == [int(late.timestamp()) + number for number in range(3)]


def test_messages_are_numbered_upwards() -> None:
    """DPW-013."""
    run = AppSequence(5)

    assert [run.next() for _ in range(3)] == [SequenceNumber(5, 1), SequenceNumber(5, 2), SequenceNumber(5, 3)]


def test_a_file_that_holds_no_number_is_named(tmp_path: Path) -> None:
    """Nobody's file is overwritten."""
    (tmp_path / app_sequence.FILE).write_text("mine")

    with pytest.raises(SettingsError, match=rf"{app_sequence.FILE}: holds b'mine'; expected a number"):
        app_sequence.begin(tmp_path, datetime(2026, 5, 1, tzinfo=UTC))


def test_after_the_last_number_there_is_none(tmp_path: Path) -> None:
    """The number has 32 bits; the error says what to do."""
    (tmp_path / app_sequence.FILE).write_text(str(app_sequence.LARGEST))

    with pytest.raises(SettingsError, match="no number is left after the last one; delete it"):
        app_sequence.begin(tmp_path, datetime(2026, 5, 1, tzinfo=UTC))


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    """The server does not start without its number."""
    with pytest.raises(SettingsError, match="cannot be stored there: No such file or directory"):
        app_sequence.begin(tmp_path / "gone", datetime(2026, 5, 1, tzinfo=UTC))
