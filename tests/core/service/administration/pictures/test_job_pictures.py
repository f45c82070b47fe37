"""Who may see the pages of a job (D26, D27), what is audited, and what is left when the images are removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import BORIS
from databases import migrated
from sourced import OWNER, Sources, with_sources
from works import SID, instructions

from postscan.core.errors import JobNotFound, PicturesRefused, PictureUnavailable, Unavailable
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof, Role, User, at_console
from postscan.core.model.records import OriginProof
from postscan.core.service.administration.pictures.job_pictures import (
    FAILED_SECONDS,
    LOOK_SECONDS,
    Pictures,
    PictureSize,
)
from postscan.core.service.job_users import Claim
from postscan.core.settings import Settings
from postscan.core.spool.pictures import PictureKey, StoredPicture
from postscan.plugins.testing.runner import FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
ANNA = Principal(f"user:{SID}", Proof.CERTIFICATE, sid=SID)
DEVICE = Principal("device:192.0.2.7", Proof.ADDRESS)
KNOWN_DEVICE = Principal("device-cert:1", Proof.CERTIFICATE)
SHOWN = StoredPicture(b"RIFF\x04\0\0\0WEBP", 1)
SMALL = PictureSize.SMALL


class Maker:
    """Makes a picture of everything, or of nothing; counts, and lets something else happen meanwhile."""

    def __init__(self) -> None:
        self.made = 0
        self.error: Exception | None = None
        self.meanwhile: Callable[[], object] = lambda: None

    def make(self, image: Path, format: str, page: int, side: int, caller: str) -> StoredPicture:
        """Return the picture."""
        self.made += 1
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return SHOWN

    def close(self) -> None:
        """Do nothing."""


class Seen:
    """An engine that is not running, with pictures that cost no process."""

    def __init__(self, settings: Settings, clock: FakeClock) -> None:
        table = {**dict(settings), "users": {SID: {"name": "anna@fabrikam.example"}}}
        inlets = {"mail": {"plugin": "smtp", "accounts": {"panel": "*", "boss": SID}}}
        self.sources = Sources(with_sources(Settings.model_validate(table), settings.storage.url, **inlets), clock)
        self.core = self.sources.core
        self.clock = clock
        self.maker = Maker()
        core = self.core
        self.pictures = Pictures(core.settings, core.store, core.spool, core.service.job, self.maker, core.clock)

    def job(self, owner: Principal, *images: str) -> JobToken:
        """Return a job of this owner for Anna, with a page of each format."""
        token = self.core.service.create(owner, SID, "P", instructions("copy"))
        return self._sent(token, owner, images or ("png",))

    def job_of_source(self, proof: OriginProof, account: str = "") -> JobToken:
        """Return a job for Anna whose pages came so."""
        self.sources.accounts.passwords["panel"] = self.sources.accounts.passwords["boss"] = "secret"
        claim = Claim(proof, OWNER.name.rpartition(":")[2], account)
        token = self.sources.open(claim=claim, key=f"{proof}-{account}")
        return self._sent(JobToken(token), self.core.service.job(token, ADMIN).owner, ("png",))

    def looks(self, token: str) -> list[str]:
        """Return who has looked at a job, as the audit trail has it."""
        return [line.who for line in self.core.service.audit(ADMIN, token) if line.verb == "looked"]

    def _sent(self, token: JobToken, owner: Principal, formats: tuple[str, ...]) -> JobToken:
        for number, format in enumerate(formats, start=1):
            with self.core.service.open_image(token, owner, number, format) as image:
                image.write(b"page")
        return token


@pytest.fixture
def seen(settings: Settings, clock: FakeClock) -> Iterator[Seen]:
    """Jobs of all kinds of owners can be made, and looked at."""
    migrated(settings.storage.url)
    seen = Seen(settings, clock)
    yield seen
    seen.core.close()


OWN = {
    "own certificate": lambda seen: seen.job(ANNA),
    "own account": lambda seen: seen.job_of_source(OriginProof.PASSWORD, "anna"),
    "own account of the inlet": lambda seen: seen.job_of_source(OriginProof.PASSWORD, "boss"),
}
NAMED_BY_A_DEVICE = {
    "address of a device": lambda seen: seen.job_of_source(OriginProof.DEVICE),
    "folder": lambda seen: seen.job_of_source(OriginProof.LOCAL),
    "account of a device": lambda seen: seen.job_of_source(OriginProof.PASSWORD, "panel"),
}


@pytest.mark.parametrize("way", OWN)
def test_people_see_the_pages_that_they_have_proven_to_be_theirs(seen: Seen, way: str) -> None:
    """D26: by the certificate or the account with which the pages came. That is no look at a job of another."""
    token = OWN[way](seen)

    assert seen.pictures.picture(token, ANNA, 1, 1, SMALL) == SHOWN
    assert seen.looks(token) == []


@pytest.mark.parametrize("way", NAMED_BY_A_DEVICE)
def test_pages_stay_shut_to_the_user_that_only_a_device_has_named(seen: Seen, way: str) -> None:
    """D26: they may be of anyone; who is named may see the job and cancel it."""
    token = NAMED_BY_A_DEVICE[way](seen)

    assert seen.core.service.job(token, ANNA).user.sid == SID
    with pytest.raises(PicturesRefused, match="has not proven"):
        seen.pictures.picture(token, ANNA, 1, 1, SMALL)
    assert seen.maker.made == 0


@pytest.mark.parametrize(
    ("owner", "looks"),
    [
        (DEVICE, {Role.ADMINISTRATOR}),
        (OWNER, {Role.ADMINISTRATOR}),
        (Principal("user:S-1-5-21-1-2-3-1002", Proof.CERTIFICATE), {Role.ADMINISTRATOR}),
        (Principal(ANNA.name, Proof.ADDRESS), {Role.ADMINISTRATOR}),
        (ANNA, set(Role)),
        (Principal("account:ann", Proof.ACCOUNT), set(Role)),
    ],
    ids=["device", "source", "other's certificate", "name without proof", "certificate", "account"],
)
def test_each_role_sees_what_its_user_has_proven_and_administrators_see_all(
    seen: Seen, job: Callable[..., Job], owner: Principal, looks: set[Role]
) -> None:
    """D26, D27: the person at the console has proven the user of the job; who has named that user counts as well."""
    one = replace(job(owner=owner), user=User(SID, "anna@fabrikam.example"))
    people = {role: at_console("account:ann", Proof.ACCOUNT, role, SID) for role in Role}

    assert {role for role, by in people.items() if not seen.pictures.refusal(one, by)} == looks


@pytest.mark.parametrize("owner", [DEVICE, KNOWN_DEVICE], ids=["by address", "by certificate"])
def test_a_device_sees_no_pictures_of_the_jobs_that_it_has_sent(seen: Seen, owner: Principal) -> None:
    """It has them, and the user that it names may be anyone."""
    with pytest.raises(PicturesRefused, match="has not proven"):
        seen.pictures.picture(seen.job(owner), owner, 1, 1, SMALL)


def test_the_pages_of_a_foreign_job_are_as_unknown_as_the_job(seen: Seen) -> None:
    """The same error as for a token that does not exist; and for a page that is not there."""
    token = seen.job(ANNA)
    stranger = Principal("user:S-1-5-21-1-2-3-1002", Proof.CERTIFICATE, sid="S-1-5-21-1-2-3-1002")

    for caller, one, document in ((stranger, token, 1), (BORIS, token, 1), (ANNA, "no-such-job", 1), (ANNA, token, 2)):
        with pytest.raises(JobNotFound):
            seen.pictures.picture(one, caller, document, 1, SMALL)


def test_a_look_of_an_administrator_is_audited_once_an_hour(seen: Seen) -> None:
    """D27: with each person and job; the fifty pages of one job are one look."""
    token, other = seen.job(DEVICE, "png", "jfif"), seen.job(DEVICE)
    second = replace(ADMIN, name="local:eve")
    for by, job, document in ((ADMIN, token, 1), (ADMIN, token, 2), (second, token, 1), (ADMIN, other, 1)):
        seen.pictures.picture(job, by, document, 1, SMALL)
    seen.clock.advance(LOOK_SECONDS + 1)
    seen.pictures.picture(token, ADMIN, 1, 1, SMALL)

    assert seen.looks(token) == ["local:root", "local:eve", "local:root"]
    assert seen.looks(other) == ["local:root"]


def test_a_look_that_cannot_be_audited_shows_nothing(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line comes first, also if the picture is in the cache already."""
    token = seen.job(DEVICE)
    seen.core.spool.pictures.put(PictureKey(token, 1, 1, SMALL), SHOWN, 0)
    monkeypatch.setattr(seen.core.store, "record", lambda *_: (_ for _ in ()).throw(Unavailable("busy")))

    with pytest.raises(Unavailable, match="busy"):
        seen.pictures.picture(token, ADMIN, 1, 1, SMALL)


