"""`postscan directory check`: what an administrator reads about the directories, a user, and the processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import staff
from plugin_names import unused
from staff import ANN, BOB, INVOICES, SCANNERS, Staff
from stored_processes import letter
from typer.testing import Result

from postscan.soap.processes import drafts
from postscan.soap.processes.files import NONE
from postscan.soap.processes.folder import ProcessFolder

PSP = drafts.new("Scans", (), (letter("one"),), server="scan01", author="ann").xml
OWN = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"


@pytest.fixture
def people(settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staff:
    """A directory that the settings use, and a process of the folder that is for all."""
    monkeypatch.syspath_prepend(str(staff.OUTSIDE))
    found = Staff(tmp_path)
    found.add("ann", ANN, groups=[SCANNERS], mail="ann@fabrikam.example", display_name="Ann Lee")
    found.add("bob", BOB, enabled=False, reason="account locked")
    assert PSP is not None
    found.process(INVOICES, members=(SCANNERS,), xml=PSP.decode())
    with settings_file.open("a") as file:
        file.write(f"[plugins]\ndisabled = {json.dumps(unused())}\n[plugins.staff]\nfile = {str(found.path)!r}\n")
    own = drafts.new("Own", (), (letter("one"),), server="scan01", author="ann")
    ProcessFolder(tmp_path / "data" / "processes").replace(OWN, NONE, own)
    return found


@pytest.mark.usefixtures("people")
def test_a_user_is_explained_with_each_process_and_why(postscan: Callable[..., Result]) -> None:
    """As a running server would decide."""
    found = postscan("directory", "check", "--user", "ann")

    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines() == [
        "staff: ready",
        "",
        f"ann@fabrikam.example ({ANN}), of staff",
        "  may create jobs",
        "  mail: ann@fabrikam.example",
        "  display name: Ann Lee",
        f"  groups: {SCANNERS}",
        "  may use Own (folder): it is for all users",
        f"  may use Invoices (staff): {SCANNERS} is a member",
    ]


def test_a_disabled_user_an_unknown_one_and_a_directory_that_is_away_end_with_1(
    postscan: Callable[..., Result], people: Staff
) -> None:
    """For scripts."""
    locked = postscan("directory", "check", "--user", BOB, "--json")
    unknown = postscan("directory", "check", "--user", "eve")
    people.fail("away")
    away = postscan("directory", "check")

    assert (locked.exit_code, unknown.exit_code, away.exit_code) == (1, 1, 1)
    assert json.loads(locked.stdout)["user"]["reason"] == "account locked"
    assert "neither the settings nor a directory have this user" in unknown.stdout
    assert away.stdout.splitlines() == ["staff: ready; the directory does not answer: it is away"]


@pytest.mark.usefixtures("people")
def test_a_plugin_of_hooks_is_listed_and_explained_without_its_values(postscan: Callable[..., Result]) -> None:
    """As filters and sources are."""
    rows = [" ".join(line.split()) for line in postscan("plugin", "list").stdout.splitlines()]
    lines = [" ".join(line.split()) for line in postscan("plugin", "info", "staff").stdout.splitlines()]
    check = postscan("plugin", "check", "staff")

    assert "staff 1.0 acme-directory ready (hooks) Staff" in rows
    assert [line for line in lines if line.startswith("Has:")] == [
        "Has: postscan_find_user",
        "Has: postscan_find_process",
        "Has: postscan_processes",
    ]
    assert "password text, secret" in lines
    assert (check.exit_code, "assert_hooks_contract" in check.stdout) == (2, True)
