"""Jobs of a user and of a scan process that only Active Directory has: a server, a device and a domain controller."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import messages
import pytest
from acceptance.scanning import Scanner, good, instructions, refusal
from acceptance.server import SHARE, Server
from destinations import open_folder
from directory_entries import PSPS
from domain_controller import BASE, DOMAIN, PASSWORD, DomainController, domain_controller, entry, group, user
from plugin_names import unused
from works import until

pytestmark = pytest.mark.services

GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
ASKED = instructions(f"share {SHARE}")
PROCESS = {
    "objectClass": "msImaging-PostScanProcess",
    "displayName": "Invoices",
    "msImaging-PSPIdentifier": uuid.UUID(GUID).bytes_le,
    "msImaging-PSPString": messages.PROCESS.replace(messages.INSTRUCTIONS, ASKED),
}
ENTRIES = user("postscan") + user("amelie") + user("bob") + group("clerks", "amelie") + group("staff", "clerks")


@pytest.fixture(scope="module")
def controller() -> Iterator[DomainController]:
    """A domain controller with a scan process that is for a group in which the user's group is."""
    with open_folder() as home, domain_controller(home, ENTRIES) as controller:
        rights = f"O:DAG:DAD:PAI(A;;RPLCLORC;;;{controller.sid('postscan')})(A;;RPLCLORC;;;{controller.sid('staff')})"
        controller.add(entry(f"CN=Invoices,{PSPS}", {**PROCESS, "nTSecurityDescriptor": rights}))
        yield controller


@pytest.fixture
def server(controller: DomainController, tmp_path: Path) -> Iterator[Server]:
    """A server that asks it, and uses an answer for one question only."""
    table = {
        "servers": [controller.address],
        "ca_file": str(controller.ca),
        "user": f"postscan@{DOMAIN}",
        "password": PASSWORD,
    }
    tables = {
        "plugins": {"disabled": unused("fileshare", "directory")},
        "plugins.directory": table,
        "directory": {"fresh_seconds": 0, "stale_seconds": 0, "unknown_seconds": 0, "answer_seconds": 30},
    }
    server = Server(tmp_path, tables)
    server.start()
    yield server
    server.close()


def scanner(server: Server, sid: str) -> Scanner:
    """Return a device at which this user scans."""
    made = Scanner(server)
    made.device.user = sid
    return made


def test_a_user_of_the_directory_scans_by_a_process_of_the_directory(
    server: Server, controller: DomainController
) -> None:
    """The page is in the folder with the user's name; and neither the user nor the process is in the settings."""
    at = scanner(server, controller.sid("amelie"))

    token = good(at.device.create(GUID, ASKED)).find("JobToken")
    assert token
    (page,) = at.send(token)
    good(at.device.end(token))

    assert at.ended(token).state == "Completed"
    (delivered,) = (server.share / "amelie@fabrikam.example").iterdir()
    assert delivered.read_bytes() == page


@pytest.mark.conformance("PSP-045")
def test_who_may_not_read_the_process_learns_nothing_of_it(server: Server, controller: DomainController) -> None:
    """The fault is that of a process that is not there (T-O7)."""
    bob = scanner(server, controller.sid("bob"))

    faults = [refusal(bob.device.create(one, ASKED)) for one in (GUID, str(uuid.uuid4()).upper())]

    assert [(one.status, one.subcode) for one in faults] == [(400, "dsp:InvalidArgs")] * 2
    assert [one.detail[0] for one in faults if one.detail] == ["PSP_Identifier"] * 2


@pytest.mark.conformance("PSP-048")
def test_a_user_who_is_disabled_in_the_directory_is_refused(server: Server, controller: DomainController) -> None:
    """From the next question on; the same user scanned a moment ago."""
    at = scanner(server, controller.sid("amelie"))
    good(at.device.create(GUID, ASKED))
    change = (
        f"dn: CN=amelie,CN=Users,{BASE}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: {{}}\n"
    )

    controller.modify(change.format(514))
    try:
        fault = refusal(at.device.create(GUID, ASKED))
    finally:
        controller.modify(change.format(512))

    assert (fault.status, fault.subcode) == (400, "dsp:InvalidArgs")
    assert fault.detail == ("UserIdentifier", at.device.user)
    good(at.device.create(GUID, ASKED))


def test_while_the_directory_is_away_jobs_are_asked_to_come_again(server: Server, controller: DomainController) -> None:
    """With a temporary fault, and a cancel of a job that is there works; then all is well again."""
    at = scanner(server, controller.sid("amelie"))
    token = good(at.device.create(GUID, ASKED)).find("JobToken")
    assert token

    controller.stop()
    try:
        fault = refusal(at.device.create(GUID, ASKED))
        good(at.device.cancel(token))
    finally:
        controller.start()

    assert (fault.status, fault.subcode) == (500, "dsp:ServerErrorTemporaryError")
    assert at.status(token).state == "Canceled"
    until(lambda: at.device.create(GUID, ASKED).status == 200, "for the directory to be asked again")
