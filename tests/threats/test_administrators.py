"""Two roads to a job, and who may take which: its owner that of WS-DSP, administrators that of WS-DSC, nobody both."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance import test_owner_matrix as matrix
from acceptance.scanning import good, refusal
from acceptance.test_owner_matrix import STATE_OF, comparable
from threats import administration
from threats.administration import OPERATIONS
from threats.office import Mode, Office, open_office, scanned
from works import until

from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import AuditLine

AUDITOR = Principal("local:root", Proof.LOCAL, admin=True)


@pytest.fixture(scope="module", params=[matrix.strong, matrix.weak], ids=["strong", "weak"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office in strong and in weak mode."""
    with open_office(tmp_path_factory.mktemp("office"), request.param) as opened:
        yield opened


# --- the road of owners ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", matrix.OPERATIONS)
def test_an_administrator_is_nobody_special_to_ws_dsp(office: Office, operation: str) -> None:
    """T-O8, T-O1, D3: somebody else's job is an unknown one there, byte for byte; and nothing happens to it."""
    ask, unknown = matrix.OPERATIONS[operation], str(uuid.uuid4())
    tokens, before = office.house.jobs(STATE_OF[operation]), office.server.everything()
    nobodys = comparable(ask(office.administrator, unknown), unknown)
    foreign = [comparable(ask(office.administrator, token), token) for token in tokens]

    assert b"dsp:ClientErrorJobTokenNotFound" in nobodys[2]
    assert foreign == [nobodys] * 3
    assert office.server.everything() == before


# --- the road of administrators ----------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(set(STATE_OF.values())))
def test_an_administrator_sees_every_job(office: Office, state: str) -> None:
    """Without it the test below would show nothing: the jobs are there for an administrator."""
    seen = [
        good(administration.elements(office.administrator, token)).find("JobState")
        for token in office.house.jobs(state)
    ]

    assert seen == [state] * 3


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whoever_is_no_administrator_hears_the_same_of_every_job(office: Office, operation: str) -> None:
    """T-O1, D2, ruling 9: of somebody else's, of the own one, of none; byte for byte, and nothing happens to any."""
    ask, unknown = OPERATIONS[operation], str(uuid.uuid4())
    tokens, before = office.house.jobs("Processing"), office.server.everything()
    for asking, token in itertools.product(office.owners, tokens):
        told, nobodys = ask(asking, token), ask(asking, unknown)

        assert comparable(told, token) == comparable(nobodys, unknown)
        assert refusal(told).subcode == "dsc:ClientErrorCurrentUserNotScanAdmin"
        assert (refusal(told).detail, token.encode() in told.body) == (None, False)
    assert office.server.everything() == before


def test_nor_does_an_operation_that_is_not_there_tell_them_anything(office: Office) -> None:
    """T-O1: what a caller may not do, it may not find out about either."""
    refused = [
        refusal(administration.say(owner, operation)).subcode
        for owner in office.owners
        for operation in ("CancelPostScanJob", "ShredPostScanJob")
    ]

    assert refused == ["dsc:ClientErrorCurrentUserNotScanAdmin"] * 6
    assert refusal(administration.say(office.administrator, "ShredPostScanJob")).subcode == "wsa:ActionNotSupported"


def test_who_is_refused_there_leaves_a_line_in_the_trail(office: Office) -> None:
    """T-O8, T-O9: who it was, how proven, and what it asked for; nothing of its own words."""
    names = {"CancelPostScanJob": "CancelPostScanJob", "ShredPostScanJob": "another action"}
    before = len(refused(office))
    for owner, name in itertools.product(office.owners, names):
        administration.say(owner, name)

    lines = refused(office)[before:]
    assert [line.detail for line in lines] == list(names.values()) * len(office.owners)
    assert len({(line.who, line.proof) for line in lines}) == len({line.who for line in lines}) > 1
    assert {line.token for line in lines} == {""}


def refused(office: Office) -> list[AuditLine]:
    """Return the lines about refused callers of the configuration service."""
    trail = office.server.works.service.audit(AUDITOR, limit=100_000)
    return [line for line in trail if (line.verb, line.outcome) == ("administer", "refused")]


@pytest.mark.parametrize("mode", [matrix.strong, matrix.weak], ids=["strong", "weak"])
def test_an_administrator_cancels_what_runs_and_the_trail_knows_who_it_was(tmp_path: Path, mode: Mode) -> None:
    """T-O8, D3, ruling 3: it ends Canceled, as if the owner had; who did it, how proven, and that it was done."""
    with open_office(tmp_path, mode) as office:
        owner = office.owners[0]
        token = scanned(office.server, owner, "sleep 60")
        office.server.works.await_trace(token, "sleep")

        good(administration.cancel(office.administrator, token))

        until(lambda: good(owner.elements(token)).find("JobState") == "Canceled", f"for {token} to be Canceled")
        trail = office.server.works.service.audit(AUDITOR, token)
        cancelled = [(line.who, line.proof, line.outcome) for line in trail if line.verb == "cancel"]
        assert cancelled == [(office.proven, "certificate", "done")]
        again = refusal(administration.cancel(office.administrator, token))
        assert (again.subcode, again.detail) == ("dsc:ClientErrorJobTokenNotFound", ("JobToken", token))
