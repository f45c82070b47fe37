"""`postscan plugin enable` and `postscan plugin disable`: one list in the settings changes, and nothing else."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from described_plugins import PARCEL, Install
from typer.testing import CliRunner, Result

from postscan.cli.app import app
from postscan.core.registry import disabled as disabled_plugins


def test_a_disabled_plugin_stays_visible_and_none_of_its_code_is_imported(
    postscan: Callable[..., Result], settings_file: Path, tmp_path: Path, install: Install
) -> None:
    """Its import would leave a file: not while it is switched off, not while it is listed or explained."""
    trace = tmp_path / "imported"
    install("unwanted", f"open({str(trace)!r}, 'w').close()\n{PARCEL}")

    assert postscan("plugin", "disable", "unwanted").exit_code == 0
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("unwanted "))
    assert row.split()[3:] == ["disabled"]
    assert "State:    disabled\n" in postscan("plugin", "info", "unwanted").stdout
    assert postscan("plugin", "enable", "unwanted").exit_code == 0
    assert not trace.exists()

    assert "urn:test:parcel" in postscan("plugin", "info", "unwanted").stdout
    assert trace.exists()


@pytest.mark.usefixtures("hamper")
def test_a_source_is_switched_off_as_filters_are(postscan: Callable[..., Result]) -> None:
    """And then never imported."""
    assert postscan("plugin", "disable", "hamper").exit_code == 0
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("hamper "))

    assert row.split()[3:] == ["disabled", "(source)"]
    assert postscan("plugin", "enable", "hamper").exit_code == 0


LAYOUTS = {
    "no table": ("# ours\na = 1\n", '# ours\na = 1\n\n[plugins]\ndisabled = ["stamp"]\n'),
    "a table": (
        "[plugins]  # of ours\nprobe_seconds = 3\n\n[x]\ny = 1\n",
        '[plugins]  # of ours\nprobe_seconds = 3\ndisabled = ["stamp"]\n\n[x]\ny = 1\n',
    ),
    "dotted": ("plugins.disabled = ['a']  # why\n", "plugins.disabled = ['a', \"stamp\"]  # why\n"),
    "inline": (
        "plugins = { disabled = [] , probe_seconds = 3 }\n",
        'plugins = { disabled = ["stamp"] , probe_seconds = 3 }\n',
    ),
    "lines": (
        "[plugins]\ndisabled = [\n  'a',  # too slow\n]\n# end\n",
        "[plugins]\ndisabled = [\n  'a',  # too slow\n  \"stamp\",\n]\n# end\n",
    ),
    "windows": ("[plugins]\r\ndisabled = []\r\n", '[plugins]\r\ndisabled = ["stamp"]\r\n'),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_list_of_the_disabled_changes(layout: str) -> None:
    """Comments, blanks and line ends stay as the administrator wrote them; and the way back is a way back."""
    before, after = LAYOUTS[layout]

    assert disabled_plugins.edited(before, "stamp", disabled=True) == after
    back = tomllib.loads(disabled_plugins.edited(after, "stamp", disabled=False))
    assert back.pop("plugins", {}).get("disabled") == tomllib.loads(before).get("plugins", {}).get("disabled", [])
    assert back == {key: value for key, value in tomllib.loads(before).items() if key != "plugins"}


def test_the_file_keeps_its_mode_and_its_place_behind_a_link(settings_file: Path, tmp_path: Path) -> None:
    """It may hold passwords, and may lie elsewhere than where it is named."""
    settings_file.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(settings_file)
    result = CliRunner().invoke(app, ["--config", str(link), "plugin", "disable", "stamp"])

    assert result.stdout == f"stamp is disabled in {settings_file}; restart a running server\n"
    assert tomllib.loads(settings_file.read_text())["plugins"]["disabled"] == ["stamp"]
    assert stat.S_IMODE(settings_file.stat().st_mode) == 0o640
    assert link.is_symlink()


def test_a_write_that_fails_leaves_the_file_as_it_was(
    postscan: Callable[..., Result], settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or not at all, and nothing beside it."""

    def full(_: object) -> None:
        raise OSError(28, "No space left on device", str(settings_file))

    before = settings_file.read_text()
    monkeypatch.setattr("os.fsync", full)
    result = postscan("plugin", "disable", "stamp")

    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert settings_file.read_text() == before
    assert [path.name for path in settings_file.parent.iterdir() if "postscan.toml" in path.name] == ["postscan.toml"]


@pytest.mark.parametrize(("verb", "word"), [("enable", "enabled"), ("disable", "disabled")])
def test_what_is_so_already_is_said_and_nothing_is_written(
    postscan: Callable[..., Result], settings_file: Path, verb: str, word: str
) -> None:
    """That is no error."""
    settings_file.write_text("plugins.disabled = ['stamp']\n" if verb == "disable" else "plugins.disabled = []\n")
    before = settings_file.stat()
    result = postscan("plugin", verb, "stamp")

    assert (result.exit_code, result.stdout) == (0, f"stamp is already {word}\n")
    assert (settings_file.stat().st_ino, settings_file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_without_a_settings_file_the_line_is_told(tmp_path: Path) -> None:
    """And that line does it."""
    result = CliRunner().invoke(app, ["plugin", "disable", "stamp"], env={"POSTSCAN_CONFIG": None})
    line = result.stderr.partition("the line ")[2].partition(", and name it")[0]

    assert result.exit_code == 1
    assert tomllib.loads(line) == {"plugins": {"disabled": ["stamp"]}}


def test_an_unknown_name_is_refused(postscan: Callable[..., Result], settings_file: Path) -> None:
    """A slip of the pen must not look like a plugin that is switched off."""
    before = settings_file.read_text()
    results = [postscan("plugin", verb, "stmap") for verb in ("enable", "disable")]

    assert [result.exit_code for result in results] == [1, 1]
    assert all("no plugin 'stmap' is installed; installed are: acme, " in result.stderr for result in results)
    assert settings_file.read_text() == before


def test_a_name_that_is_no_longer_installed_can_be_taken_off_the_list(
    postscan: Callable[..., Result], settings_file: Path
) -> None:
    """Else it would stay there forever."""
    settings_file.write_text("plugins.disabled = ['gone', 'stamp']\n")
    result = postscan("plugin", "enable", "gone")

    assert result.exit_code == 0
    assert settings_file.read_text() == "plugins.disabled = ['stamp']\n"


def test_settings_that_cannot_be_used_are_not_touched(postscan: Callable[..., Result], settings_file: Path) -> None:
    """The mistake is told, as by every other command."""
    settings_file.write_text("[limits]\nopen_jobs = 0\n")
    result = postscan("plugin", "disable", "stamp")

    assert result.exit_code == 1
    assert "limits.open_jobs" in result.stderr
    assert settings_file.read_text() == "[limits]\nopen_jobs = 0\n"
