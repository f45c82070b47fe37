"""The settings of sources and destinations: tables that do not fit each other are named when the file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings, load
from postscan.core.settings.sources import destinations_of, lists_device

ANNA = "S-1-5-21-1-2-3-1001"
GUID = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
INVOICES = {"label": "Invoices (Ann)", "process": GUID, "user": ANNA}
LETTERS = {"label": "Letters", "process": GUID}


def settings(sources=None, destinations=None, **more):
    """Return settings with these tables."""
    tables = {
        "destinations": {"invoices": INVOICES} if destinations is None else destinations,
        "sources": sources or {},
    }
    return Settings.model_validate({**tables, **more})


def test_a_source_and_its_destinations_are_read_from_the_file(tmp_path: Path) -> None:
    """The example of the documents; the keys that are not ours are the plugin's."""
    file = tmp_path / "postscan.toml"
    file.write_text(
        f"""
        [destinations.invoices-ann]
        label = "Invoices (Ann)"
        process = "{GUID.lower()}"
        user = "{ANNA}"

        [sources.mail]
        plugin = "smtp"
        destinations = ["invoices-ann"]
        port = 2525
        certificate = "/etc/postscan/mail.pem"
        devices = ["10.0.0.0/24"]
        """
    )

    mail = load(file).sources["mail"]

    assert mail.table == {"port": 2525, "certificate": "/etc/postscan/mail.pem"}
    assert (mail.enabled, mail.allow_clear, mail.open_jobs, mail.job_seconds) == (True, False, 4, 600.0)
    assert load(file).destinations["invoices-ann"].process == GUID


def test_a_source_offers_all_destinations_unless_some_are_listed() -> None:
    """In the order in which they are listed."""
    both = {"invoices": INVOICES, "letters": LETTERS}
    found = settings(
        {"all": {"plugin": "ftp"}, "some": {"plugin": "ftp", "destinations": ["letters", "invoices"]}}, both
    )

    assert list(destinations_of(found.sources["all"], found.destinations)) == ["invoices", "letters"]
    assert list(destinations_of(found.sources["some"], found.destinations)) == ["letters", "invoices"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({}, r"sources\.in\.plugin\s+Field required"),
        ({"plugin": "ftp", "destinations": ["archive"]}, r"there is no table \[destinations.archive\]"),
        ({"plugin": "ftp", "destinations": ["invoices", "invoices"]}, "'invoices' is listed twice"),
        ({"plugin": "ftp", "devices": ["10.0.0.1/24"]}, "'10.0.0.1/24' is no address"),
        ({"plugin": "ftp", "devices": ["front-desk"]}, "'front-desk' is no address"),
        ({"plugin": "ftp", "accounts": {"ann": "ann"}}, "'ann' is not a SID"),
        ({"plugin": "ftp", "open_jobs": 0}, r"sources\.in\.open_jobs\s+Input should be greater"),
        ({"plugin": "ftp", "job_seconds": 0}, r"sources\.in\.job_seconds\s+Input should be greater"),
    ],
)
def test_a_source_that_makes_no_sense_is_named(source: dict[str, object], sentence: str) -> None:
    """With the key and what was expected."""
    with pytest.raises(ValueError, match=sentence):
        settings({"in": source})


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [
        ({**INVOICES, "label": ""}, "at least 1 character"),
        ({**INVOICES, "label": "two\nlines"}, "expected one line"),
        ({**INVOICES, "label": " Ann"}, "without blanks around it"),
        ({**INVOICES, "process": "Invoices"}, "expected the GUID of a scan process"),
        ({**INVOICES, "user": "ann@fabrikam.example"}, "is not a SID"),
        ({**INVOICES, "sid": ANNA}, "Extra inputs"),
    ],
)
def test_a_destination_that_makes_no_sense_is_named(destination: dict[str, str], sentence: str) -> None:
    """Before a device can choose it."""
    with pytest.raises(ValueError, match=sentence):
        settings(destinations={"invoices": destination})


@pytest.mark.parametrize("name", ["", "a b", "../up", ".hidden", "a/b", "a:b", "ü", "n" * 65])
def test_a_name_is_safe_in_a_path_and_in_the_name_of_an_owner(name: str) -> None:
    """It names a folder, and is a part of `source:<inlet>:<subject>`."""
    with pytest.raises(ValueError, match="expected a name of letters"):
        settings({name: {"plugin": "ftp"}})
    with pytest.raises(ValueError, match="expected a name of letters"):
        settings(destinations={name: INVOICES})


