"""Mails about jobs: who gets one, and that none is lost or repeated, whatever the mail server does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from email.message import EmailMessage

import pytest
from conftest import ANNA
from shared_lead import Member
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.execution.job_mail import sender
from postscan.core.execution.job_mail.sender import MOST_TRIES, JobMailSender
from postscan.core.execution.job_mail.smtp import MailPostponed, MailRefused, MailServerAway
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.settings import Settings
from postscan.plugins.testing.runner import FakeClock

OTHER = "S-1-5-21-1-2-3-1002"
MAILS = {SID: "anna@fabrikam.example", OTHER: "ben@fabrikam.example"}
ROOT = Principal("local:root", Proof.LOCAL, admin=True)
HOUR = 3600.0


class Post:
    """A mail server: it takes each mail, or raises what the test says for a recipient."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.errors: dict[str, Exception] = {}
        self.tried = 0

    def send(self, mail: EmailMessage) -> None:
        """Take a mail."""
        self.tried += 1
        error = self.errors.get(mail["To"], self.errors.get("all"))
        if error is not None:
            raise error
        self.mails.append(mail)

    def abort(self) -> None:
        """Do nothing."""

    @property
    def told(self) -> list[tuple[str, str]]:
        """Return to whom what was sent, in order."""
        return [(mail["To"].partition("@")[0], mail["Subject"].rpartition('" ')[2]) for mail in self.mails]


class Office:
    """An engine that is not running, its users, and a sender of mails."""

    def __init__(self, core: Engine, clock: FakeClock) -> None:
        self.core = core
        self.clock = clock
        self.post = Post()
        self.sender = self.restarted()

    def restarted(self) -> JobMailSender:
        """Return the sender of the next server on the same data."""
        self.sender = JobMailSender(self.core.settings, self.core.store, self.clock, self.post)
        return self.sender

    def pending(self, sid: str = SID) -> JobToken:
        """Return a job of a user that waits for its filters."""
        token = self.core.service.create(ANNA, sid, "P", instructions("copy"))
        self.core.service.end(token, ANNA)
        return token

    def failed(self, sid: str = SID) -> JobToken:
        """Return a job of a user that has timed out."""
        token = self.core.service.create(ANNA, sid, "P", instructions("copy"))
        self.change(token, lambda job: job.expire(self.clock.now()))
        return token

    def change(self, token: str, verb: Callable[[Job], object]) -> None:
        """Store what a verb does."""
        with self.core.store.change(token) as job:
            verb(job)

    def works(self, rounds: int = 1) -> list[tuple[str, str]]:
        """Let the sender work; return to whom what was sent so far."""
        for _ in range(rounds):
            self.sender.work()
        return self.post.told


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Anna and Ben have chosen to be told; nobody else."""
    users = {sid: {"name": mail, "mail": mail, "job_mail": True} for sid, mail in MAILS.items()}
    mail = {"host": "127.0.0.1", "sender": "postscan@fabrikam.example", "per_hour": 5}
    return Settings.model_validate({**dict(settings), "users": users, "job_mail": mail})


@pytest.fixture
def office(core: Engine, clock: FakeClock) -> Office:
    """The sender has begun."""
    office = Office(core, clock)
    office.works()
    return office


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log of the sender."""
    return [record.message for record in caplog.records if record.name == sender.__name__]


def test_a_user_is_told_once_that_a_job_failed_or_is_held(office: Office) -> None:
    """A job that is released again has no mail of its own, and no job that ended well or was cancelled has one."""
    office.failed()
    held = office.pending(OTHER)
    office.core.service.hold(held, ROOT)
    for _ in range(3):
        office.works()
    office.core.service.release(held, ROOT)
    office.core.service.cancel(held, ANNA)

    assert office.works(3) == [("anna", "failed"), ("ben", "is held")]


def test_who_has_not_chosen_it_is_not_told(office: Office) -> None:
    """Neither a user without the setting, nor one whom the settings do not know."""
    users = office.core.settings.users
    users = {SID: users[SID].model_copy(update={"job_mail": False}), OTHER: users[OTHER]}
    office.sender.use(office.core.settings.model_copy(update={"users": users}))
    office.failed()
    office.failed("S-1-5-21-9-9-9-9999")

    assert office.works() == []
    office.failed(OTHER)
    assert office.works() == [("ben", "failed")]


def test_what_happened_before_the_first_mail_server_is_not_told(core: Engine, clock: FakeClock) -> None:
    """To turn mails on leads to no flood about old jobs, also after they were turned off."""
    office = Office(core, clock)
    office.failed()
    assert office.works(2) == []

    off = core.settings.model_copy(update={"job_mail": core.settings.job_mail.model_copy(update={"host": ""})})
    JobMailSender(off, core.store, clock, office.post).start()
    office.failed()
    office.restarted()
    assert office.works(2) == []


def test_a_restart_loses_no_mail_and_repeats_none(office: Office) -> None:
    """Whatever the last server has looked at, stored, or sent."""
    office.failed()
    office.restarted()
    office.post.errors["all"] = MailServerAway("gone")
    office.works()
    office.post.errors.clear()
    office.restarted()
    told = list(office.works())
    office.restarted()

    assert told == [("anna", "failed")]
    assert office.works(2) == told


