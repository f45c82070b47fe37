"""Jobs at the API: what the command line says, for those who may see it, page by page; and the verbs of the service."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from api_client import ADMIN, ApiClient
from conftest import ANNA
from job_states import STATES
from works import SID, Works, instructions

from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof, Role
from postscan.core.service.administration.actions import actions
from postscan.core.service.administration.records import JobDetails, ListedJobRecord

Api = Callable[..., ApiClient]

OTHER_SID = "S-1-5-21-1-2-3-2002"
NO_JOB = "00000000-0000-4000-8000-000000000000"
VERBS = ("cancel", "hold", "release", "retry", "discard")


def create(core: Engine, sid: str = SID, owner: Principal = ANNA) -> JobToken:
    """Make a job of a user, in state Creating."""
    return core.service.create(owner, sid, "P", instructions("copy"))


def waiting(core: Engine, sid: str = SID) -> JobToken:
    """Make a job that waits."""
    token = create(core, sid)
    with core.service.open_image(token, ANNA, 1, "png") as image:
        image.write(b"x")
    core.service.end(token, ANNA)
    return token


def problem(response: Any) -> tuple[int, str]:
    """Return the status of a problem and the end of its type."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["instance"] == response.request.url.path
    assert body.keys() >= {"type", "title", "detail"}
    return response.status_code, body["type"].rpartition(":")[2]


# --- what is said ----------------------------------------------------------------------------------------------------


def test_a_job_is_said_as_the_command_line_says_it(api: Api, works: Works) -> None:
    """The bytes of `postscan jobs show --json`, but for its line ends."""
    token = works.start("copy")
    works.ended(token)
    core = works.core
    response = api(Role.ADMINISTRATOR).get(f"/jobs/{token}")

    job = core.service.job(token, ADMIN)
    deliveries, events = core.service.deliveries(token, ADMIN), core.service.events(token, ADMIN)
    said = JobDetails.of(job, actions(job, ADMIN), None, (), deliveries, events).plain()
    assert response.status_code == 200
    assert response.text == json.dumps(said)
    assert said["deliveries"]
    assert response.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in response.headers


def test_events_and_deliveries_are_those_of_the_job(api: Api, works: Works) -> None:
    token = works.start("copy")
    works.ended(token)
    client = api(Role.VIEWER)
    whole = client.get(f"/jobs/{token}").json()

    assert client.get(f"/jobs/{token}/events").json() == {"events": whole["events"]}
    assert client.get(f"/jobs/{token}/deliveries").json() == {"deliveries": whole["deliveries"]}


def test_the_log_goes_on_where_it_was_read_to(api: Api, works: Works) -> None:
    """For operators; others may see the job, and none of its lines."""
    token = works.start("log one two", "copy")
    works.ended(token)
    client = api(Role.OPERATOR)
    first = client.get(f"/jobs/{token}/log").json()

    assert client.get(first["next"]).json()["lines"] == []
    assert [line["text"] for line in first["lines"]] == ["one", "two"]
    assert api(Role.VIEWER).get(f"/jobs/{token}/log").json()["lines"] == []


# --- found, page by page ---------------------------------------------------------------------------------------------


def test_the_pages_of_a_search_have_each_job_once(api: Api, core: Engine) -> None:
    """By the link in the body, which is that of the header; the query of the search goes along."""
    tokens = [create(core) for _ in range(5)]
    create(core, OTHER_SID)
    client = api(Role.VIEWER)
    response, found = client.get("/jobs", user=SID, limit=2, state=["Creating", "Pending"]), []
    for _ in range(4):
        body = response.json()
        found += [job["token"] for job in body["jobs"]]
        if body["next"] is None:
            break
        assert response.headers["link"] == f'<{body["next"]}>; rel="next"'
        response = client.get(body["next"])

    assert sorted(found) == sorted(tokens)
    assert "link" not in response.headers


def test_a_listed_job_is_said_as_the_command_line_says_it(api: Api, core: Engine) -> None:
    create(core)
    listed = core.listing.search(ADMIN).jobs

    assert api(Role.VIEWER).get("/jobs").json()["jobs"] == [ListedJobRecord.of(job).plain() for job in listed]


