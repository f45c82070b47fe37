"""Jobs of users and scan processes that only a directory has. PSP-047, PSP-048, T-L23."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import databases
import pytest
import staff
from conftest import ANNA
from staff import ANN, BOB, CLARK, INVOICES, SCANNERS, Staff

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, OriginRefused, StoredProcessInvalid, Unavailable
from postscan.core.filters.directory.values import DirectoryUser
from postscan.core.model.job import Job
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import Instructions
from postscan.core.model.records import OriginProof
from postscan.core.registry.directory import directory
from postscan.core.service.job_users import Claim
from postscan.core.service.origins import Offer
from postscan.core.settings import Settings
from postscan.soap.processes.folder import ProcessFolder

PSP = """<?xml version="1.0" encoding="UTF-16"?>
<psp:PostScanProcess xmlns:psp="http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp">
  <psp:ScanRepository>scan01</psp:ScanRepository>
  <psp:ScanTicket/>
  <psp:PostScanInstructions>
    <psp:DocumentRootName>Invoice</psp:DocumentRootName>
    <psp:FiltersToProcess>
      <psp:Filter><psp:Dialect>urn:test:nothing</psp:Dialect><psp:Instructions/></psp:Filter>
    </psp:FiltersToProcess>
  </psp:PostScanInstructions>
