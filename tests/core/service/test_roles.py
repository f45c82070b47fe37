"""What people at the console may do with jobs: each role, with its own jobs and with those of others (D26)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import ANNA
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound, NotAdministrator, PostscanError, WrongState
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Proof, Right, Role, User, at_console, of_source
from postscan.core.service.administration.actions import JobAction, actions
from postscan.core.settings import Settings

OTHER_SID = "S-1-5-21-1-2-3-1002"
ROOT = Principal("local:root", Proof.LOCAL, admin=True)
STRONG = Principal(f"user:{SID}", Proof.CERTIFICATE, sid=SID)
DONE, FORBIDDEN, UNKNOWN = "done", "forbidden", "unknown"

VERBS: dict[str, Callable[[Engine, str, Principal], object]] = {
    "see": lambda core, token, by: core.service.job(token, by),
    "events": lambda core, token, by: core.service.events(token, by),
    "deliveries": lambda core, token, by: core.service.deliveries(token, by),
    "cancel": lambda core, token, by: core.service.cancel(token, by),
    "hold": lambda core, token, by: core.service.hold(token, by),
    "release": lambda core, token, by: core.service.release(token, by),
    "retry": lambda core, token, by: core.service.retry(token, by),
    "discard": lambda core, token, by: core.service.discard(token, by),
}
CHANGES = {"hold", "release", "retry", "discard"}
FOR_ALL = {
    Role.OWNER: set[str](),
    Role.VIEWER: {"see", "events", "deliveries"},
    Role.OPERATOR: set(VERBS),
    Role.ADMINISTRATOR: set(VERBS),
}
"""What a role may do with the jobs of others."""


def person(role: Role, sid: str = SID) -> Principal:
    """Return a person who has signed in with the account of a user."""
    return at_console("account:ann", Proof.ACCOUNT, role, sid)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A cancel waits for no filter: none runs."""
    return settings.model_copy(update={"running": settings.running.model_copy(update={"cancel_answer_seconds": 0.0})})


def outcome(core: Engine, verb: str, token: str, by: Principal) -> str:
    """Call a verb; return what becomes of it. That the state does not allow it is told after the right was asked."""
    try:
        VERBS[verb](core, token, by)
    except JobNotFound:
        return UNKNOWN
    except NotAdministrator:
        return FORBIDDEN
    except WrongState:
        pass
    return DONE


def expected(role: Role, verb: str, *, own: bool) -> str:
    """Return what becomes of a verb by the table of the console's roles."""
    if verb in FOR_ALL[role] or (own and verb not in CHANGES):
        return DONE
    return FORBIDDEN if own or role is Role.VIEWER else UNKNOWN


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("own", [True, False], ids=["own", "foreign"])
def test_each_role_does_what_the_table_says(core: Engine, role: Role, own: bool) -> None:
    """A right that is missing is named for a job that the person sees; any other job is one that does not exist."""
    by = person(role, SID if own else OTHER_SID)
    found = {}
    for verb in VERBS:
        token = core.service.create(ANNA, SID, "P", instructions("copy"))
        core.store.load(token)  # it is cached now
        assert (core.service.cached(token, by) is None) == (expected(role, "see", own=own) == UNKNOWN)
        found[verb] = outcome(core, verb, token, by)

    assert found == {verb: expected(role, verb, own=own) for verb in VERBS}


@pytest.mark.parametrize("role", Role)
def test_pages_and_the_end_of_a_job_are_for_its_owner_alone(core: Engine, role: Role) -> None:
    """Whatever the role: who ended a job before its last page would make one of a half. An administrator may."""
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    for call in (
        lambda: core.service.open_image(token, person(role), 1, "png").abort(),
        lambda: core.service.end(token, person(role)),
    ):
        if role is Role.ADMINISTRATOR:
            call()
        else:
            with pytest.raises(JobNotFound):
                call()