@pytest.mark.parametrize(
    ("query", "argument"),
    [
        ({"state": "Sleeping"}, "state"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": [1, 2]}, "limit"),
        ({"from": "yesterday"}, "from"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
        ({"to": "2026-03-01T00:00:00"}, "to"),
        ({"text": "a\0b"}, "text"),
        ({"text": "x" * 256}, "text"),
        ({"after": "secret-cursor"}, "after"),
        ({"password": "secret"}, "query"),
    ],
    ids=str,
)
def test_a_wrong_query_names_the_parameter_and_repeats_no_value(api: Api, query: dict[str, Any], argument: str) -> None:
    """What was sent may be a secret in the wrong place, and the response may be logged."""
    response = api(Role.VIEWER).get("/jobs", **query)

    assert problem(response) == (400, "invalid-argument")
    assert response.json()["argument"] == argument
    assert "secret" not in response.text


def test_counts_are_those_of_the_jobs_that_the_caller_may_see(api: Api, core: Engine) -> None:
    create(core)
    create(core, OTHER_SID)

    assert api(Role.VIEWER).get("/jobs/counts").json()["states"] == {"Creating": 2}
    assert api(Role.OWNER, SID).get("/jobs/counts").json()["states"] == {"Creating": 1}


# --- the verbs -------------------------------------------------------------------------------------------------------


def test_a_job_is_held_released_and_cancelled(api: Api, core: Engine) -> None:
    client, token = api(Role.OPERATOR), waiting(core)

    assert client.post(f"/jobs/{token}/hold").json() == {"token": token}
    assert core.service.job(token, ADMIN).state == "Pending-Held"
    assert client.post(f"/jobs/{token}/release").json() == {"token": token}
    assert client.post(f"/jobs/{token}/cancel").json()["state"] == "Canceled"
    assert problem(client.post(f"/jobs/{token}/cancel")) == (404, "not-found")


def test_a_cancel_is_done_in_the_name_of_the_token(api: Api, core: Engine) -> None:
    token = waiting(core)
    api(Role.OPERATOR).post(f"/jobs/{token}/cancel")

    assert core.service.audit(ADMIN, token)[-1].proof == Proof.API


def test_a_failed_job_is_retried_as_a_new_one(api: Api, works: Works) -> None:
    """What the plan says happens; the response leads to the new job. The failed one has no images then: 409."""
    token = works.start("copy", "fail acme:torn", go_on=True)
    works.ended(token)
    client = api(Role.OPERATOR)
    plan = client.get(f"/jobs/{token}/retry").json()["filters"]
    response = client.post(f"/jobs/{token}/retry")

    assert [one["runs"] for one in plan] == [False, True]
    assert response.status_code == 201
    assert client.get(response.headers["location"]).json()["token"] == response.json()["token"] != token
    refused = client.post(f"/jobs/{token}/retry")
    assert problem(refused) == (409, "wrong-state")
    assert refused.json()["state"].startswith("Completed")
    assert problem(client.get(f"/jobs/{token}/retry", **{"from": 9})) == (409, "wrong-state")


def test_images_are_discarded_once(api: Api, works: Works) -> None:
    token = works.start("fail acme:torn")
    works.ended(token)
    client = api(Role.OPERATOR)
    response = client.post(f"/jobs/{token}/discard")

    assert (response.status_code, response.content) == (204, b"")
    assert not works.job(token).images_kept
    assert problem(client.post(f"/jobs/{token}/discard")) == (409, "wrong-state")


@pytest.mark.parametrize("state", STATES)
def test_no_state_and_verb_is_an_error_of_the_server(
    api: Api, core: Engine, job: Callable[..., Any], state: str
) -> None:
    """Each is done, or refused with what the state is."""
    for number, verb in enumerate(VERBS):
        one = job(token=f"{number}d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")
        STATES[state](one)
        core.store.insert(one)
        response = api(Role.ADMINISTRATOR).post(f"/jobs/{one.token}/{verb}")
        assert response.status_code in (200, 201, 204) or problem(response)[0] in (404, 409)


# --- for whom --------------------------------------------------------------------------------------------------------


def test_an_owner_sees_and_cancels_its_own_jobs_and_no_other(api: Api, core: Engine) -> None:
    """A job of another user is answered in each way as one that does not exist, but for its token."""
    mine, other = waiting(core), waiting(core, OTHER_SID)
    client = api(Role.OWNER, SID)

    assert [job["token"] for job in client.get("/jobs").json()["jobs"]] == [mine]
    for path in ("", "/events", "/deliveries", "/log", "/retry"):
        foreign, unknown = client.get(f"/jobs/{other}{path}"), client.get(f"/jobs/{NO_JOB}{path}")
        assert problem(foreign) == problem(unknown) == (404, "not-found")
        assert foreign.text.replace(other, "T") == unknown.text.replace(NO_JOB, "T")
    for verb in VERBS:
        assert problem(client.post(f"/jobs/{other}/{verb}")) == (404, "not-found")
    assert core.service.job(other, ADMIN).state == "Pending"
    assert client.post(f"/jobs/{mine}/cancel").json()["state"] == "Canceled"


def test_a_role_without_the_right_is_told_which_one_it_needs(api: Api, core: Engine) -> None:
    token = waiting(core)
    response = api(Role.VIEWER).post(f"/jobs/{token}/hold")

    assert problem(response) == (403, "missing-right")
    assert response.json()["right"] == "operate"
    assert core.service.job(token, ADMIN).state == "Pending"


def test_who_guesses_tokens_has_to_wait(api: Api, core: Engine) -> None:
    client = api(Role.OWNER, SID)
    for _ in range(core.settings.limits.bad_tokens):
        client.get(f"/jobs/{NO_JOB}")
    response = client.get(f"/jobs/{NO_JOB}")

    assert problem(response) == (429, "throttled")
    assert int(response.headers["retry-after"]) > 0


def test_a_database_that_does_not_answer_is_a_reason_to_try_again(
    api: Api, core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_arguments: Any) -> None:
        raise StoreBusy("postgresql://user:secret@db does not answer")

    monkeypatch.setattr(core.listing, "search", search)
    response = api(Role.VIEWER).get("/jobs")

    assert problem(response) == (503, "busy")
    assert response.headers["retry-after"]
    assert "secret" not in response.text


@pytest.mark.parametrize("token", ["%00", "%ff%fe", "x" * 300, "%2e%2e", "5d2c1b8e%20", "a;b"])
def test_what_is_no_token_names_no_job(api: Api, core: Engine, token: str) -> None:
    """Also for who may see all jobs: a database of PostgreSQL does not take each text."""
    assert problem(api(Role.ADMINISTRATOR).get(f"/jobs/{token}")) == (404, "not-found")
