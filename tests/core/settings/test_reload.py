"""What a running server takes over from a changed file, and what it does not."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings, reload_report
from postscan.core.settings.reload import RELOADED, SettingsChange, difference, taken_over
from postscan.core.settings.reload_report import ReloadReport

ANNA, BORIS = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$mhcmPeC8VZlQJ5BkWZVpQA$1vIm8PqRtZ6JkSPi2BOnsXJmHpX0SVGk2lUQ7fMGeVg"
USER = {"name": "anna@fabrikam.example"}
PROCESS = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"


def settings(**tables: Any) -> Settings:
    """Return settings with these tables."""
    return Settings.model_validate(tables)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    f"users.{ANNA}": ({}, {"users": {ANNA: USER}}),
    "accounts.front-desk": ({"accounts": {"front-desk": {"hash": HASH, "user": ANNA}}}, {}),
    "allow_unknown_users": ({}, {"allow_unknown_users": False}),
    "identity.administrators": ({}, {"identity": {"administrators": [ANNA]}}),
    "identity.devices": ({"identity": {"devices": ["10.0.0.0/8"]}}, {}),
    "limits.open_jobs": ({}, {"limits": {"open_jobs": 3}}),
    "retention.job_hours": ({}, {"retention": {"job_hours": 3.0}}),
    "tls.certificate": ({"tls": {"certificate": "a.pem"}}, {"tls": {"certificate": "b.pem"}}),
    "console.public_url": ({}, {"console": {"public_url": "https://scans.example"}}),
    "console.proxy": ({}, {"console": {"proxy": {"from": ["192.0.2.9/32"]}}}),
    "log_level": ({}, {"log_level": "error"}),
}
"""A key that is taken over, and tables before and after a change of it."""

RESTARTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "server.port": ({}, {"server": {"port": 1}}),
    "limits.image_bytes": ({}, {"limits": {"image_bytes": 3}}),
    "running.slots": ({}, {"running": {"slots": 3}}),
    "filters.webhook": ({"filters": {"webhook": {"token": "a"}}}, {"filters": {"webhook": {"token": "b"}}}),
    "destinations.inbox": ({}, {"destinations": {"inbox": {"label": "Inbox", "process": PROCESS}}}),
    "tls.handshake_seconds": ({}, {"tls": {"handshake_seconds": 1}}),
    "console.port": ({}, {"console": {"port": 1}}),
    "log": ({}, {"log": "json"}),
}
"""A key that needs a restart, and tables before and after a change of it."""


@pytest.mark.parametrize("key", CHANGES)
def test_what_may_change_is_taken_over(key: str) -> None:
    """And nothing else is different then."""
    running, read = (settings(**tables) for tables in CHANGES[key])

    assert difference(running, read) == SettingsChange((key,), ())
    assert taken_over(running, read) == read
    assert difference(taken_over(running, read), read) == SettingsChange((), ())


@pytest.mark.parametrize("key", RESTARTS)
def test_what_needs_a_restart_is_named_and_stays(key: str) -> None:
    """However often the file is read."""
    running, read = (settings(**tables) for tables in RESTARTS[key])

    assert difference(running, read) == SettingsChange((), (key,))
    assert taken_over(running, read) == running


def test_the_settings_of_one_table_are_looked_at_one_by_one() -> None:
    """Some keys of a table are taken over, and others need a restart."""
    running = settings(limits={"open_jobs": 3, "image_bytes": 10})
    read = settings(limits={"open_jobs": 4, "image_bytes": 20}, users={BORIS: USER})

    assert difference(running, read) == SettingsChange(("limits.open_jobs", f"users.{BORIS}"), ("limits.image_bytes",))
    assert taken_over(running, read) == settings(limits={"open_jobs": 4, "image_bytes": 10}, users={BORIS: USER})


@pytest.mark.parametrize(("before", "after"), [({"certificate": "a.pem"}, {}), ({}, {"certificate": "a.pem"})])
def test_no_file_of_tls_is_taken_over_where_tls_is_turned_on_or_off(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """A server with TLS must not go on without it, nor with half of its settings."""
    running, read = settings(tls=before), settings(tls=after)

    assert difference(running, read) == SettingsChange((), ("tls.certificate", "tls.mode"))
    assert taken_over(running, read) == running


def test_what_does_not_fit_the_running_settings_is_refused() -> None:
    """A user of a destination that is served is removed, where all users must be known."""
    inbox = {"label": "Inbox", "process": PROCESS, "user": ANNA}
    running = settings(users={ANNA: USER}, destinations={"inbox": inbox}, allow_unknown_users=False)
    read = settings(users={BORIS: USER}, allow_unknown_users=False)

    with pytest.raises(SettingsError, match=r"does not fit what needs a restart: destinations\.inbox\.user: expected"):
        taken_over(running, read)


@pytest.mark.parametrize("key", RELOADED)
def test_every_key_that_is_taken_over_is_a_setting(key: str) -> None:
    """A key of a table, a table, or a key at the top of the file."""
    table, _, inner = key.partition(".")

    assert hasattr(settings(), table)
    assert not inner or hasattr(getattr(settings(), table), inner)


# --- the report ------------------------------------------------------------------------------------------------------


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Each replaces the last one, and none is like another; it is for the user of the server alone."""
    first = ReloadReport("process 1 on host")
    second = ReloadReport("process 1 on host", 1, ("users",), ("server.port",), certificates=True, error="é")
    for report in (first, second):
        reload_report.write(tmp_path, report)
        assert reload_report.read(tmp_path) == report

    assert first != ReloadReport("process 1 on host")
    assert [path.name for path in tmp_path.iterdir()] == [reload_report.NAME]
    assert stat.S_IMODE((tmp_path / reload_report.NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"server": "process 1 on host"}', '{"taken": 1, "restart": 2}'])
def test_what_is_no_report_counts_as_none(tmp_path: Path, text: str) -> None:
    """It may be of another version."""
    assert reload_report.read(tmp_path) is None
    (tmp_path / reload_report.NAME).write_text(text)

    assert reload_report.read(tmp_path) is None
    reload_report.remove(tmp_path)
    reload_report.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []
