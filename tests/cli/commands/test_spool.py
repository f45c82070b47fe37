"""`postscan spool`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from conftest import ANNA
from typer.testing import Result
from works import Works

from postscan.core.engine import Engine


def test_the_spool_of_the_database_needs_nothing(postscan: Callable[..., Result]) -> None:
    """Nor does a new installation."""
    for arguments in (["--check"], []):
        result = postscan("spool", "adopt", *arguments)

        assert (result.exit_code, result.stdout) == (0, "the spool is that of the database\n")


def test_another_spool_is_shown_and_then_adopted(postscan: Callable[..., Result], tmp_path: Path) -> None:
    """--check changes nothing and exits with 1; then the database has it, with what it is told before."""
    postscan("spool", "adopt")
    stray = tmp_path / "data" / "spool" / "job" / "1-page"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"page")
    (tmp_path / "data" / "spool" / "spool-id").write_text("another")
    shown = [postscan("spool", "adopt", "--check") for _ in range(2)]
    adopted = postscan("spool", "adopt")
    after = postscan("spool", "adopt", "--check")

    assert [one.exit_code for one in shown] == [1, 1]
    assert shown[0].stdout.splitlines() == [
        "open jobs with a missing file: 0; the next server aborts them",
        "files of no job: 1; the next server puts them aside",
    ]
    assert shown[0].stderr.startswith("postscan: the spool is not that of the database: ")
    assert shown[0].stderr.endswith("has no spool yet; to use it: postscan spool adopt\n")
    assert "is spool another" in shown[0].stderr
    assert adopted.exit_code == 0
    assert adopted.stdout.splitlines()[:2] == shown[0].stdout.splitlines()
    assert (after.exit_code, after.stdout) == (0, "the spool is that of the database\n")


def test_each_callers_share_of_the_spool_is_listed(postscan: Callable[..., Result], core: Engine) -> None:
    """In bytes and in per cent of what a caller may store, as JSON too."""
    works = Works(core, ANNA)
    works.send(works.create("copy"), data=b"x" * 3000)
    most = core.settings.limits.caller_bytes
    table = postscan("spool", "usage").stdout.splitlines()[-1].split()

    assert table == [ANNA.name, "3,000", "0", f"{most:,}", "0%"]
    assert json.loads(postscan("spool", "usage", "--json").stdout) == [
        {"caller": ANNA.name, "documents": 3000, "logs": 0, "most": most, "share": round(3000 / most, 4)}
    ]


def test_an_empty_spool_is_said_to_be_empty(postscan: Callable[..., Result]) -> None:
    """Without a head of a table."""
    assert postscan("spool", "usage").stdout == "the spool keeps no document\n"
