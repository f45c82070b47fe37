"""`postscan audit` on a real database: the trail as it is shown, exported into a file, and dropped."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import ANNA
from destinations import small_disk
from typer.testing import Result

from postscan.cli.output import audit_file
from postscan.core.engine import Engine
from postscan.core.model.records import AuditLine
from postscan.plugins.testing.runner import EXAMPLE_TIME

Postscan = Callable[..., Result]
DAY = EXAMPLE_TIME.date()
NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture
def lines(core: Engine) -> list[AuditLine]:
    """Three lines of one day and one of the next, with text that needs care."""
    for number, detail in enumerate(('"quoted"\n\x1b[1m\u2028é', "", "x" * 300, "the next day")):
        at = EXAMPLE_TIME + timedelta(days=number // 3, microseconds=number)
        core.store.record(AuditLine.of(ANNA, "cancel", f"job-{number}", at, detail=detail))
    return core.store.audit()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The name of a file that does not exist."""
    return tmp_path / "audit.jsonl"


def shown(postscan: Postscan, *options: str) -> list[str]:
    """Return the jobs of the lines that the trail has."""
    return [line["token"] for line in json.loads(postscan("audit", *options, "--json").stdout)]


def test_the_trail_is_shown_without_a_command_as_ever(postscan: Postscan, lines: list[AuditLine]) -> None:
    """A token, and options before or behind it, are those of `show`; so is a name that is no command."""
    assert shown(postscan) == [line.token for line in lines]
    assert shown(postscan, "job-1") == ["job-1"]
    assert shown(postscan, "--limit", "1") == ["job-3"]
    assert shown(postscan, "--limit", "1", "job-0") == shown(postscan, "job-0", "--limit", "1") == ["job-0"]
    assert postscan("audit").stdout == postscan("audit", "show").stdout
    assert postscan("audit", "exports").stdout == "the audit trail has no line for exports\n"
    assert "--limit" in postscan("audit", "show", "--help").stdout
    assert "export" in postscan("audit", "--help").stdout


def test_old_lines_are_exported_and_dropped(postscan: Postscan, file: Path, lines: list[AuditLine]) -> None:
    """T-Q4: one JSON object on each line, with the keys of --json; then they are gone, and a line says so."""
    before = json.loads(postscan("audit", "--json").stdout)[:3]
    exported = postscan("audit", "export", "--before", NEXT_DAY, "--to", file)
    assert (exported.exit_code, exported.stdout) == (0, f"3 lines exported to {file}\n")
    assert [json.loads(text) for text in file.read_text("ascii").splitlines()] == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert shown(postscan) == [line.token for line in lines]

    dropped = postscan("audit", "drop", file)

    assert (dropped.exit_code, dropped.stdout) == (0, "3 lines dropped\n")
    assert shown(postscan) == ["job-3", "audit"]
    assert postscan("audit", "drop", file).stdout == "0 lines dropped; 3 were dropped before\n"


def test_lines_are_exported_to_standard_output(postscan: Postscan, file: Path, lines: list[AuditLine]) -> None:
    """For a pipe; what went into a file by it can be dropped as well."""
    file.write_bytes(postscan("audit", "export", "--before", NEXT_DAY).stdout_bytes)

    assert postscan("audit", "drop", file).stdout == "3 lines dropped\n"


@pytest.mark.parametrize(
    ("date", "count"),
    [
        (f"{DAY}", 0),
        (f"{NEXT_DAY}", 3),
        (f"{EXAMPLE_TIME:%Y-%m-%dT%H:%M:%SZ}", 0),
        ((EXAMPLE_TIME + timedelta(microseconds=1)).isoformat(), 1),
        ((EXAMPLE_TIME + timedelta(microseconds=2)).replace(tzinfo=None).isoformat(), 2),
        ("9999-12-31", 4),
    ],
)
def test_a_date_is_its_beginning_and_a_time_without_a_zone_is_in_utc(
    postscan: Postscan, lines: list[AuditLine], date: str, count: int
) -> None:
    """As all times that the command line shows."""
    assert len(postscan("audit", "export", "--before", date).stdout.splitlines()) == count


@pytest.mark.parametrize("date", ["yesterday", "2026-02-30", "2026-13-01", "", "0001-01-01T00:00+14:00"])
def test_what_is_no_date_is_refused(postscan: Postscan, file: Path, date: str) -> None:
    """A wrong command line, with what was expected; nothing is made."""
    refused = postscan("audit", "export", "--before", date, "--to", file)

    assert refused.exit_code == 2
    assert f"{date!r} is no date; expected 2026-01-31 or 2026-01-31T08:00Z" in " ".join(refused.stderr.split())
    assert not file.exists()


