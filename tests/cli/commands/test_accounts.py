"""`postscan accounts` on a real database: from the terminal, from a pipe, and beside a running server."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import argon2
import commands
import databases
import pytest
from conftest import AnyProcess
from hashers import RecordingHasher
from plugin_names import unused
from typer.testing import CliRunner, Result

from postscan.cli.app import app
from postscan.core.engine import Engine
from postscan.core.model.accounts.account import AccountUser
from postscan.core.settings import load
from postscan.core.store.store import Store

SID = "S-1-5-21-1-2-3-1001"
PASSWORD, OTHER_PASSWORD = "right horse battery", "another horse bättery"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

Postscan = Callable[..., Result]


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let argon2 take no time in this process; what it takes otherwise is tested in `core/service/accounts`."""
    monkeypatch.setattr(argon2, "PasswordHasher", RecordingHasher)


@pytest.fixture
def settings_file(settings_file: Path) -> Path:
    """Settings with two inlets and an account."""
    databases.migrated(load(settings_file).storage.url)
    settings_file.write_text(
        settings_file.read_text()
        + '[destinations.all]\nlabel = "All"\nprocess = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"\n'
        + '[sources.mail]\nplugin = "smtp"\n[sources.ftp]\nplugin = "ftp"\n'
        + f'[accounts.Console]\nhash = "{HASH}"\nuser = "{SID}"\n'
    )
    return settings_file


@pytest.fixture
def typed(settings_file: Path) -> Callable[..., Result]:
    """Run a command with a text on its standard input."""

    def run(text: str | bytes, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(settings_file), "accounts", *arguments], input=text)

    return run


@pytest.fixture
def server(settings_file: Path) -> Iterator[Engine]:
    """The engine of a server: another process than the commands, as far as the database can tell."""
    with contextlib.closing(Engine(load(settings_file), AnyProcess())) as engine:
        yield engine


def cells(result: Result) -> list[list[str]]:
    """Return the rows of a table, without its head."""
    return [line.split() for line in result.stdout.splitlines()[2:] if line.strip()]


def test_an_account_is_added_with_a_password_from_a_pipe(typed: Callable[..., Result], server: Engine) -> None:
    """A running server accepts it at once, at its inlets."""
    result = typed(PASSWORD + "\n", "add", "Front-Desk", "--user", SID, "--inlet", "mail")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "added front-desk\n", "")
    assert server.accounts.verify("front-desk", PASSWORD, "mail") == AccountUser("front-desk", SID)
    assert server.accounts.verify("front-desk", PASSWORD, "ftp") is None


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nsecond line\n"])
def test_the_first_line_is_the_password(typed: Callable[..., Result], server: Engine, end: str) -> None:
    """However it ends."""
    assert typed((OTHER_PASSWORD + end).encode(), "add", "ann", "--user", SID).exit_code == 0
    assert server.accounts.verify("ann", OTHER_PASSWORD, "mail") == AccountUser("ann", SID)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "password is missing or empty"),
        (b"\n" + PASSWORD.encode(), "password is missing or empty"),
        (b"short\n", "expected at least 12 characters"),
        (b"\xff" * 20 + b"\n", "is not UTF-8"),
        (b"x" * 100_000, "has more than 4096 bytes"),
    ],
)
def test_a_password_that_is_refused(typed: Callable[..., Result], text: bytes, said: str, server: Engine) -> None:
    """One line, without the password, and exit code 1; nothing is stored."""
    result = typed(text, "add", "ann", "--user", SID)

    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "short\n" not in result.stderr.replace("'short'", "short")
    assert typed("", "list").stdout.count(SID) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "console", "--user", SID), "name: 'console' is not valid; expected one that is not in the settings"),
        (("add", "a b", "--user", SID), "name: 'a b' is not valid; expected 1 to 128 letters"),
        (("add", "bob", "--user", "bob"), "user: 'bob' is not valid; expected a SID"),
        (("add", "bob", "--user", SID, "--inlet", "fax"), "inlet: 'fax' is not valid; expected the name of a table"),
        (("password", "bob"), "there is no account 'bob'"),
        (("password", "console"), "expected one that is not in the settings"),
        (("remove", "bob"), "there is no account 'bob'"),
        (("role", "bob", "viewer"), "there is no account 'bob'"),
        (("role", "console", "viewer"), "expected one that is not in the settings"),
        (("remove", "Console"), "expected one that is not in the settings"),
    ],
)
def test_what_cannot_be_done_is_one_line(typed: Callable[..., Result], arguments: tuple[str, ...], said: str) -> None:
    """And exit code 1."""
    result = typed(PASSWORD + "\n", *arguments)

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


@pytest.mark.parametrize("option", ["--password", "--password=x", "-p"])
def test_no_password_is_taken_from_the_command_line(typed: Callable[..., Result], option: str) -> None:
    """T-O11: other users of the machine see it there, and the shell keeps it."""
    assert typed("", "add", "ann", "--user", SID, option, PASSWORD).exit_code == 2
    assert typed("", "password", "ann", PASSWORD).exit_code == 2


