"""For whom the job of a source is, through every inlet and with every proof; and who sees and cancels it.

The table is that of decision 75; the service is tested by it in `tests/core/service/test_job_users.py`.
`test_source_claims.py` tests that nothing else names a user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from acceptance import inlets
from acceptance.inlets import InletServer
from acceptance.scanning import good
from acceptance.test_owner_matrix import OPERATIONS, House, comparable
from acceptance.ways_in import (
    ANNA,
    BEN,
    CARL,
    DEVICE,
    ELSEWHERE,
    LABELS,
    OWN,
    PANEL,
    USERS,
    WAYS_IN,
    Scan,
    new_page,
)

from postscan.core.model.job import Job
from postscan.core.model.principal import Proof


@dataclass
class Ownership:
    """A server whose only slot is taken, so that jobs stay Pending, and who asks it for jobs by WS-DSP.

    The owners of `house` are the three users with their certificates, and two who are none of them: a device with a
    certificate of its own, and one without at the address of the senders.
    """

    site: InletServer
    house: House
    _jobs: dict[tuple[str, str], Job] = field(default_factory=dict)

    def job(self, way: str, account: str) -> Job:
        """Return a job for the user of this account, which came this way; the same one each time."""
        if (way, account) not in self._jobs:
            self._jobs[way, account] = self.new_job(way, account)
        return self._jobs[way, account]

    def new_job(self, way: str, account: str) -> Job:
        """Send a scan for the user of this account, and return its job."""
        sender = account if WAYS_IN[way].has_accounts else ""
        job = self.sent(way, Scan(new_page(), LABELS[USERS[account]], sender))
        assert job is not None
        return job

    def sent(self, way: str, scan: Scan) -> Job | None:
        """Send a scan, and return its job; None if it was refused, with the reply that says so."""
        reply = WAYS_IN[way].send(self.site, scan)
        job = self.site.job_of(scan.content)
        assert reply.stored == (job is not None), reply
        assert reply.stored or reply.code == WAYS_IN[way].refusal, reply
        return job


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ownership]:
    """The server of this module."""
    with inlets.serving(tmp_path_factory.mktemp("owned"), "copy") as site:
        asking = [*map(site.certified, (*USERS.values(), "")), site.anonymous(ANNA)]
        house = House(site.server, asking)
        house.take_the_slot()
        yield Ownership(site, house)


def expected(account: str, label: str) -> str | None:
    """Return the user by the table of decision 75; None if the scan is refused. "" is a device or a folder."""
    of_destination = {name: sid for sid, name in LABELS.items()}.get(label, "")
    if account in USERS:
        return USERS[account] if of_destination in ("", USERS[account]) else None
    return of_destination or (CARL if account == PANEL else None)


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS_IN)
def test_the_user_is_the_one_of_the_table(owned: Ownership, way: str) -> None:
    """D25, T-S1: each sender with each destination, that without a user too; the owner is inlet and sender."""
    chosen = WAYS_IN[way]
    for account in (*USERS, PANEL) if chosen.has_accounts else ("",):
        for label in (*LABELS.values(), OWN):
            job = owned.sent(way, Scan(new_page(), label, account))

            assert (job.user.sid if job else None) == expected(account, label), (account, label)
            if job is not None:
                subject = account or (DEVICE if chosen.proof == "device" else str(owned.site.watched / label))
                assert (job.owner.name, job.owner.proof) == (f"source:{chosen.inlet}:{subject}", Proof.SOURCE)


@pytest.mark.parametrize("way", ["folder, local", "mail, device", "ftp, clear", "web, clear", "web, password"])
def test_an_administrator_sees_for_whom_a_job_is_and_what_was_proven(owned: Ownership, way: str) -> None:
    """`postscan jobs show`: one job for each inlet and for each proof."""
    chosen, job = WAYS_IN[way], owned.job(way, "ben")
    account = "ben" if chosen.has_accounts else None
    subject = account or (DEVICE if chosen.proof == "device" else str(owned.site.watched / LABELS[BEN]))
    shown = owned.site.shown(job.token)

    assert shown["user"] == {"sid": BEN, "name": "ben@fabrikam.example"}
    assert shown["owner"] == {"name": f"source:{chosen.inlet}:{subject}", "proof": "source"}
    assert shown["origin"] == {
        "source": chosen.inlet,
        "proof": chosen.proof,
        "subject": subject,
        "account": account,
        "destination": "ben",
        "told": None,
    }


@pytest.mark.parametrize(("way", "code"), [("mail, device", 530), ("ftp, device", 530), ("web, device", 401)])
def test_an_address_that_is_no_device_sends_nothing(owned: Ownership, way: str, code: int) -> None:
    """T-S31, T-S22, T-S41: without an account, whatever the destination is."""
    scan = Scan(new_page(), LABELS[ANNA], address=ELSEWHERE)

    assert WAYS_IN[way].send(owned.site, scan).code == code
    assert owned.site.user_of(scan.content) is None


# --- who sees and cancels it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS_IN)
def test_a_job_is_unknown_to_all_but_its_user(owned: Ownership, way: str) -> None:
    """D2, D25, I13, T-O1: byte for byte, also to a device that claims to be of a user at the address of the senders."""
    house = owned.house
    jobs = {number: owned.job(way, account).token for number, account in enumerate(USERS)}
    before = owned.site.server.everything()
    differ = []
    for mine, token in jobs.items():
        for asking in (number for number in range(len(house.owners)) if number != mine):
            for operation in ("CancelPostScanJob", "GetPostScanJobElements"):
                answer = OPERATIONS[operation](house.owners[asking], token)
                assert answer.fault() is not None
                if comparable(answer, token) != house.refused(asking, operation):
                    differ.append((mine, asking, operation))

    assert differ == []
    assert owned.site.server.everything() == before


@pytest.mark.parametrize("way", WAYS_IN)
def test_a_certificate_of_its_user_sees_and_cancels_a_job(owned: Ownership, way: str) -> None:
    """D25: that of the SID, for each user."""
    for device, account in zip(owned.house.owners, USERS, strict=False):
        job = owned.new_job(way, account)

        assert good(device.elements(job.token)).find("JobState") == "Pending"
        good(device.cancel(job.token))
        assert good(device.elements(job.token)).find("JobState") == "Canceled"
        assert owned.site.job(job.token).state == "Canceled"
