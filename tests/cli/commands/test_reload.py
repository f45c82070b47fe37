"""`postscan reload` where there is no server that it may call; `tests/acceptance/test_reload.py` has a server."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result
from works import Works

from postscan.cli import running_server
from postscan.core.settings import reload_report
from postscan.core.settings.reload_report import ReloadReport

Postscan = Callable[..., Result]


def test_without_a_server_there_is_nothing_to_reload(postscan: Postscan) -> None:
    """Exit code 1 and a sentence."""
    result = postscan("reload")

    assert result.exit_code == 1
    assert result.stderr.endswith("no server is running with this data_dir\n")


@pytest.mark.parametrize("report", [None, ReloadReport("process 1 on another")])
def test_a_server_that_does_not_handle_the_signal_is_not_sent_it(
    postscan: Postscan, works: Works, report: ReloadReport | None
) -> None:
    """It would end at it: one that starts, or one of an older version. Here it is this process."""
    if report is not None:
        reload_report.write(works.core.settings.storage.data_dir, report)
    result = postscan("reload")

    assert result.exit_code == 1
    assert f"process {os.getpid()} on {socket.gethostname()} cannot reload" in result.stderr


def test_a_server_on_another_machine_is_named(
    postscan: Postscan, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number would be that of another process here."""
    name = f"process {os.getpid()} on {socket.gethostname()}"
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    result = postscan("reload")

    assert result.exit_code == 1
    assert f"the server is {name}; run this command on its machine" in result.stderr
    assert works.core.settings.storage.data_dir.exists()


def test_a_server_that_reports_nothing_is_not_awaited_for_ever(
    postscan: Postscan, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be stopping; the signal is not sent to this process here."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(running_server, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(os, "kill", lambda *call: sent.append(call))
    name = f"process {os.getpid()} on {socket.gethostname()}"
    reload_report.write(works.core.settings.storage.data_dir, ReloadReport(name, 3))
    result = postscan("reload")

    assert [process for process, _ in sent] == [os.getpid()]
    assert result.exit_code == 1
    assert "has not reloaded within 0.2 s" in result.stderr


def test_the_error_of_a_server_is_that_of_the_command(
    postscan: Postscan, works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line by line."""
    folder: Path = works.core.settings.storage.data_dir
    name = f"process {os.getpid()} on {socket.gethostname()}"
    reload_report.write(folder, ReloadReport(name))

    def fail(*_call: int) -> None:
        reload_report.write(folder, ReloadReport(name, 1, error="one\ntwo"))

    monkeypatch.setattr(os, "kill", fail)
    result = postscan("reload")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "postscan: one\npostscan: two\n"