def test_the_list_has_no_hash(typed: Callable[..., Result], postscan: Postscan) -> None:
    """T-O11: who, for whom, where, from where; those of the settings first."""
    typed(PASSWORD, "add", "Front-Desk", "--user", SID, "--inlet", "mail", "--inlet", "ftp")
    table, listed = postscan("accounts", "list"), postscan("accounts", "list", "--json")
    console, desk = json.loads(listed.stdout)

    assert [row[:2] for row in cells(table)] == [["console", SID], ["front-desk", SID]]
    assert cells(table)[1][2:5] == ["mail,", "ftp", "database"]
    assert console == {
        "name": "console",
        "user": SID,
        "inlets": [],
        "from": "settings",
        "hidden": False,
        "role": "owner",
        "created": None,
        "changed": None,
    }
    assert (desk["inlets"], desk["from"], desk["created"] == desk["changed"]) == (["mail", "ftp"], "database", True)
    assert "argon2" not in table.stdout + listed.stdout


def test_an_account_that_the_settings_hide_is_listed_as_such(
    typed: Callable[..., Result], postscan: Postscan, settings_file: Path
) -> None:
    """So that an administrator sees why it has no effect, and may remove it."""
    typed(PASSWORD, "add", "ann", "--user", SID)
    settings_file.write_text(settings_file.read_text().replace("Console", "Ann"))

    assert [one["hidden"] for one in json.loads(postscan("accounts", "list", "--json").stdout)] == [False, True]
    assert cells(postscan("accounts", "list"))[1][3:5] == ["database,", "hidden"]
    assert postscan("accounts", "remove", "ann").stdout == "removed\n"


def test_without_accounts_the_command_that_adds_one_is_named(settings_file: Path, postscan: Postscan) -> None:
    """No empty table."""
    settings_file.write_text(settings_file.read_text().partition("[accounts")[0])

    assert postscan("accounts", "list").stdout == "no accounts; add one: postscan accounts add NAME --user SID\n"
    assert postscan("accounts", "list", "--json").stdout == "[]\n"


def test_a_running_server_refuses_what_was_changed_and_removed(typed: Callable[..., Result], server: Engine) -> None:
    """T-O11: at once, although the old password was right a moment ago. Each change is in the audit trail."""
    typed(PASSWORD, "add", "ann", "--user", SID)
    before = server.accounts.verify("ann", PASSWORD, "mail")
    assert typed(OTHER_PASSWORD, "password", "Ann").stdout == "changed\n"
    changed = [server.accounts.verify("ann", one, "mail") for one in (PASSWORD, OTHER_PASSWORD)]
    assert typed("", "remove", "ANN").stdout == "removed\n"

    assert (before, changed) == (AccountUser("ann", SID), [None, AccountUser("ann", SID)])
    assert server.accounts.verify("ann", OTHER_PASSWORD, "mail") is None
    assert [(line.verb, line.outcome) for line in server.store.audit() if line.who != "source:mail"] == [
        ("add-account", "done"),
        ("change-password", "done"),
        ("remove-account", "done"),
    ]


def test_an_account_has_a_role_at_the_console(
    typed: Callable[..., Result], postscan: Postscan, server: Engine, settings_file: Path
) -> None:
    """That of an owner unless another is given; in the settings too. A change ends its sessions."""
    typed(PASSWORD, "add", "ann", "--user", SID)
    typed(PASSWORD, "add", "boris", "--user", SID, "--inlet", "console", "--role", "viewer")
    boris = server.accounts.sign_in("boris", PASSWORD, "192.0.2.7")
    assert boris is not None
    secret = server.sessions.begin(boris.person, "password", boris.stamp)
    changed = postscan("accounts", "role", "boris", "operator")
    settings_file.write_text(settings_file.read_text() + 'role = "administrator"\n')
    listed = json.loads(postscan("accounts", "list", "--json").stdout)

    assert changed.stdout == "changed\n"
    assert {one["name"]: one["role"] for one in listed} == {
        "console": "administrator",
        "ann": "owner",
        "boris": "operator",
    }
    assert server.sessions.find(secret) is None


def test_a_hash_for_the_settings_is_printed(settings_file: Path, typed: Callable[..., Result]) -> None:
    """With it in the file, a server that starts then accepts the password. Nothing is stored."""
    result = typed(PASSWORD, "hash")
    settings_file.write_text(settings_file.read_text().replace(HASH, result.stdout.strip()))
    with contextlib.closing(Engine(load(settings_file), AnyProcess())) as restarted:
        found = restarted.accounts.verify("console", PASSWORD, "ftp")
        lines = restarted.store.audit()

    assert result.exit_code == 0
    assert found == AccountUser("console", SID)
    assert lines == []


