"""The fixtures of `command_line`, for the tests of the checks."""

import pytest
from command_line import page, postscan, server, settings_file

from postscan.core.registry import validation

__all__ = ["page", "postscan", "server", "settings_file"]


@pytest.fixture(autouse=True)
def _time_for_diagnoses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than 10 s to start a worker and let a filter look."""
    monkeypatch.setattr(validation, "DIAGNOSE_SECONDS", 90.0)
