"""The parts of a running engine work with the settings that they have been given last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import databases
import pytest
from conftest import ANNA
from sourced import Sources, with_sources
from works import SID, Works

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, SpoolFull, Unavailable
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.states import FilterVerb
from postscan.core.model.subscription import EventService, Sink
from postscan.core.settings import Settings

HASH = "$argon2id$v=19$m=65536,t=3,p=4$mhcmPeC8VZlQJ5BkWZVpQA$1vIm8PqRtZ6JkSPi2BOnsXJmHpX0SVGk2lUQ7fMGeVg"


def changed(settings: Settings, **tables: dict[str, Any] | bool) -> Settings:
    """Return the settings with these values; a table keeps its other keys."""
    values = dict(settings)
    for name, table in tables.items():
        is_partial = name in ("limits", "retention", "identity") and isinstance(table, dict)
        values[name] = values[name].model_dump() | table if is_partial else table
    return Settings.model_validate(values)


@pytest.fixture
def sources(settings: Settings) -> Iterator[Sources]:
    """Inlets; no server runs."""
    found = with_sources(settings)
    databases.migrated(found.storage.url)
    sources = Sources(found)
    yield sources
    sources.core.close()


def test_users_are_those_of_the_last_settings(core: Engine) -> None:
    """A job that is there keeps its user."""
    works = Works(core, ANNA)
    first = works.create("copy")

    core.use(changed(core.settings, allow_unknown_users=False))
    with pytest.raises(InvalidArgument):
        works.create("copy")
    core.use(changed(core.settings, users={SID: {"name": "anna@fabrikam.example"}}))
    second = works.create("copy")

    assert [works.job(token).user.name for token in (first, second)] == [SID, "anna@fabrikam.example"]


def test_users_of_sources_are_those_of_the_last_settings(sources: Sources) -> None:
    """Also where the destination names the user."""
    settings = changed(sources.settings, users={SID: {"name": "anna@fabrikam.example"}})
    sources.origins.use(settings)

    assert sources.job(sources.open()).user.name == "anna@fabrikam.example"


def test_limits_are_those_of_the_last_settings(core: Engine) -> None:
    """Of jobs, of images in a job, and of bytes."""
    works = Works(core, ANNA)
    token = works.create("copy")
    works.send(token, 1, b"x" * 100)

    core.use(changed(core.settings, limits={"open_jobs": 1, "images_per_job": 1, "caller_bytes": 150}))
    with pytest.raises(Unavailable, match="1 open jobs already"):
        works.create("copy")
    with pytest.raises(InvalidArgument, match="at most 1 images"):
        works.send(token, 2, b"x")
    core.use(changed(core.settings, limits={"images_per_job": 2}))
    with pytest.raises(SpoolFull, match="more than 150 bytes"):
        works.send(token, 2, b"x" * 100)


def test_the_silence_of_a_device_is_measured_by_the_last_settings(core: Engine) -> None:
    """From its next image on."""
    works = Works(core, ANNA)
    token = works.create("copy")
    core.use(changed(core.settings, limits={"silence_seconds": 10_000.0}))
    before = core.store.load(token).deadline
    works.send(token)

    assert core.store.load(token).deadline - before > 9000


def test_images_are_kept_as_long_as_the_last_settings_say(core: Engine) -> None:
    """The next sweep removes them."""
    works = Works(core, ANNA)
    token = works.create("copy")
    works.send(token)
    core.service.end(token, ANNA)
    core.store.claim(core.clock.now(), "a holder")
    with core.store.change(token) as job:
        job.start(0, core.clock.now())
        job.report(0, FilterVerb.SUCCEED, core.clock.now())
        job.finish(core.clock.now())
    core.retention.sweep()
    assert works.job(token).images_kept

    core.use(changed(core.settings, retention={"image_hours": 0.0}))
    core.retention.sweep()

    assert not works.job(token).images_kept


def test_subscriptions_of_former_administrators_end(core: Engine) -> None:
    """T-A4: those of devices stay."""

    def subscribe(by: Principal, port: EventService) -> str:
        sink = Sink("http://192.0.2.1/", "192.0.2.1", "")
        manager = "http://scan.example/{}".format
        return core.subscriptions.add(port, by, sink, None, (), manager, absolute=False, seconds=60.0).id

    admin = Principal(f"user:{SID}", Proof.CERTIFICATE, admin=True, sid=SID, entry=SID)
    subscribed = [subscribe(ANNA, EventService.PROCESSING), subscribe(admin, EventService.CONFIGURATION)]
    core.use(changed(core.settings, identity={"administrators": [SID]}))
    assert sorted(one.id for one in core.subscriptions.live()) == sorted(subscribed)

    core.use(changed(core.settings, identity={"administrators": []}))

    assert [one.id for one in core.subscriptions.live()] == subscribed[:1]


def test_accounts_are_those_of_the_last_settings(core: Engine) -> None:
    """One that is removed counts no longer."""
    core.use(changed(core.settings, accounts={"Front-Desk": {"hash": HASH, "user": SID}}))
    found = core.accounts.user_of("front-desk", "mail")
    core.use(changed(core.settings, accounts={}))

    assert found is not None
    assert found.sid == SID
    assert core.accounts.user_of("front-desk", "mail") is None


def test_the_limits_of_runs_are_those_of_the_last_settings(works: Works) -> None:
    """A filter that makes more documents than a job may have fails."""
    works.core.use(changed(works.core.settings, limits={"images_per_job": 1}))
    job = works.ended(works.start("turn add:1"))

    assert job.steps[0].state == "CompletedWithErrors"
    assert "expected at most 1" in job.steps[0].detail
