"""`postscan init --systemd`: what it writes, that it can be repeated, and what systemd thinks of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from postscan.cli.systemd import installation
from postscan.cli.systemd.installation import FILES, install
from postscan.core.errors import SettingsError

PROGRAM = Path("/opt/postscan/bin/postscan")
UNIT = "etc/systemd/system/postscan.service"
MOST_EXPOSED = 2.0
"""systemd's measure from 0 to 10; below 3 the service counts as protected."""


def service(root: Path) -> Any:
    """Return the section [Service] of the installed unit."""
    parser = ConfigParser(strict=False)
    parser.read(root / UNIT)
    return parser["Service"]


def analyzed(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    program = shutil.which("systemd-analyze")
    assert program is not None, "systemd-analyze is missing: apt-get install systemd"
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, env={"LC_ALL": "C.UTF-8"}
    )


def test_each_file_is_written_once(tmp_path: Path) -> None:
    """The second call finds all of it, and changes nothing."""
    first, second = install(tmp_path, PROGRAM), install(tmp_path, PROGRAM)

    assert [file.path for file in first] == [tmp_path / place for place in FILES.values()]
    assert [(file.is_changed, file.path.stat().st_mode & 0o777) for file in first] == [(True, 0o644)] * 3
    assert [file.is_changed for file in second] == [False] * 3
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(file.path for file in first)


def test_a_file_that_was_changed_by_hand_is_kept(tmp_path: Path) -> None:
    """And nothing else is written then: a unit belongs to one version."""
    unit = tmp_path / UNIT
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    with pytest.raises(SettingsError, match=r"postscan.service: differs from what is shipped; --overwrite"):
        install(tmp_path, PROGRAM)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    install(tmp_path, PROGRAM, overwrite=True)

    assert kept == [unit]
    assert service(tmp_path)["ExecStart"] == f"{PROGRAM} serve"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, Path("/srv/old/postscan"))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(installation.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        install(tmp_path, PROGRAM, overwrite=True)

    assert service(tmp_path)["ExecStart"] == "/srv/old/postscan serve"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


@pytest.mark.parametrize(
    "program", ["bin/postscan", "/opt/my programs/postscan", "/opt/100%/postscan", "/opt/a\nUser=root/postscan"]
)
def test_a_program_that_a_unit_cannot_name_is_refused(tmp_path: Path, program: str) -> None:
    """A blank would end the path, and a line break begin another setting."""
    with pytest.raises(SettingsError, match="a unit cannot name this path"):
        install(tmp_path, Path(program))


@pytest.mark.parametrize("folder", ["/root/venv/bin", "/home/ann/.local/bin", "/tmp/x", "/var/tmp/x"])
def test_a_program_in_a_folder_that_the_unit_hides_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(SettingsError, match="the unit hides this path"):
        install(tmp_path, Path(folder) / "postscan")


def test_the_command_prints_what_it_did(postscan: Callable[..., Any], tmp_path: Path) -> None:
    """For another root there is no next command: that machine does not run."""
    command = ("init", "--systemd", "--root", str(tmp_path), "--program", str(PROGRAM))
    first, second = postscan(*command), postscan(*command)

    assert first.stdout.splitlines() == [f"written: {tmp_path / place}" for place in FILES.values()]
    assert second.stdout.splitlines() == [f"as it was: {tmp_path / place}" for place in FILES.values()]
    assert postscan("init").exit_code == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("WatchdogSec", "30"),
        ("TimeoutStartSec", "infinity"),
        ("UMask", "0077"),
        ("StateDirectoryMode", "0700"),
        ("KillMode", "mixed"),
        ("ExecReload", f"{PROGRAM} reload"),
        ("OOMPolicy", "continue"),
        ("Restart", "on-failure"),
        ("LimitNOFILE", "65536"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
    ],
)
def test_the_unit_sets_what_the_server_relies_on(tmp_path: Path, key: str, value: str) -> None:
    """KillMode and OOMPolicy let filters end by themselves; the rest bounds what a filter can reach."""
    install(tmp_path, PROGRAM)

    assert service(tmp_path)[key] == value


def test_systemd_waits_longer_than_a_drain(tmp_path: Path) -> None:
    """Else it kills filters that still have time to end."""
    from postscan.core.settings import Settings

    install(tmp_path, PROGRAM)
    settings = Settings()
    longest = settings.server.drain_seconds + settings.running.grace_seconds + settings.running.term_seconds

    assert float(service(tmp_path)["TimeoutStopSec"]) > longest


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit_and_counts_it_as_protected(tmp_path: Path) -> None:
    """It knows each key and value; the program of the unit is one that every machine has."""
    install(tmp_path, Path("/bin/true"))
    unit = tmp_path / UNIT
    verified = analyzed("verify", unit)
    judged = analyzed("security", "--offline=true", "--no-pager", unit)
    found = re.search(r"Overall exposure level for postscan.service: ([\d.]+) ", judged.stdout)

    assert (verified.returncode, verified.stderr) == (0, "")
    assert found is not None, judged.stderr
    assert float(found[1]) < MOST_EXPOSED


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="needs systemd-sysusers")
def test_the_user_and_the_folder_are_made_by_systemds_own_tools(tmp_path: Path) -> None:
    """In a root folder of their own; who may read is set as root alone."""
    install(tmp_path, PROGRAM)
    (tmp_path / "etc" / "postscan.toml").write_text("")
    for program, *options in (("systemd-sysusers",), ("systemd-tmpfiles", "--create")):
        ended = subprocess.run(
            [program, *options, f"--root={tmp_path}", "postscan.conf"], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr

    assert "postscan:x:" in (tmp_path / "etc" / "passwd").read_text()
    assert ":/var/lib/postscan:" in (tmp_path / "etc" / "passwd").read_text()
    assert (tmp_path / "etc" / "postscan").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "etc" / "postscan.toml").stat().st_mode & 0o777 == 0o640
