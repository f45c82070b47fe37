"""`postscan console link` and `postscan console token` on a real database, beside a running console."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import AnyProcess
from typer.testing import Result

from postscan.core.engine import Engine
from postscan.core.model.principal import Proof, Role, at_console
from postscan.core.settings import load

SID = "S-1-5-21-1-2-3-1001"
Postscan = Callable[..., Result]


@pytest.fixture
def console(settings_file: Path) -> Iterator[Engine]:
    """The engine of a console: another process than the commands, as far as the database can tell."""
    with contextlib.closing(Engine(load(settings_file), AnyProcess())) as engine:
        yield engine


@pytest.mark.parametrize(
    ("options", "role", "sid"),
    [
        ((), Role.ADMINISTRATOR, ""),
        (("--role", "viewer"), Role.VIEWER, ""),
        (("--role", "owner", "--user", SID), Role.OWNER, SID),
    ],
)
def test_a_link_signs_in_at_the_console(
    postscan: Postscan, console: Engine, options: tuple[str, ...], role: Role, sid: str
) -> None:
    """At the address of the settings; who can open the database is an administrator, unless another role is given."""
    result = postscan("console", "link", *options)
    url = urlsplit(result.stdout.strip())
    person = console.sessions.use_link(parse_qs(url.query)["secret"][0])

    assert (result.exit_code, result.stderr) == (0, "")
    assert (url.scheme, url.netloc, url.path) == ("http", "127.0.0.1:5363", "/login/link")
    assert person is not None
    assert person == at_console(person.name, Proof.LINK, role, sid)
    assert person.name.startswith("link:local:")


@pytest.mark.parametrize(
    ("table", "begins"),
    [
        ('public_url = "https://scans.fabrikam.example"', "https://scans.fabrikam.example/login/link?secret="),
        ('host = "::1"\nport = 8080', "http://[::1]:8080/login/link?secret="),
    ],
)
def test_the_link_has_the_address_of_the_settings(
    postscan: Postscan, settings_file: Path, table: str, begins: str
) -> None:
    """That of the proxy, if there is one."""
    settings_file.write_text(f"{settings_file.read_text()}[console]\n{table}\n")

    assert postscan("console", "link").stdout.startswith(begins)


def test_no_link_is_made_where_the_address_is_not_known(
    postscan: Postscan, settings_file: Path, console: Engine
) -> None:
    """One line, and nothing is stored."""
    settings_file.write_text(f"{settings_file.read_text()}[console]\nport = 0\n")
    result = postscan("console", "link")

    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "console.public_url" in result.stderr
    assert console.store.audit() == []


def test_a_token_is_added_listed_and_removed(postscan: Postscan, console: Engine) -> None:
    """The secret is printed once; a running console accepts it at once, and refuses it at once."""
    secret = postscan("console", "token", "add", "grafana", "--until", "2199-01-31").stdout.strip()
    table, listed = postscan("console", "token", "list"), postscan("console", "token", "list", "--json")
    (one,) = json.loads(listed.stdout)
    found = console.tokens.find(secret)
    removed = postscan("console", "token", "remove", "grafana")

    assert found == at_console("token:grafana", Proof.API, Role.VIEWER)
    assert (one["label"], one["role"], one["user"], one["until"]) == (
        "grafana",
        "viewer",
        "",
        "2199-01-31T00:00:00+00:00",
    )
    assert secret not in table.stdout + listed.stdout
    assert "grafana" in table.stdout
    assert removed.stdout == "removed\n"
    assert console.tokens.find(secret) is None
    assert postscan("console", "token", "list").stdout == ("no tokens; add one: postscan console token add LABEL\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "a b"), 1, "label: 'a b' is not valid"),
        (("add", "old", "--until", "2020-01-01"), 1, "until: '2020-01-01T00:00:00+00:00' is not valid"),
        (("add", "one", "--until", "tomorrow"), 2, "is no date"),
        (("add", "one", "--role", "root"), 2, "root"),
        (("add", "one", "--user", "ann"), 1, "user: 'ann' is not valid"),
        (("remove", "none"), 1, "label: 'none' is not valid; expected the label of a token"),
    ],
)
def test_what_cannot_be_done_is_said(
    postscan: Postscan, console: Engine, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Nothing is stored."""
    result = postscan("console", "token", *arguments)

    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert console.store.audit() == []
