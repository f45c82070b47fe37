"""Scan processes and plugins at the API: what the command line says, and what their filters say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from api_client import ADMIN, ApiClient
from stored_processes import CATALOGUE, GUID, RAW, StoredProcesses, letter

from postscan.console.api import processes
from postscan.console.pages.processes import checks
from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument
from postscan.core.model.principal import Role
from postscan.core.model.process import FilterInstructions
from postscan.core.registry.directory.processes import ProcessLookup
from postscan.core.registry.remembered import RememberedCatalogue
from postscan.core.service.administration.plugin_records import PluginRecord
from postscan.soap.processes import fields, records
from postscan.soap.processes.folder import ProcessFolder, parse

Api = Callable[..., ApiClient]


@pytest.fixture
def stored(core: Engine) -> StoredProcesses:
    """No processes yet; the catalogue has a filter with fields, and one without."""
    core.remembered_catalogue = RememberedCatalogue(lambda: CATALOGUE, core.clock)
    return StoredProcesses(core.settings.processes_dir)


def test_processes_are_said_as_the_command_line_says_them(api: Api, core: Engine, stored: StoredProcesses) -> None:
    """One that is broken is in the list with the reason, and cannot be shown."""
    files = stored.store(letter("one"), FilterInstructions(RAW, b'<raw xmlns="urn:test:raw"/>'))
    folder = ProcessFolder.of(core.settings)
    shown = records.whole(parse(GUID, files), files, fields.of([letter("").dialect, RAW], CATALOGUE))
    client = api(Role.ADMINISTRATOR)

    assert client.get("/processes").json() == {"processes": [records.listed(folder, GUID)]}
    assert client.get(f"/processes/{GUID}").json() == json.loads(json.dumps(shown))
    Path(core.settings.processes_dir, f"{GUID}.xml").write_text("<broken")
    assert "cannot be used" in client.get("/processes").json()["processes"][0]["problem"]
    assert client.get(f"/processes/{GUID}").status_code == 422
    assert client.post(f"/processes/{GUID}/check").json()["type"] == "urn:postscan:problem:unusable"


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("name", [GUID, "none-such", "%00", "x" * 300])
def test_a_process_that_is_not_stored_is_not_found(api: Api, name: str) -> None:
    client = api(Role.ADMINISTRATOR)

    for response in (client.get(f"/processes/{name}"), client.post(f"/processes/{name}/check")):
        assert (response.status_code, response.json()["type"]) == (404, "urn:postscan:problem:not-found")


def test_a_check_says_which_element_is_refused_and_not_its_value(
    api: Api, stored: StoredProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value may be a password. Nothing is refused where all filters agree."""

    def refuse(_engine: Engine, _instructions: object) -> None:
        raise InvalidArgument("{urn:test:letter}Text", "s3cret", "a text of the office")

    stored.store()
    client = api(Role.ADMINISTRATOR)
    monkeypatch.setattr(checks, "check", lambda _engine, _instructions: None)
    assert client.post(f"/processes/{GUID}/check").json() == {"argument": None, "expected": ""}
    monkeypatch.setattr(checks, "check", refuse)
    response = client.post(f"/processes/{GUID}/check")

    assert response.json() == {"argument": "{urn:test:letter}Text", "expected": "a text of the office"}
    assert "s3cret" not in response.text


def test_a_test_page_is_a_job_of_the_process(
    api: Api, core: Engine, stored: StoredProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for operators. Without a server no job would be processed: then there is none."""
    stored.store()
    folder = ProcessFolder.of(core.settings)
    core.service._processes = folder
    core.service._process_lookup = ProcessLookup(folder, core.service._users.directory)
    client = api(Role.OPERATOR)
    refused = client.post(f"/processes/{GUID}/test")
    monkeypatch.setattr(processes, "is_served", lambda _folder: True)
    response = client.post(f"/processes/{GUID}/test")

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:postscan:problem:busy")
    assert response.status_code == 201
    job = core.service.job(response.json()["token"], ADMIN)
    assert (job.process_id, job.state, job.images_received) == (GUID, "Pending", 1)


def test_plugins_are_said_as_the_command_line_says_them(api: Api, core: Engine, stored: StoredProcesses) -> None:
    """As they were loaded last: no request starts a process of a plugin."""
    said = api(Role.ADMINISTRATOR).get("/plugins").json()

    assert said["plugins"] == [PluginRecord.of(one).plain() for one in CATALOGUE.plugins]
    assert said["loaded"] == core.remembered_catalogue.current(0).at.isoformat()


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        (Role.VIEWER, "/processes", 403),
        (Role.OPERATOR, "/processes", 200),
        (Role.OPERATOR, f"/processes/{GUID}", 403),
        (Role.OPERATOR, "/plugins", 403),
    ],
)
def test_each_role_reads_what_it_needs(api: Api, stored: StoredProcesses, role: Role, path: str, status: int) -> None:
    stored.store()

    assert api(role).get(path).status_code == status
