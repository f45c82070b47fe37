"""Reading the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings, load


def written(folder, text):
    """Write a settings file and return its path."""
    path = folder / "postscan.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(folder, text):
    """Return what `load` says of a settings file that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        load(written(folder, text))
    return str(caught.value)


def test_everything_has_a_default():
    """The server works without any file."""
    assert load(None) == Settings()


def test_the_documented_defaults_are_the_real_ones():
    """Ten minutes of silence (DSP-071), a grace of five seconds and two to the kill (promise 4), port 5362."""
    settings = load(None)

    assert settings.limits.silence_seconds == 600
    assert (settings.running.grace_seconds, settings.running.term_seconds) == (5, 2)
    assert settings.running.cancel_answer_seconds == 1
    assert settings.server.port == 5362


def test_data_goes_where_the_desktop_standard_says(monkeypatch, tmp_path):
    """XDG_STATE_HOME is honoured."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert load(None).storage.data_dir == tmp_path / "postscan"


def test_what_the_file_says_wins(tmp_path):
    """A file may set any part of it."""
    settings = load(written(tmp_path, "[limits]\nopen_jobs = 3\n[filters.fileshare.shares]\n'\\\\a\\b' = '/srv'\n"))

    assert settings.limits.open_jobs == 3
    assert settings.filters == {"fileshare": {"shares": {r"\\a\b": "/srv"}}}


def test_relative_paths_count_from_the_file(tmp_path):
    """So that it does not matter where the server is started."""
    settings = load(written(tmp_path, "[storage]\ndata_dir = 'data'\n[processes]\nfolder = 'psp'\n"))

    assert settings.storage.data_dir == tmp_path / "data"
    assert settings.processes_dir == tmp_path / "psp"


def test_processes_lie_beside_the_data_unless_told(tmp_path):
    """The default follows data_dir."""
    settings = load(written(tmp_path, "[storage]\ndata_dir = 'data'\n"))

    assert settings.processes_dir == tmp_path / "data" / "processes"


def test_the_database_is_a_file_in_the_data_folder_unless_told(tmp_path):
    """SQLite needs no server; any other URL is taken as it is."""
    assert load(written(tmp_path, "[storage]\ndata_dir = 'd'")).storage.url == f"sqlite:///{tmp_path}/d/postscan.sqlite"
    assert load(written(tmp_path, "[storage]\ndatabase = 'postgresql://db'")).storage.url == "postgresql://db"


def test_an_unknown_setting_is_named(tmp_path):
    """A slip of the pen must not be ignored."""
    assert refusal(tmp_path, "[limits]\nopen_job = 3\n") == (
        f"{tmp_path}/postscan.toml: limits.open_job: there is no such setting"
    )


def test_every_wrong_value_is_named_in_one_go(tmp_path):
    """Nobody has to start the server three times to find three mistakes."""
    said = refusal(tmp_path, "[server]\nport = 70000\n[running]\nslots = 0\n").splitlines()

    assert [line.split(": ")[1] for line in said] == ["server.port", "running.slots"]
    assert all("got" in line for line in said)


def test_broken_toml_is_said_to_be_that(tmp_path):
    """The parser's own words say the line."""
    assert "is not valid TOML" in refusal(tmp_path, "[server\n")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    """Not a traceback but a sentence."""
    path = tmp_path / "postscan.toml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsError, match="is not valid TOML"):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    """It was asked for by name, so the defaults would be a surprise."""
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "scan.fabrikam.example"])
def test_plain_http_leaves_the_machine_only_when_allowed(tmp_path, host):
    """Ruling 23: on loopback without asking, elsewhere only with allow_plain_http."""
    assert "allow_plain_http" in refusal(tmp_path, f"[server]\nhost = '{host}'\n")
    assert load(written(tmp_path, f"[server]\nhost = '{host}'\nallow_plain_http = true\n")).server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_leave(tmp_path, host):
    """Nobody else can reach it."""
    assert load(written(tmp_path, f"[server]\nhost = '{host}'\n")).server.host == host


def test_users_are_listed_by_sid(tmp_path):
    """A name in the place of a SID is refused by name."""
    assert "'anna' is not a SID; expected S-1-..." in refusal(tmp_path, "[users.anna]\nname = 'anna@x'\n")
    assert "'S-1-anna' is not a SID" in refusal(tmp_path, "[users.S-1-anna]\nname = 'anna@x'\n")


def test_two_users_cannot_have_one_upn():
    """Which of them it is could not be told."""
    twins = {sid: {"name": f"{sid}@x", "upn": "anna@fabrikam.example"} for sid in ("S-1-5-21-1", "S-1-5-21-2")}

    with pytest.raises(ValueError, match="two users have the upn"):
        Settings.model_validate({"users": twins})


def test_the_documented_bounds_of_subscriptions_are_the_real_ones():
    """Ruling 20: 2,000 in all, a day at most; T-A6: five seconds for one event. T-A2: nobody else's address."""
    events = load(None).events

    assert (events.most, events.longest_seconds, events.deadline_seconds) == (2000, 86_400, 5)
    assert (events.most_per_caller, events.default_seconds, events.tries, events.backlog) == (8, 3600, 6, 10_000)
    assert events.networks == ()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[events]\nnetworks = ['10.0.0.0/40']\n", "events.networks: '10.0.0.0/40' does not appear to be"),
        ("[events]\nlongest_seconds = 60\n", "events: default_seconds is 3600; expected at most longest_seconds, 60"),
        ("[events]\nmost = 0\n", "events.most: "),
        ("[identity]\nadministrators = ['anna']\n", "identity.administrators: 'anna' is not"),
        ("[identity]\nadministrators = ['sha256:AB']\n", "identity.administrators: 'sha256:AB' is not"),
        (
            "[server]\nconfiguration_path = '/ScanServer'\n",
            "/ScanServer/processing, /ScanServer, /ScanServer; expected",
        ),
    ],
)
def test_what_events_and_administrators_cannot_be_is_named(tmp_path, table, said):
    """The key, what was written, and what was expected."""
    assert said in refusal(tmp_path, table)


def test_administrators_are_sids_or_certificates(tmp_path):
    """In the forms of `certificates`."""
    names = ("S-1-5-21-1-2-3-500", "sha256:" + "0a" * 32, "serial=0A1F;issuer=CN=Fabrikam CA")
    settings = load(written(tmp_path, f"[identity]\nadministrators = {list(names)}\n"))

    assert settings.identity.administrators == names


def test_settings_are_frozen():
    """They are read once at the door, and then nobody changes them."""
    with pytest.raises(ValidationError, match="frozen"):
        load(None).storage.data_dir = Path("/")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", False),
        ("[server]\nhost = '192.0.2.7'\nallow_plain_http = true\n", True),
        ("[server]\nhost = '192.0.2.7'\nallow_plain_http = true\n[discovery]\nenabled = false\n", False),
        ("[discovery]\nenabled = true\n", True),
        ("[server]\nhost = '192.0.2.7'\n[tls]\ncertificate = 'c.pem'\n", False),
        ("[server]\nhost = '192.0.2.7'\npublic_url = 'https://a:1'\n[tls]\ncertificate = 'c.pem'\n", True),
    ],
)
def test_a_server_on_the_network_can_be_found_there(tmp_path: Path, text: str, found: bool) -> None:
    """DPW-001: unless somebody says no, or devices could not believe what it says."""
    file = tmp_path / "postscan.toml"
    file.write_text(text)

    assert load(file).is_discoverable is found
