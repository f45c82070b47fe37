"""Who may do what with the job of a source: the user whom a certificate proves sees and cancels it (D25)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import ANNA
from some_jobs import new_job
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof, User, of_source
from postscan.core.model.states import JobState

SOURCE = of_source("mail", "10.0.0.9")
USER = Principal(f"user:{SID}", Proof.CERTIFICATE, sid=SID)
OTHER = "S-1-5-21-1-2-3-1002"

STRANGERS = [
    Principal(f"user:{OTHER}", Proof.CERTIFICATE, sid=OTHER),
    Principal("device-cert:1", Proof.CERTIFICATE),
    Principal(f"user:{SID}", Proof.ADDRESS, sid=SID),
    Principal(SOURCE.name, Proof.ADDRESS),
    Principal(SOURCE.name, Proof.CERTIFICATE),
    of_source("ftp", "10.0.0.9"),
    ANNA,
]

VERBS: dict[str, Callable[[Engine, Principal], object]] = {
    "get": lambda core, by: core.service.job("job", by),
    "events": lambda core, by: core.service.events("job", by),
    "cancel": lambda core, by: core.service.cancel("job", by),
    "send": lambda core, by: core.service.open_image("job", by, 1, "png"),
    "end": lambda core, by: core.service.end("job", by),
    "hold": lambda core, by: core.service.hold("job", by),
    "release": lambda core, by: core.service.release("job", by),
}


@pytest.fixture
def job(core: Engine) -> None:
    """A job that a source made for a user, in state Creating."""
    job = replace(
        new_job(), token=JobToken("job"), owner=SOURCE, user=User(SID, "anna@fabrikam.example"), deadline=1e12
    )
    core.store.insert(job)


@pytest.mark.usefixtures("job")
def test_the_user_sees_and_cancels_it(core: Engine) -> None:
    """Also out of the cache, which a device polls."""
    assert core.service.job("job", USER).user.sid == SID
    assert core.service.cached("job", USER)
    assert core.service.events("job", USER)

    assert core.service.cancel("job", USER).state is JobState.CANCELED


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("verb", ["send", "end", "hold", "release"])
def test_the_user_does_nothing_else_with_it(core: Engine, verb: str) -> None:
    """T-S2: who ended it before its last page would make a job of a half."""
    with pytest.raises(JobNotFound):
        VERBS[verb](core, USER)

    assert core.store.load("job").state is JobState.CREATING


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("stranger", STRANGERS, ids=range(len(STRANGERS)))
def test_to_all_others_it_is_unknown(core: Engine, verb: str, stranger: Principal) -> None:
    """T-S1: a SID that is only claimed counts nothing, and neither does the name of the owner without its proof."""
    core.store.load("job")  # it is cached now

    with pytest.raises(JobNotFound):
        VERBS[verb](core, stranger)
    assert core.service.cached("job", stranger) is None
    assert core.store.load("job").state is JobState.CREATING


@pytest.mark.usefixtures("job")
def test_a_user_has_no_part_in_jobs_that_devices_made(core: Engine) -> None:
    """A SID that a device has claimed is no proof of who stands there."""
    token = core.service.create(ANNA, SID, "P", instructions("copy"))

    with pytest.raises(JobNotFound):
        core.service.job(token, USER)
