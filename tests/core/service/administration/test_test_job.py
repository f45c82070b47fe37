"""A job of one generated page: who may send it, for whom it is, and what is left of it when it fails."""

from __future__ import annotations

import pytest
from console_browser import SID, person
from works import instructions

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, NotAdministrator, SpoolFull
from postscan.core.model.formats import test_page
from postscan.core.model.principal import Principal, Proof, Role
from postscan.core.model.process import ScanProcess
from postscan.core.model.states import JobState
from postscan.core.service.administration import test_job
from postscan.core.settings.engine import UserSettings
from postscan.core.settings.network import TlsSettings

GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
OTHER = "S-1-5-21-1-2-3-1077"
ANN = {OTHER: UserSettings(name="ann@fabrikam.example")}


def process(*users: str) -> ScanProcess:
    """Return a process for these users."""
    return ScanProcess(GUID, "Archive", "", instructions("copy"), frozenset(users))


def send(core: Engine, by: Principal, user: str = SID) -> str:
    """Send a page through a process for all users."""
    return test_job.send(core.service, core.settings, process(), user, by)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMINISTRATOR])
def test_an_operator_sends_a_page_as_a_job_of_its_own(core: Engine, role: Role) -> None:
    """For any user: the page waits for its filters."""
    by = person(role)
    job = core.service.job(send(core, by, OTHER), by)

    assert (job.state, job.user.sid, job.owner.name) == (JobState.PENDING, OTHER, by.name)
    assert [document.size for document in job.documents] == [len(test_page.png(1))]


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER])
def test_others_send_none(core: Engine, role: Role) -> None:
    """And there is no job of it."""
    with pytest.raises(NotAdministrator):
        send(core, person(role))
    assert core.listing.search(person(Role.VIEWER)).jobs == []


def test_where_devices_have_certificates_the_page_is_for_a_known_user(core: Engine) -> None:
    """As the job of a device is: the sender has no certificate, and needs none."""
    tls = TlsSettings.model_construct(mode="client")
    core.service.use(core.settings.model_copy(update={"tls": tls, "users": ANN}))
    settings = core.settings.model_copy(update={"tls": tls, "users": ANN})
    by = person(Role.OPERATOR)

    token = test_job.send(core.service, settings, process(), OTHER, by)
    assert core.service.job(token, by).user.name == "ann@fabrikam.example"
    with pytest.raises(InvalidArgument, match="the SID of a known user"):
        test_job.send(core.service, settings, process(), SID, by)


def test_a_page_that_cannot_be_stored_leaves_no_open_job(core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is canceled."""

    def full(*_: object) -> None:
        raise SpoolFull("no room")

    by = person(Role.OPERATOR)
    monkeypatch.setattr(core.service, "open_image", full)
    with pytest.raises(SpoolFull):
        send(core, by)

    assert [job.state for job in core.listing.search(by).jobs] == [JobState.CANCELED]


@pytest.mark.parametrize(
    ("users", "sid", "expected"),
    [
        ([], SID, SID),
        ([SID, OTHER], SID, SID),
        ([OTHER], SID, OTHER),
        (["ann@fabrikam.example"], SID, OTHER),
        ([], "", OTHER),
        (["eve@fabrikam.example"], "", OTHER),
    ],
)
def test_the_page_is_for_the_sender_or_for_the_first_user(users: list[str], sid: str, expected: str) -> None:
    """Of the process, else of the settings."""
    by = Principal("link:operator", Proof.LINK, sid=sid)

    assert test_job.user_of(process(*users), ANN, by) == expected


def test_without_any_user_the_page_is_for_the_example() -> None:
    """A fresh installation knows no users."""
    assert test_job.user_of(process(), {}, Principal("link:operator", Proof.LINK)) == test_page.USER
