"""`postscan sources` beside a running server, and without one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import databases
import pytest
from errands import OUTSIDE, Running
from plugin_names import unused
from sourced import ADMIN, ANNA, GUID, Processes, picture
from typer.testing import Result
from works import PATIENCE, until

from postscan.core.engine import Engine
from postscan.core.settings import load

Postscan = Callable[..., Result]


@pytest.fixture
def settings_file(settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings with an inlet that runs and one that is switched off."""
    monkeypatch.syspath_prepend(str(OUTSIDE))
    folder = tmp_path / "inlets" / "errand"
    folder.mkdir(parents=True)
    (folder / "picture").write_bytes(picture())
    text = f"""
        [plugins]
        disabled = {json.dumps(unused())}
        probe_seconds = {PATIENCE}
        [filters.acme]
        folder = {json.dumps(str(tmp_path))}
        [destinations.invoices]
        label = "Invoices (Anna)"
        process = "{GUID}"
        user = "{ANNA}"
        [sources.errand]
        plugin = "errand"
        folder = {json.dumps(str(folder))}
        [sources.off]
        plugin = "errand"
        enabled = false
        folder = "/"
    """
    settings_file.write_text(settings_file.read_text() + text)
    databases.migrated(load(settings_file).storage.url)
    return settings_file


@pytest.fixture
def running(settings_file: Path, tmp_path: Path) -> Iterator[Running]:
    """A server with these settings."""
    with contextlib.closing(Engine(load(settings_file), Processes())) as core, core.running():
        found = Running(core, tmp_path / "inlets")
        found.process()
        found.await_state("ready")
        yield found


def listed(postscan: Postscan) -> dict[str, dict[str, object]]:
    """Return what `list --json` prints, by name."""
    return {record["name"]: record for record in json.loads(postscan("sources", "list", "--json").stdout)}


def test_inlets_are_listed_with_what_the_server_has_stored(postscan: Postscan, running: Running) -> None:
    """As a table for people, as JSON for programs; without anything of the plugin's own settings."""
    running.await_state("disabled", "off")
    found, table = listed(postscan), postscan("sources", "list")

    assert {name: record["state"] for name, record in found.items()} == {"errand": "ready", "off": "disabled"}
    assert found["errand"]["detail"] == "on its way"
    assert found["errand"]["destinations"] == ["invoices"]
    assert "errand" in table.stdout
    assert str(running.home) not in table.stdout


def test_one_inlet_is_shown(postscan: Postscan, running: Running) -> None:
    """Line by line; another one is named."""
    shown, missing = postscan("sources", "show", "errand"), postscan("sources", "show", "mail")

    assert "state         ready" in shown.stdout
    assert json.loads(postscan("sources", "show", "errand", "--json").stdout)["plugin"] == "errand"
    assert (missing.exit_code, missing.stderr) == (
        1,
        "postscan: there is no source 'mail'; see: postscan sources list\n",
    )


def test_an_inlet_is_stopped_and_started(postscan: Postscan, running: Running) -> None:
    """The running server follows."""
    stopped = postscan("sources", "stop", "errand")
    running.await_state("stopped")
    (running.folder("errand") / "process").unlink()
    started = postscan("sources", "start", "errand")
    running.process()

    assert (stopped.exit_code, stopped.stdout) == (0, "errand is stopped\n")
    assert (started.exit_code, started.stdout) == (0, "errand is started\n")


@pytest.mark.parametrize("verb", ["stop", "start", "scan"])
def test_an_inlet_that_there_is_not_is_named(postscan: Postscan, running: Running, verb: str) -> None:
    """One line, and exit code 1."""
    result = postscan("sources", verb, "mail")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "'mail' is not valid; expected the name of a table [sources.<name>]" in result.stderr


def test_a_scan_is_passed_on(postscan: Postscan, running: Running) -> None:
    """To the destination of this name, by its identifier."""
    ordered = postscan("sources", "scan", "errand", "--destination", "invoices")
    pulled = running.folder("errand") / "pulled"
    until(pulled.exists)
    refused = postscan("sources", "scan", "errand", "--destination", "missing")
    off = postscan("sources", "scan", "off")

    assert (ordered.exit_code, ordered.stdout) == (0, "ordered\n")
    assert pulled.read_text().strip() in running.core.origins.destinations("errand")
    assert "expected the name of a destination of errand" in refused.stderr
    assert "off does not run; it is disabled" in off.stderr


def test_without_a_server_orders_are_for_the_next_one(postscan: Postscan, settings_file: Path) -> None:
    """And a scan is refused: nobody would pass it on."""
    before = listed(postscan)
    stopped = postscan("sources", "stop", "errand")
    after, scan = listed(postscan), postscan("sources", "scan", "errand")

    assert {name: record["state"] for name, record in before.items()} == {"errand": "no server", "off": "disabled"}
    assert stopped.stdout == "errand is stopped when a server runs\n"
    assert after["errand"]["state"] == "stopped"
    assert (scan.exit_code, scan.stderr) == (1, "postscan: no server is running; start one: postscan serve\n")


def test_orders_are_in_the_audit_trail(postscan: Postscan, settings_file: Path) -> None:
    """Who, and of which inlet."""
    postscan("sources", "stop", "errand")
    postscan("sources", "start", "errand")
    with contextlib.closing(Engine(load(settings_file), Processes())) as core:
        lines = core.service.audit(ADMIN)

    assert [(line.verb, line.token) for line in lines] == [("stop", "source errand"), ("start", "source errand")]
    assert {line.who.partition(":")[0] for line in lines} == {"local"}


def test_settings_without_sources_have_none(postscan: Postscan, settings_file: Path) -> None:
    """A sentence says how to make one."""
    settings_file.write_text("[storage]\ndata_dir = 'other'\n")

    assert postscan("sources", "list").stdout == "no sources; a table [sources.<name>] of the settings makes one\n"
    assert "no destinations; a table" in postscan("destinations", "list").stdout
