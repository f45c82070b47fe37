"""A device in front of a server whose users and scan processes are in a directory alone; also one that hangs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent import futures

import messages
import pytest
import staff
from acceptance.scanning import Scanner, good, instructions, refusal
from acceptance.server import Server, running
from device import Device
from staff import ANN, BOB, CLARK, INVOICES, SCANNERS, Staff
from works import until

ASKED = instructions("copy")
FRESH, WAITING = 0.2, 4


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Staff:
    """Ann, Bob and Clark, who may all scan invoices."""
    found = Staff(tmp_path_factory.mktemp("staff"))
    for login, sid in (("ann", ANN), ("bob", BOB), ("clark", CLARK)):
        found.add(login, sid, groups=[SCANNERS])
    found.process(INVOICES, members=(SCANNERS,), xml=messages.PROCESS.replace(messages.INSTRUCTIONS, ASKED))
    return found


@pytest.fixture(scope="module")
def server(people: Staff, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows users by the directory alone; what it read is fresh for a moment."""
    tables = {
        "plugins.staff": {"file": str(people.path), "trace": str(people.trace)},
        "directory": {
            "fresh_seconds": FRESH,
            "stale_seconds": 0,
            "answer_seconds": 60,
            "waiting": WAITING,
            "waiting_per_caller": WAITING,
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(staff.OUTSIDE), os.environ.get("PYTHONPATH", ""))))
        with running(tmp_path_factory.mktemp("directory"), tables) as server:
            yield server


def device_of(server: Server, sid: str) -> Device:
    """Return a device at which this user stands."""
    return Device(server.url, user=sid, timeout=60)


@pytest.mark.conformance("PSP-047")
def test_a_user_whom_only_the_directory_has_scans_by_a_process_that_only_it_has(server: Server) -> None:
    """PSP-047: the name of the directory is that of the job's user."""
    scanner = Scanner(server)
    scanner.device = device_of(server, ANN)
    token = good(scanner.device.create(INVOICES, ASKED)).find("JobToken")
    assert token
    scanner.send(token)
    good(scanner.device.end(token))
    status = scanner.ended(token)
    described = good(scanner.device.elements(token, "dsp:JobDescription")).find("JobOriginatingUserName")

    assert (status.state, described) == ("Completed", "ann@fabrikam.example")


@pytest.mark.conformance("PSP-048")
def test_a_user_who_is_disabled_there_is_refused_soon(server: Server, people: Staff) -> None:
    """PSP-048: with the fault of a user who is not known, after `fresh_seconds`."""
    device = device_of(server, BOB)
    good(device.create(INVOICES, ASKED))
    people.add("bob", BOB, groups=[SCANNERS], enabled=False)
    until(lambda: device.create(INVOICES, ASKED).status == 400)
    refused = refusal(device.create(INVOICES, ASKED))

    assert (refused.subcode, refused.detail) == ("dsp:InvalidArgs", ("UserIdentifier", BOB))


def test_while_the_directory_hangs_creations_are_put_off_and_nothing_else_waits(server: Server, people: Staff) -> None:
    """T-L22: of many that ask, some wait; all get the temporary fault; a cancel and a query ask no directory."""
    own = Scanner(server)
    own.device = device_of(server, CLARK)
    token = good(own.device.create(INVOICES, ASKED)).find("JobToken")
    assert token
    people.fail("wait")
    try:
        with futures.ThreadPoolExecutor(3 * WAITING) as threads:
            asked = [
                threads.submit(device_of(server, f"S-1-5-21-7-7-7-{number}").create, INVOICES, ASKED)
                for number in range(2000, 2000 + 3 * WAITING)
            ]
            until(lambda: sum(one.done() for one in asked) == 2 * WAITING)  # those that found no place
            own.status(token)
            good(own.device.cancel(token))
            waiting = sum(not one.done() for one in asked)
            people.fail("away")
        faults = {refusal(one.result()).subcode for one in asked}
    finally:
        people.fail("")

    assert waiting == WAITING
    assert faults == {"dsp:ServerErrorTemporaryError"}
    assert own.status(token).state == "Canceled"