def test_an_export_needs_a_date(postscan: Postscan) -> None:
    """All of the trail is never exported by accident."""
    assert postscan("audit", "export").exit_code == 2


@pytest.mark.parametrize("kind", ["file", "folder", "broken link"])
def test_nothing_that_exists_is_overwritten(postscan: Postscan, file: Path, lines: list[AuditLine], kind: str) -> None:
    """An earlier export may be the only copy of its lines."""
    if kind == "file":
        file.write_text("older")
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("nowhere")
    refused = postscan("audit", "export", "--before", NEXT_DAY, "--to", file)

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"postscan: {file}: it exists; expected the name of a new file\n"
    assert kind != "file" or file.read_text() == "older"


def test_a_file_that_appears_meanwhile_is_not_overwritten(file: Path, lines: list[AuditLine]) -> None:
    """Two exports to one name: the second one to end is refused, and leaves nothing of its own."""

    def others() -> Iterator[AuditLine]:
        file.write_text("of another export")
        yield from lines

    with pytest.raises(FileExistsError, match="expected the name of a new file"):
        audit_file.create(others(), file)
    assert file.read_text() == "of another export"
    assert [path for path in file.parent.iterdir() if "part" in path.name] == []


def test_an_export_that_finds_no_room_leaves_nothing(
    postscan: Postscan, tmp_path: Path, core: Engine, lines: list[AuditLine]
) -> None:
    """The file is complete or is not there; the trail has all lines."""
    core.store.record(*(AuditLine.of(ANNA, "end", "job", EXAMPLE_TIME, detail="x" * 1000) for _ in range(200)))
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", 64 * 1024) as disk:
        refused = postscan("audit", "export", "--before", NEXT_DAY, "--to", disk / "audit.jsonl")

        assert refused.exit_code == 1
        assert "No space left on device" in refused.stderr
        assert list(disk.iterdir()) == []
    assert len(core.store.audit(limit=1000)) == 204


def test_standard_output_without_room_is_an_error(settings_file: Path, lines: list[AuditLine]) -> None:
    """A shell that redirects to a full disk gets another exit code than 0."""
    command = [sys.executable, "-P", "-m", "postscan.cli", "--config", settings_file, "audit", "export"]
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([*command, "--before", str(NEXT_DAY)], stdout=full, stderr=subprocess.PIPE, check=False)

    assert ran.returncode != 0
    assert b"No space left on device" in ran.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[]",
        "{}",
        '{"seq": 1}',
        '{"at": "x", "who": "", "proof": "", "verb": "", "token": "", "outcome": "", "detail": "", "seq": 1}',
        '{"at": "2026-01-01", "who": "", "proof": "", "verb": "", "token": "", "outcome": "", "detail": "", "seq": 0}',
        "[" * 100_000,
        '"\ufffd',
    ],
)
def test_a_file_that_is_no_export_drops_nothing(
    postscan: Postscan, file: Path, lines: list[AuditLine], wrong: str
) -> None:
    """Its first wrong line is named; one that was cut by a crash is wrong as well."""
    postscan("audit", "export", "--before", NEXT_DAY, "--to", file)
    file.write_text(file.read_text() + wrong)
    refused = postscan("audit", "drop", file)

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"postscan: {file}, line 4: ")
    assert "expected a line that `postscan audit export` has written" in refused.stderr
    assert shown(postscan) == [line.token for line in lines]


def test_a_part_of_an_export_drops_that_part(postscan: Postscan, file: Path, lines: list[AuditLine]) -> None:
    """Whole lines of a file that was cut: what is missing in it stays in the trail."""
    postscan("audit", "export", "--before", NEXT_DAY, "--to", file)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))

    assert postscan("audit", "drop", file).stdout == "2 lines dropped\n"
    assert shown(postscan) == ["job-2", "job-3", "audit"]


def test_a_changed_export_drops_nothing(postscan: Postscan, file: Path, lines: list[AuditLine]) -> None:
    """It would not be a copy of what is deleted."""
    postscan("audit", "export", "--before", NEXT_DAY, "--to", file)
    file.write_text(file.read_text().replace("job-2", "job-9"))
    refused = postscan("audit", "drop", file)

    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"postscan: {file}: 'seq 3' is not valid; expected the line that the audit trail")
    assert shown(postscan) == [line.token for line in lines]


def test_a_file_that_is_not_there_is_named(postscan: Postscan, file: Path) -> None:
    """One line, exit code 1."""
    refused = postscan("audit", "drop", file)

    assert (refused.exit_code, refused.stderr) == (1, f"postscan: {file}: No such file or directory\n")