def test_a_mail_that_is_sent_and_cannot_be_deleted_is_not_sent_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may fail between the reply of the server and the deletion."""
    office.failed()
    office.post.errors["all"] = MailServerAway("gone")
    office.works()
    office.post.errors.clear()
    office.clock.advance(HOUR)
    with monkeypatch.context() as failing:
        failing.setattr(sender.job_mail, "remove", lambda *_: (_ for _ in ()).throw(StoreBusy("busy")))
        with pytest.raises(StoreBusy):
            office.works()

    assert office.works(3) == [("anna", "failed")]


def test_an_outage_of_the_mail_server_is_one_line_and_loses_nothing(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """One try in each pause, whatever waits; the log has its begin and its end."""
    caplog.set_level(logging.INFO)
    office.post.errors["all"] = MailServerAway("Connection refused")
    for _ in range(3):
        office.failed()
    office.works(5)
    tried = office.post.tried
    for _ in range(4):
        office.clock.advance(HOUR)
        office.works(2)
    assert (tried, office.post.tried) == (1, 5)

    office.post.errors.clear()
    office.clock.advance(HOUR)
    assert office.works() == [("anna", "failed")] * 3
    assert lines(caplog) == ["mail server away: mails about jobs wait", "mail server back"]


def test_a_refused_recipient_is_in_nobodys_way(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """For good: a line of the log. For now: tried again later."""
    office.post.errors = {MAILS[SID]: MailRefused("550 unknown"), MAILS[OTHER]: MailPostponed("450 full")}
    for sid in (SID, OTHER):
        office.failed(sid)
    office.works()
    office.post.errors.clear()
    office.failed()
    assert office.works() == [("anna", "failed")]
    office.clock.advance(120)

    assert office.works(2) == [("anna", "failed"), ("ben", "failed")]
    assert lines(caplog) == ["mail about a job refused"]


def test_a_mail_that_breaks_each_connection_is_tried_behind_the_others(office: Office) -> None:
    """Else all mails would wait for it for ever."""
    office.post.errors = {MAILS[SID]: MailServerAway("reset", in_mail=True)}
    office.failed(SID)
    office.failed(OTHER)
    office.works()
    office.clock.advance(30)

    assert office.works() == [("ben", "failed")]


def test_a_mail_that_is_refused_for_a_day_is_given_up(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """The pauses grow to hours."""
    office.post.errors["all"] = MailPostponed("450 full")
    office.failed()
    begun = office.clock.ticks()
    while not lines(caplog):
        office.works()
        office.clock.advance(60)

    assert office.post.tried == MOST_TRIES
    assert 24 * HOUR < office.clock.ticks() - begun < 48 * HOUR
    assert lines(caplog) == ["mail about a job given up"]


def test_a_flood_of_failures_is_a_few_mails(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    """A device may name any user, and let jobs fail; the log has one line, and the next hour begins anew."""
    for _ in range(9):
        office.failed()
    office.failed(OTHER)
    assert office.works(3) == [("anna", "failed")] * 5 + [("ben", "failed")]
    assert lines(caplog) == ["too many mails about jobs of a user"]

    office.clock.advance(HOUR + 1)
    office.failed()
    assert office.works(2)[6:] == [("anna", "failed")]


def test_the_database_holds_so_many_mails(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the mail server is away, further events wait where they are, and are told afterwards."""
    monkeypatch.setattr(sender, "MOST_WAITING", 2)
    office.post.errors["all"] = MailServerAway("gone")
    for _ in range(4):
        office.failed(SID)
        office.failed(OTHER)
        office.works()
    with office.core.store.reading() as db:
        stored = sender.job_mail.count(db)
    office.post.errors.clear()
    office.clock.advance(HOUR)

    assert stored == 2
    assert sorted(office.works(5)) == [("anna", "failed")] * 4 + [("ben", "failed")] * 4


def test_a_job_that_is_gone_is_not_told(office: Office) -> None:
    """Its mails are deleted with it."""
    office.post.errors["all"] = MailServerAway("gone")
    token = office.failed()
    office.works()
    office.core.service.discard(token, ROOT)
    office.core.store.record_ended(office.clock.ticks())
    office.core.store.drop_jobs(office.clock.ticks() + 1, 0)
    office.post.errors.clear()
    office.clock.advance(HOUR)

    assert office.works() == []


def test_of_several_servers_the_leader_alone_sends(office: Office) -> None:
    """The next one goes on behind what is stored, so that no mail is sent twice."""
    leader, other = Member(leads=True), Member(leads=False)
    core = office.core
    first = JobMailSender(core.settings, core.store, office.clock, office.post, leader)
    second = JobMailSender(core.settings, core.store, office.clock, office.post, other)
    office.failed()
    second.work()
    assert office.post.told == []
    first.work()
    leader.is_leader, other.is_leader = False, True
    office.failed(OTHER)
    first.work()
    second.work()

    assert office.post.told == [("anna", "failed"), ("ben", "failed")]