</psp:PostScanProcess>
"""
ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
Opened = Callable[..., contextlib.AbstractContextManager[Engine]]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staff:
    """A directory with Ann, who may scan invoices by a group, and Bob, who may not."""
    monkeypatch.syspath_prepend(str(staff.OUTSIDE))
    monkeypatch.setattr(directory, "AGAIN_SECONDS", 0.0)
    found = Staff(tmp_path)
    facts = {"display_name": "Ann Lee", "home_folder": r"\\files\home\ann", "mail": "ann@fabrikam.example"}
    found.add("ann", ANN, groups=[SCANNERS], **facts)
    found.add("bob", BOB)
    found.process(INVOICES, members=(SCANNERS,), xml=PSP)
    return found


@pytest.fixture
def opened(people: Staff, settings: Settings) -> Opened:
    """Open an engine that runs the plugin and no jobs; *changes* are those of the settings."""

    @contextlib.contextmanager
    def open_engine(changes: dict[str, Any] | None = None, **table: Any) -> Iterator[Engine]:
        databases.migrated(settings.storage.url)
        found = people.settings(Settings.model_validate(settings.model_dump() | (changes or {})), **table)
        core = Engine(found, ProcessFolder.of(found))
        with contextlib.closing(core), core.answering():
            staff.ready(core)
            yield core

    return open_engine


def sent(core: Engine) -> Instructions:
    """Return the instructions of the process, as a device copies them."""
    process = ProcessFolder.of(core.settings).read(INVOICES, "Invoices", PSP)
    assert process is not None
    return process.instructions


def create(core: Engine, sid: str = ANN, process: str = INVOICES) -> Job:
    """Create a job, and return it as it is stored."""
    token = core.service.create(ANNA, sid, process, sent(core))
    return core.service.job(token, ADMIN)


def test_a_user_and_a_process_that_only_the_directory_has_make_a_job(opened: Opened) -> None:
    """The filters get mail, display name and home folder as they were then."""
    with opened() as core:
        job = create(core)

    assert job.user == User(ANN, "ann@fabrikam.example", "ann@fabrikam.example", "Ann Lee", r"\\files\home\ann")
    assert (job.process_id, job.process_name, job.document_root) == (INVOICES, "Invoices", "Invoice")


def test_a_disabled_user_is_refused_after_fresh_seconds(opened: Opened, people: Staff) -> None:
    """PSP-048: with the fault of a user who is not known; the audit trail has the reason."""
    with opened(fresh_seconds=0) as core:
        create(core)
        people.add("ann", ANN, enabled=False, reason="account expired")
        with pytest.raises(InvalidArgument) as refused:
            create(core)
        lines = [line.detail for line in core.service.audit(ADMIN) if line.outcome == "refused"]

    assert refused.value.argument == "UserIdentifier"
    assert lines == [f"ann@fabrikam.example ({ANN}): account expired"]


def test_a_user_who_may_not_use_the_process_learns_nothing_of_it(opened: Opened) -> None:
    """T-O7: the words are those for an unknown one; the audit trail has the reason."""
    with opened() as core:
        said = []
        for identifier in (INVOICES, "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"):
            with pytest.raises(InvalidArgument) as refused:
                create(core, BOB, identifier)
            said.append(str(refused.value).replace(identifier, "..."))
        (line,) = (line.detail for line in core.service.audit(ADMIN) if line.outcome == "refused")

    assert said[0] == said[1]
    assert line.endswith("none of its members is bob@fabrikam.example")


def test_while_the_directory_is_away_the_audit_trail_says_so(opened: Opened, people: Staff) -> None:
    """What was read before is used; a user who was not read gets the temporary fault."""
    with opened(fresh_seconds=0, stale_seconds=3600) as core:
        create(core)
        people.fail("away")
        create(core)
        with pytest.raises(Unavailable):
            create(core, BOB)
        first, second = (line.detail for line in core.service.audit(ADMIN) if line.verb == "create")

    assert "away" not in first
    assert "; user: directory away, read 0 s ago; process: directory away, read 0 s ago" in second


def test_a_job_is_cancelled_while_the_directory_hangs(opened: Opened, people: Staff) -> None:
    """No verb but the creation asks it."""
    with opened(answer_seconds=60) as core:
        job = create(core)
        people.fail("hang")
        asked = len(people.asked())
        core.service.cancel(job.token, ANNA)

        assert len(people.asked()) == asked
        assert core.service.job(job.token, ADMIN).state == "Canceled"


def test_the_job_of_a_source_is_for_a_user_of_the_directory(opened: Opened, people: Staff) -> None:
    """And for none who is disabled there: the sender reads nothing of the reason."""
    destination = {"label": "Invoices", "process": INVOICES, "user": ANN}
    changes = {"destinations": {"in": destination}, "sources": {"mail": {"plugin": "smtp"}}}
    with opened(changes, fresh_seconds=0) as core:
        core.origins.begin()
        (chosen,) = core.origins.destinations("mail")
        offer = Offer("mail", "1", chosen, Claim(OriginProof.DEVICE, "10.0.0.9", ""))
        job = core.service.job(core.origins.open(offer).token, ADMIN)
        people.add("ann", ANN, enabled=False, reason="account expired")
        with pytest.raises(OriginRefused) as refused:
            core.origins.open(replace(offer, key="2"))

    assert (job.user.name, job.process_name) == ("ann@fabrikam.example", "Invoices")
    assert (str(refused.value), refused.value.detail) == (
        "this account is not accepted here",
        f"ann@fabrikam.example ({ANN}): account expired",
    )


def test_users_of_the_settings_and_processes_of_the_folder_come_first(opened: Opened, people: Staff) -> None:
    """The directory is not asked about them; a process may list a group of the directory."""
    users = {"users": {CLARK: {"name": "clark@fabrikam.example"}}}
    with opened(users) as core:
        folder = ProcessFolder.of(core.settings)
        folder.add(PSP.replace("<psp:ScanTicket/>", _TICKET).encode(), display_name="Own", identifier=INVOICES)
        job = create(core, CLARK)
        asked = people.asked()
        folder.add(
            PSP.replace("<psp:ScanTicket/>", _TICKET).encode(),
            display_name="Own",
            identifier=INVOICES,
            users=[SCANNERS],
        )
        create(core, ANN)
        with pytest.raises(InvalidArgument, match="PSP_Identifier"):
            create(core, BOB)

    assert (job.user.name, job.process_name, asked) == ("clark@fabrikam.example", "Own", [])


_TICKET = (
    '<psp:ScanTicket xmlns:w="http://schemas.microsoft.com/windows/2006/08/wdp/scan"><w:JobDescription>'
    "<w:JobName>a</w:JobName><w:JobOriginatingUserName>b</w:JobOriginatingUserName></w:JobDescription></psp:ScanTicket>"
)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"xml": "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"}, StoredProcessInvalid),
        ({"xml": "<x/>"}, StoredProcessInvalid),
        ({"xml": PSP, "sha256": "0" * 64}, Unavailable),
    ],
    ids=["DTD", "no process", "another hash"],
)
def test_a_document_that_cannot_be_trusted_makes_no_job(
    opened: Opened, people: Staff, changed: dict[str, str], error: type[Exception]
) -> None:
    """PSP-044, P-10, T-L21: it is the error of the server, not of the device."""
    with opened() as core:
        wanted = sent(core)
        people.process(INVOICES, members=(SCANNERS,), **changed)
        with pytest.raises(error):
            core.service.create(ANNA, ANN, INVOICES, wanted)


def test_a_user_is_found_by_login_and_by_upn(opened: Opened) -> None:
    """For administrators, who type names."""
    with opened() as core:
        by_login = core.users.by_name("test", "ann")
        by_upn = core.users.by_name("test", "ann@fabrikam.example")
        nobody = core.users.by_name("test", "eve")

    assert by_login is not None
    assert by_login.user.sid == ANN
    assert by_upn == by_login or by_upn is None
    assert nobody is None
    assert isinstance(by_login.question, DirectoryUser)