@pytest.mark.parametrize(
    ("owner", "sees"),
    [
        (ANNA, True),
        (STRONG, True),
        (of_source("mail", "10.0.0.9"), True),
        (Principal("account:ann", Proof.ACCOUNT), True),
    ],
    ids=["device", "certificate", "source", "account"],
)
def test_jobs_for_the_proven_user_are_listed_whoever_made_them(
    core: Engine, job: Callable[..., Job], owner: Principal, sees: bool
) -> None:
    """Found, counted, listed while it is open and afterwards; by others of the same role it is not."""
    one = replace(job(owner=owner), user=User(SID, "anna@fabrikam.example"))
    core.store.insert(one)
    for by, visible in ((person(Role.OWNER), sees), (person(Role.OWNER, OTHER_SID), False)):
        listed = [found.token for found in core.listing.search(by).jobs]
        assert listed == [one.token] * visible
        assert sum(core.listing.counts(by).values()) == visible
        if by.sid == OTHER_SID and owner.name == by.name:
            continue  # it is the owner, of a job for another user
        assert [found.token for found in core.service.active(by)] == [one.token] * visible
    core.service.cancel(one.token, person(Role.OWNER))

    assert [found.token for found in core.service.history(person(Role.OWNER))] == [one.token]
    assert core.service.active(person(Role.OWNER)) == []


def test_who_has_proven_no_user_sees_what_it_made_itself(core: Engine, job: Callable[..., Job]) -> None:
    """By name and proof: the same name that came another way is another person. No SID is not the SID ""."""
    by = at_console("oidc:ann", Proof.OIDC, Role.OWNER)
    core.store.insert(replace(job(token="mine", owner=by), user=User("", "")))
    core.store.insert(replace(job(token="other", owner=replace(by, proof=Proof.LINK)), user=User("", "")))

    assert [found.token for found in core.listing.search(by).jobs] == ["mine"]
    assert [found.token for found in core.service.active(by)] == ["mine"]
    with pytest.raises(JobNotFound):
        core.service.job("other", by)


def test_a_certificate_at_a_device_sees_no_more_than_before(core: Engine) -> None:
    """D25: only at the console are jobs that a device made for a user the user's own."""
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    at_the_console = at_console(STRONG.name, Proof.CERTIFICATE, Role.OWNER, SID)

    with pytest.raises(JobNotFound):
        core.service.job(token, STRONG)
    assert core.service.job(token, at_the_console).token == token


def test_what_is_beside_jobs_is_for_the_right_that_it_needs(core: Engine) -> None:
    """Viewers see how the server is; the audit trail, accounts, tokens and sessions are for administrators."""
    core.store.record_filters(["urn:acme:copy"], core.clock.now())
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    for role, (sees, administers) in {
        Role.OWNER: (False, False),
        Role.VIEWER: (True, False),
        Role.OPERATOR: (True, False),
        Role.ADMINISTRATOR: (True, True),
    }.items():
        by = person(role, OTHER_SID)
        assert bool(core.service.audit(by, token)) is administers, role
        assert bool(core.inlets.list(by)) is (sees and bool(core.settings.sources)), role
        for call in (core.accounts.all, core.tokens.all):
            if administers:
                call(by)
            else:
                with pytest.raises(NotAdministrator):
                    call(by)


def test_actions_are_what_the_verbs_do(job: Callable[..., Job]) -> None:
    """Pages show what `actions` returns, so that nothing is offered that the service refuses."""
    one = replace(job(), user=User(SID, "anna@fabrikam.example"))
    asked = itertools.product(Role, (SID, OTHER_SID))
    found = {(role, sid == SID): set(actions(one, person(role, sid))) for role, sid in asked}

    assert {key for key, possible in found.items() if JobAction.CANCEL in possible} == {
        (role, own) for role, own in found if own or Right.OPERATE in role.rights
    }


def test_a_refused_verb_has_a_line_in_the_audit_trail(core: Engine) -> None:
    """With the right that is missing; it changes nothing."""
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    for verb in ("cancel", *sorted(CHANGES)):
        with pytest.raises(NotAdministrator, match="right to operate"):
            VERBS[verb](core, token, person(Role.VIEWER, OTHER_SID))

    assert [(line.who, line.verb, line.outcome, line.detail) for line in core.service.audit(ROOT, token)][1:] == [
        ("account:ann", verb, "refused", "the right to operate is missing") for verb in ("cancel", *sorted(CHANGES))
    ]
    assert not core.service.job(JobToken(token), ROOT).state.ended


def test_who_sees_all_jobs_is_not_throttled_by_unknown_ones(core: Engine) -> None:
    """It can find out nothing with them; an owner at the console is throttled as a device is."""
    for _ in range(core.settings.limits.bad_tokens + 1):
        with pytest.raises(JobNotFound):
            core.service.job("unknown", person(Role.VIEWER))
    for _ in range(core.settings.limits.bad_tokens):
        with pytest.raises(JobNotFound):
            core.service.job("unknown", person(Role.OWNER))
    with pytest.raises(PostscanError, match="unknown tokens"):
        core.service.job("unknown", person(Role.OWNER))