def test_a_source_needs_a_destination_unless_it_is_switched_off() -> None:
    """Nothing could come through it."""
    with pytest.raises(ValueError, match="a source needs a destination"):
        settings({"in": {"plugin": "ftp"}}, {})

    assert settings({"in": {"plugin": "ftp", "enabled": False}}, {}).sources


def test_people_can_tell_the_destinations_of_a_source_apart() -> None:
    """Two folders or panels of one label would be one; in two inlets it may stand twice."""
    both = {"one": {**LETTERS, "label": "Scans"}, "two": {**LETTERS, "label": "SCANS"}}
    apart = {name: {"plugin": "ftp", "destinations": [name]} for name in both}

    with pytest.raises(ValueError, match="one and two have the same label 'SCANS'"):
        settings({"in": {"plugin": "ftp"}}, both)

    assert len(settings(apart, both).sources) == 2


def test_users_are_known_where_the_settings_ask_for_that() -> None:
    """D21: with `allow_unknown_users = false` no job is made for a SID without a table."""
    known = {"users": {ANNA: {"name": "ann@fabrikam.example"}}, "allow_unknown_users": False}
    other = "S-1-5-21-1-2-3-1002"
    scanner = {"plugin": "ftp", "accounts": {"scanner": "*", "ann": ANNA}}

    assert settings({"in": scanner}, **known).destinations["invoices"].user == ANNA
    with pytest.raises(ValueError, match=r"destinations\.invoices\.user: expected the SID of a table"):
        settings(destinations={"invoices": {**INVOICES, "user": other}}, **known)
    with pytest.raises(ValueError, match=r"sources\.in\.accounts\.ann: expected the SID of a table"):
        settings({"in": {"plugin": "ftp", "accounts": {"ann": other}}}, **known)


def test_a_directory_may_know_users_that_the_settings_do_not_list() -> None:
    """Who they are is asked when a job is made."""
    other = {"invoices": {**INVOICES, "user": "S-1-5-21-1-2-3-1002"}}

    assert settings(destinations=other, plugins={"staff": {}}, allow_unknown_users=False).plugins.tables == {
        "staff": {}
    }
    with pytest.raises(ValueError, match=r"no setting 'disable'; expected a table \[plugins\.disable\]"):
        settings(plugins={"disable": ["staff"]})


@pytest.mark.parametrize(
    ("subject", "listed"),
    [
        ("10.0.0.9", True),
        ("::ffff:10.0.0.9", True),
        ("10.0.1.9", False),
        ("fe80::1%eth0", True),
        ("fe80::2", False),
        ("10.0.0.0/24", False),
        ("3d5f2a90-6c1e-4b7a-9e42-0a8b6c4d2e10", True),
        ("urn:uuid:3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10", True),
        ("3d5f2a90-6c1e-4b7a-9e42-0a8b6c4d2e11", False),
        ("", False),
        ("http://10.0.0.9:8018/wsd", False),
        ("urn:uuid:3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10 at 192.0.2.1", True),
        ("urn:uuid:3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E11 at 10.0.0.9", True),
        ("urn:uuid:3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E11 at 192.0.2.1", False),
        ("urn:uuid:3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E11 at 10.0.0.0/24", False),
        ("urn:uuid:3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E11 at 10.0.0.9 at 192.0.2.1", False),
        ("a scanner at 10.0.0.9", False),
    ],
)
def test_a_device_is_listed_by_its_address_its_network_or_its_uuid(subject: str, listed: bool) -> None:
    """However they are written."""
    assert lists_device(("10.0.0.0/24", "fe80::1", f"urn:uuid:{GUID}"), subject) is listed


def test_the_error_of_a_file_names_the_file(tmp_path: Path) -> None:
    """As every error of the settings."""
    file = tmp_path / "postscan.toml"
    file.write_text('[sources.in]\nplugin = "ftp"\n')

    with pytest.raises(SettingsError, match=r"postscan\.toml: \(file\): sources\.in: a source needs a destination"):
        load(file)
