"""`postscan demo`, as somebody runs it who has just installed postscan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-m", "postscan.cli", "demo"]


@pytest.mark.timeout(900)
def test_the_demo_keeps_its_promises(tmp_path: Path) -> None:
    """One job Completed, one Canceled in the middle of its filters, files compared by the demo itself (I1, I12)."""
    finished = subprocess.run([*COMMAND, "--keep", tmp_path / "kept"], capture_output=True, text=True, timeout=800)

    assert finished.stderr == ""
    assert finished.returncode == 0
    assert "job                      Completed (PostScanJobCompletedSuccessfully)" in finished.stdout
    assert "job                      Canceled (PostScanJobCanceled)" in finished.stdout
    assert list((tmp_path / "kept" / "share" / "archive").rglob("*.png"))
    assert not list((tmp_path / "kept" / "share").rglob("*.part"))
