"""The short form of the campaign `directory`: a small OpenLDAP that hangs and is killed."""

from __future__ import annotations

import pytest

from campaigns import directory

pytestmark = pytest.mark.services


def test_answers_are_right_or_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    """With the faults of the campaign, and a part of its users."""
    code = directory.run("--users", "60", "--groups", "10", "--count", "60", "--seed", "1")

    assert code == 0, capsys.readouterr().out