# --- the cache ---------------------------------------------------------------------------------------------------


def test_a_picture_is_made_once(seen: Seen) -> None:
    """Each page and size."""
    token = seen.job(ANNA)
    for size in (SMALL, SMALL, PictureSize.LARGE, SMALL):
        seen.pictures.picture(token, ANNA, 1, 1, size)

    assert seen.maker.made == 2


def test_a_page_without_a_picture_costs_one_process_in_ten_minutes(seen: Seen) -> None:
    """A hostile page would else cost one whenever its job is shown. A crowd is no property of a page."""
    token = seen.job(ANNA)
    for error in (Unavailable("too many"), Unavailable("too many"), PictureUnavailable("it is a bomb")):
        seen.maker.error = error
        with pytest.raises(type(error)):
            seen.pictures.picture(token, ANNA, 1, 1, SMALL)
    with pytest.raises(PictureUnavailable, match="it is a bomb"):
        seen.pictures.picture(token, ANNA, 1, 1, SMALL)
    assert seen.maker.made == 3

    seen.clock.advance(FAILED_SECONDS + 1)
    seen.maker.error = None
    assert seen.pictures.picture(token, ANNA, 1, 1, SMALL) == SHOWN


@pytest.mark.parametrize("format", ["pdf-a", "xps", "jpeg2k", "jbig"])
def test_a_format_without_pictures_starts_no_process(seen: Seen, format: str) -> None:
    """P3: nothing draws a PDF or an XPS here."""
    with pytest.raises(PictureUnavailable, match=f"no pictures of the format {format}"):
        seen.pictures.picture(seen.job(ANNA, format), ANNA, 1, 1, SMALL)

    assert seen.maker.made == 0


