"""What continuous integration adds to the tests: none may be skipped. And the order in which they begin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = """
import pytest

def test_one_that_runs():
    assert True

def test_one_that_does_not():
    pytest.skip("the moon is not full")
"""


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a suite with a skipped test under the rule."""
    (folder / "test_suite.py").write_text(SUITE)
    inherited = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no_skips", "-p", "no:cacheprovider", *arguments, "test_suite.py"]
    return subprocess.run(
        command,
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(HERE)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_in_ci_a_skipped_test_is_a_failure_that_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Or a machine that lacks something would look as if everything had been tested on it."""
    done = run(tmp_path, *arguments, CI="true")

    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_suite.py::test_one_that_does_not: Skipped: the moon is not full" in done.stdout


def test_elsewhere_a_skipped_test_is_only_skipped(tmp_path: Path) -> None:
    """At a desk one may well do without PostgreSQL."""
    done = run(tmp_path)

    assert done.returncode == pytest.ExitCode.OK
    assert "1 passed, 1 skipped" in done.stdout


def test_the_rule_holds_for_this_suite() -> None:
    """pytest hears of it through conftest.py."""
    import conftest
    import no_skips

    assert conftest.pytest_sessionfinish is no_skips.pytest_sessionfinish
    assert conftest.pytest_terminal_summary is no_skips.pytest_terminal_summary


def test_the_files_that_begin_first_are_there() -> None:
    """One that was renamed would begin last, and run alone at the end."""
    import conftest

    assert [name for name in conftest.LONGEST_FIRST if not (HERE / name).is_file()] == []
    assert [name for name in conftest.LONG if not (HERE / name).is_dir()] == []
