"""`postscan demo`, as somebody runs it who has installed the wheel with the extra `demo`, and nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from elsewhere import Elsewhere
from works import until


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """An environment with the wheel of this checkout; it lacks the libraries of the other extras."""
    elsewhere = Elsewhere(tmp_path_factory, "demo")
    elsewhere.install(extra="demo")
    return elsewhere


@pytest.mark.services
@pytest.mark.timeout(1500)
def test_the_demo_keeps_its_promises(shell: Elsewhere) -> None:
    """Two jobs Completed, one Canceled in the middle of its filters; the demo itself compares the files (I1, I12)."""
    kept = shell.home / "kept"
    finished = subprocess.run(
        ["postscan", "demo", "--keep", kept], env=shell.variables, capture_output=True, text=True, timeout=800
    )

    assert finished.stderr == ""
    assert finished.returncode == 0
    assert "job                      Completed (PostScanJobCompletedSuccessfully)" in finished.stdout
    assert "job                      Canceled (PostScanJobCanceled)" in finished.stdout
    assert completed_uploads(finished.stdout) == ["source web, by clear front-desk, for destination archive"]
    assert len(list((kept / "share" / "archive").rglob("*.png"))) > 5
    assert not list((kept / "share").rglob("*.part"))
    assert (kept / "front-desk.password").stat().st_mode & 0o077 == 0
    assert password(kept) not in finished.stdout
    press_as_printed(shell, kept, finished.stdout)


def press_as_printed(shell: Elsewhere, kept: Path, output: str) -> None:
    """The command at the end plays a press at a panel, and its page is in the archive."""
    (command,) = (line[2:] for line in output.splitlines() if line.startswith("$ postscan device --wsscan"))
    variables = shell.variables | {"POSTSCAN_CONFIG": "postscan.toml"}
    archive = kept / "share" / "archive"
    before = len(list(archive.rglob("*.png")))
    with subprocess.Popen(["postscan", "serve"], cwd=kept, env=variables, stderr=subprocess.DEVNULL) as server:
        try:
            pressed = subprocess.run(
                command, shell=True, cwd=kept, env=variables, capture_output=True, text=True, timeout=120
            )
            until(lambda: len(list(archive.rglob("*.png"))) == before + 1)
        finally:
            server.terminate()

    assert pressed.returncode == 0, pressed.stdout
    assert "Scanned: Completed (JobCompletedSuccessfully), 1 page sent" in pressed.stdout


def completed_uploads(output: str) -> list[str]:
    """Return the origins of the jobs that came through an inlet, and whose page says that they are Completed."""
    pages = re.findall(r"^Job: (.*?)^Filters$", output, re.MULTILINE | re.DOTALL)
    return [
        line.partition(":")[2].strip()
        for page in pages
        for line in page.splitlines()
        if " source " in line and "Completed (PostScanJobCompletedSuccessfully)" in page
    ]


def password(kept: Path) -> str:
    """Return the password of the account."""
    return (kept / "front-desk.password").read_text().strip()