ENDS: dict[str, Callable[[Seen, JobToken], object]] = {
    "cancel": lambda seen, token: seen.core.service.cancel(token, ANNA),
    "discard": lambda seen, token: (_time_out(seen, token), seen.core.service.discard(token, ADMIN)),
    "release as a new job": lambda seen, token: (_time_out(seen, token), seen.core.service.release(token, ADMIN)),
    "retention": lambda seen, token: (
        _time_out(seen, token),
        seen.clock.advance(seen.core.settings.retention.timed_out_hours * 3600 + 1),
        seen.core.retention.sweep(),
    ),
}


def _time_out(seen: Seen, token: JobToken) -> None:
    with seen.core.store.change(token) as job:
        job.expire(seen.clock.now())
    seen.core.store.record_ended(seen.clock.ticks())


@pytest.mark.parametrize("end", ENDS)
def test_pictures_are_removed_with_the_images_of_their_job(seen: Seen, end: str) -> None:
    """Whatever removes them; then there is none, and no process tries."""
    token = seen.job(ANNA)
    seen.pictures.picture(token, ANNA, 1, 1, SMALL)
    ENDS[end](seen, token)

    assert seen.core.spool.pictures.tokens() == []
    with pytest.raises(PictureUnavailable, match="are removed"):
        seen.pictures.picture(token, ANNA, 1, 1, SMALL)
    assert seen.maker.made == 1


def test_a_picture_that_is_made_while_the_images_are_removed_is_not_kept(seen: Seen) -> None:
    """Else it would stay for as long as the cache has room."""
    token = seen.job(ANNA)
    seen.maker.meanwhile = lambda: seen.core.service.cancel(token, ANNA)

    with pytest.raises(PictureUnavailable, match="are removed"):
        seen.pictures.picture(token, ANNA, 1, 1, SMALL)
    assert seen.core.spool.pictures.tokens() == []


def test_a_sweep_removes_what_a_killed_process_has_left(seen: Seen) -> None:
    """Pictures of jobs whose images are gone, and of jobs that are forgotten; no others."""
    gone, kept = seen.job(ANNA), seen.job(ANNA)
    seen.core.service.cancel(gone, ANNA)
    forgotten = JobToken("00000000-0000-4000-8000-000000000000")
    for token in (gone, kept, forgotten):
        seen.core.spool.pictures.put(PictureKey(token, 1, 1, SMALL), SHOWN, 0)
    seen.core.retention.sweep()

    assert seen.core.spool.pictures.tokens() == [kept]
    assert [file.key for file in seen.core.spool.files() if "pictures" in file.key] == []
