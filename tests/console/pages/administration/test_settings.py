"""The page of the settings in effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from console_browser import Browser

from postscan.console.http.app import create_app
from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.core.settings import Settings, load, reload_report
from postscan.core.settings.reload_report import ReloadReport

SECRET = "correct-horse-battery"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A settings file."""
    return tmp_path / "postscan.toml"


@pytest.fixture
def settings(settings: Settings, path: Path) -> Settings:
    """The settings of the file, with a secret of a plugin."""
    data = settings.storage.data_dir
    path.write_text(
        f'[storage]\ndata_dir = "{data}"\n[filters.email]\npassword = "{SECRET}"\n[limits]\nopen_jobs = 7\n'
    )
    return load(path)


@pytest.fixture
def site(core: Engine, path: Path) -> Browser:
    """An administrator's browser at a console that was started with the file."""
    return Browser(create_app(core, settings_file=path), core).sign_in(Role.ADMINISTRATOR)


def test_values_are_shown_with_their_meaning_and_without_secrets(site: Browser, path: Path) -> None:
    """By table, with the file that they are from."""
    site.get("/settings")

    assert site.sees(str(path))
    assert site.sees("most jobs that one caller may have open")
    assert site.sees("filters.email")
    assert SECRET not in site.page
    assert not site.sees("The file has changed")


def test_a_changed_file_is_compared_with_what_is_in_effect(site: Browser, path: Path) -> None:
    """What a reload takes over, and what needs a restart."""
    path.write_text(path.read_text().replace("open_jobs = 7", "open_jobs = 8\nsource_jobs = 9"))
    site.get("/settings")

    assert site.sees("A reload takes over: limits.open_jobs")
    assert site.sees("A restart is needed for: limits.source_jobs")


def test_a_file_that_cannot_be_used_is_a_problem_and_not_an_error(site: Browser, path: Path) -> None:
    """With the reason; the settings in effect are shown all the same."""
    path.write_text("[limits]\nopen_job = 7\n")

    assert site.get("/settings").status_code == 200
    assert site.sees("there is no such setting")
    assert site.sees("open_jobs")


def test_the_last_reload_of_the_server_is_told(site: Browser, core: Engine) -> None:
    """From its report."""
    report = ReloadReport("server", 2, taken=("users",), restart=("server.port",))
    reload_report.write(core.settings.storage.data_dir, report)
    site.get("/settings")

    assert site.sees("The last reload of the server has taken over: users.")
    assert site.sees("It needs a restart for: server.port.")
