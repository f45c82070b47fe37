"""The command line as such: help, version, and how errors leave."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from postscan.cli.app import app

COMMANDS = (
    *(
        "serve",
        "worker",
        "demo",
        "send",
        "cancel",
        "migrate",
        "jobs",
        "process",
        "plugin",
        "naming",
        "naming preview",
        "spool adopt",
        "doctor",
        "reload",
        "device",
        "console",
    ),
    *("jobs list", "jobs counts", "jobs show", "jobs watch", "jobs log", "jobs retry"),
    *("process new", "process show", "process edit", "process remove"),
    *("process export", "process import", "process preview"),
    *("process list", "process add", "process check", "process test"),
    *("sources list", "sources show", "sources stop", "sources start", "sources scan"),
    *("destinations list", "destinations check"),
    *("accounts list", "accounts add", "accounts password", "accounts remove", "accounts hash", "accounts role"),
    *("console link", "console token add", "console token list", "console token remove"),
    *("plugin list", "plugin info", "plugin check", "plugin enable", "plugin disable", "plugin new"),
)
HEAVY = ("sqlalchemy", "alembic", "httpx2", "lxml", "pydantic", "uvicorn", "starlette", "structlog", "argon2")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-P", "-m", "postscan.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_version_is_that_of_the_distribution() -> None:
    """`postscan --version`, as a real process."""
    finished = run("--version")

    assert (finished.returncode, finished.stdout) == (0, f"postscan {version('postscan')}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """--help begins with how to call it, and goes on with a sentence that says what it does."""
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    usage, _, sentence, *_ = result.stdout.splitlines()

    assert result.exit_code == 0
    assert usage.startswith("Usage: ")
    assert sentence.strip().endswith(".")


def test_an_unknown_command_is_a_wrong_command_line() -> None:
    """Exit code 2, and the name that is not known."""
    finished = run("frobnicate")

    assert finished.returncode == 2
    assert "frobnicate" in finished.stderr


def test_the_shell_completes_commands() -> None:
    """`postscan jo<TAB>`, asked as bash asks the installed script."""
    script = Path(sys.executable).with_name("postscan")
    asked = {"_POSTSCAN_COMPLETE": "complete_bash", "COMP_WORDS": "postscan jo", "COMP_CWORD": "1"}
    finished = subprocess.run([script], capture_output=True, text=True, timeout=60, env={**os.environ, **asked})

    assert finished.stdout.split() == ["jobs"]


def test_a_command_is_imported_and_built_when_it_is_called() -> None:
    """Typer reads the signature of each function of each command that it builds."""
    code = (
        "import sys; from postscan.cli.app import cli; cli.get_command(None, 'cancel'); "
        "print([name for name in sys.modules if name.startswith('postscan.cli.commands.')])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert finished.stdout == "['postscan.cli.commands.cancel']\n"


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """`postscan --help` answers at once: databases, HTTP and XML wait for the command that needs them."""
    code = f"import sys, postscan.cli.app; print([name for name in {HEAVY} if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert finished.stdout == "[]\n"


def test_a_missing_settings_file_is_one_line(tmp_path: Path) -> None:
    """An error that was to be expected leaves as a sentence and exit code 1, never as a traceback."""
    finished = run("--config", str(tmp_path / "none.toml"), "process", "list")

    assert finished.returncode == 1
    assert finished.stderr == f"postscan: {tmp_path}/none.toml: cannot be read: No such file or directory\n"


def test_every_wrong_setting_is_named(postscan: Callable[..., Result], settings_file: Path) -> None:
    """File, key, and what was expected."""
    settings_file.write_text("[server]\nport = 99999\nprot = 1\n")
    result = postscan("process", "list")

    assert result.exit_code == 1
    assert "server.port" in result.stderr
    assert "server.prot: there is no such setting" in result.stderr


def test_the_settings_may_come_from_the_environment(settings_file: Path) -> None:
    """POSTSCAN_CONFIG is as good as --config."""
    settings_file.write_text("nonsense = 1\n")
    result = CliRunner().invoke(app, ["process", "list"], env={"POSTSCAN_CONFIG": str(settings_file)})

    assert result.exit_code == 1
    assert "nonsense: there is no such setting" in result.stderr


def test_a_closed_pipe_is_no_error_message(settings_file: Path) -> None:
    """`postscan ... | head -0`: whoever read the output has enough."""
    command = f"{sys.executable} -P -m postscan.cli --help | true"
    finished = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)

    assert finished.stderr == ""


def test_serve_judges_its_options_like_the_settings(postscan: Callable[..., Result]) -> None:
    """Plain HTTP stays at home (decision 23), whether the address stands in the file or on the command line."""
    result = postscan("serve", "--host", "0.0.0.0")

    assert result.exit_code == 1
    assert "allow_plain_http = true" in result.stderr


def test_the_demo_without_its_extra_says_what_to_install() -> None:
    """Without Pillow there is one line, and nothing is started."""
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'PIL' else find(name, *more)\n"
        "import sys; sys.argv = ['postscan', 'demo']\n"
        "from postscan.cli import main; main()"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert finished.returncode == 1
    assert finished.stdout == ""
    assert finished.stderr.startswith("postscan: the demo needs")
    assert "pip install 'postscan[demo]'" in finished.stderr


def test_the_demo_never_writes_into_a_folder_that_is_in_use(tmp_path: Path) -> None:
    """--keep takes a new or an empty folder."""
    (tmp_path / "precious").write_text("x")
    result = CliRunner().invoke(app, ["demo", "--keep", str(tmp_path)])

    assert result.exit_code == 1
    assert "is not empty" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