def test_without_the_library_the_extra_is_named(typed: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else works: accounts are listed, and removed."""
    typed(PASSWORD, "add", "ann", "--user", SID)
    monkeypatch.setitem(sys.modules, "argon2", None)
    added = typed(PASSWORD, "add", "bob", "--user", SID)

    assert (added.exit_code, added.stdout) == (1, "")
    assert added.stderr == (
        "postscan: accounts need argon2-cffi, which is not installed: pip install 'postscan[sources]'\n"
    )
    assert "ann" in typed("", "list").stdout
    assert typed("", "remove", "ann").exit_code == 0


def test_a_server_starts_without_the_library(settings_file: Path) -> None:
    """Its accounts are of no use, and nothing else is affected."""
    settings_file.write_text(
        f"[server]\nport = 0\n[console]\nenabled = false\n[plugins]\ndisabled = {unused()}\n"
        + settings_file.read_text().partition("[destinations")[0]
        + f'[accounts.ann]\nhash = "{HASH}"\nuser = "{SID}"\n'
    )
    code = (
        "import sys; sys.modules['argon2'] = None\n"
        f"sys.argv = ['postscan', '--config', {str(settings_file)!r}, 'serve']\n"
        "from postscan.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as it:
        try:
            assert it.stdout
            assert it.stdout.readline().startswith("http://127.0.0.1:")
        finally:
            it.terminate()


# --- on a terminal -----------------------------------------------------------------------------------------------


class Terminal:
    """A command that has a terminal, and what that shows."""

    def __init__(self, settings_file: Path, *arguments: str) -> None:
        self.shown = ""
        self._screen, line = pty.openpty()
        command = [sys.executable, "-P", "-m", "postscan.cli", "--config", str(settings_file), *arguments]
        self.process = subprocess.Popen(command, stdin=line, stdout=line, stderr=line, start_new_session=True)
        os.close(line)

    def until(self, text: str) -> None:
        """Wait until the terminal shows this text, behind what was waited for before."""
        start = len(self.shown)
        while text not in self.shown[start:]:
            assert select.select([self._screen], [], [], 60)[0], f"it shows only {self.shown!r}"
            self.shown += os.read(self._screen, 4096).decode()

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._screen, text.encode() + b"\n")

    def end(self) -> int:
        """Wait for the end of the command; return its exit code."""
        with contextlib.suppress(OSError):  # nobody has the terminal any more
            while select.select([self._screen], [], [], 60)[0]:
                self.shown += os.read(self._screen, 4096).decode()
        os.close(self._screen)
        return self.process.wait(60)


def test_on_a_terminal_the_password_is_asked_for_twice_without_echo(settings_file: Path, server: Engine) -> None:
    """T-O11: nobody who looks at the screen sees it."""
    terminal = Terminal(settings_file, "accounts", "add", "ann", "--user", SID)
    terminal.until("Password: ")
    terminal.type(PASSWORD)
    terminal.until("Password, again: ")
    terminal.type(PASSWORD)

    assert (terminal.end(), terminal.shown.splitlines()[-1]) == (0, "added ann")
    assert "horse" not in terminal.shown
    assert server.accounts.verify("ann", PASSWORD, "mail") == AccountUser("ann", SID)


def test_two_different_passwords_are_refused(settings_file: Path) -> None:
    """A slip of the hand is not stored."""
    terminal = Terminal(settings_file, "accounts", "add", "ann", "--user", SID)
    terminal.until("Password: ")
    terminal.type(PASSWORD)
    terminal.until("Password, again: ")
    terminal.type(OTHER_PASSWORD)

    assert terminal.end() == 1
    assert "postscan: the two passwords differ" in terminal.shown
    assert "horse" not in terminal.shown


def test_the_command_line_of_a_process_has_no_password(settings_file: Path) -> None:
    """T-O11: as other users of the machine see it, while it asks for one."""
    terminal = Terminal(settings_file, "accounts", "add", "ann", "--user", SID)
    terminal.until("Password: ")
    line = Path(f"/proc/{terminal.process.pid}/cmdline").read_bytes()
    terminal.type("")
    terminal.until("Password, again: ")
    terminal.type("")

    assert terminal.end() == 1
    assert line.split(b"\0")[-5:-1] == [b"add", b"ann", b"--user", SID.encode()]


def test_a_store_on_disk_has_no_password(typed: Callable[..., Result], settings_file: Path) -> None:
    """T-O11: neither the database nor a file beside it."""
    typed(PASSWORD, "add", "ann", "--user", SID)
    data = b"".join(path.read_bytes() for path in load(settings_file).storage.data_dir.rglob("*") if path.is_file())

    assert b"$argon2id$" in data
    assert b"horse" not in data


def test_commands_work_beside_a_server_that_serves(settings_file: Path, typed: Callable[..., Result]) -> None:
    """The whole server, in a process of its own, is not disturbed, and neither are the commands."""
    settings_file.write_text(
        f"[server]\nport = 0\n[plugins]\ndisabled = {unused()}\n"
        + settings_file.read_text().partition("[destinations")[0]
    )
    with commands.start(
        ["--config", str(settings_file), "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as serve:
        try:
            assert serve.stdout
            assert serve.stdout.readline().startswith("http://127.0.0.1:")
            codes = [typed(PASSWORD, "add", "ann", "--user", SID).exit_code, typed("", "remove", "ann").exit_code]
            assert serve.poll() is None
        finally:
            serve.terminate()

    with contextlib.closing(Store(load(settings_file).storage.url)) as store:
        assert [line.verb for line in store.audit()] == ["add-account", "remove-account"]
    assert codes == [0, 0]
