"""The caller, subscriptions and the audit trail at the API; and what each response of it has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from api_client import ADMIN, ApiClient
from conftest import ANNA
from console_browser import ORIGIN, Browser
from works import SID, instructions, until

from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.core.model.subscription import EventService, Sink
from postscan.core.service.administration.records import AuditRecord
from postscan.core.service.administration.subscription_records import described

Api = Callable[..., ApiClient]


def test_me_says_the_rights_of_the_role(api: Api) -> None:
    me = api(Role.OPERATOR, SID).get("/me").json()

    assert (me["role"], me["rights"], me["user"], me["proof"]) == ("operator", ["see", "operate"], SID, "api")


def test_subscriptions_are_said_as_the_command_line_says_them_and_ended(api: Api, core: Engine) -> None:
    sink = Sink("http://192.0.2.7/events", "192.0.2.7")
    added = core.subscriptions.add(EventService.PROCESSING, ANNA, sink, None, (), str, False, None)
    client = api(Role.ADMINISTRATOR)
    said = client.get("/subscriptions").json()["subscriptions"]

    assert said == [one.plain() | {"seconds_left": said[0]["seconds_left"]} for one in described(core.subscriptions)]
    assert client.post(f"/subscriptions/{added.id}/end").status_code == 204
    assert client.get("/subscriptions").json() == {"subscriptions": []}
    assert client.post(f"/subscriptions/{added.id}/end").status_code == 404
    assert client.post("/subscriptions/none-such/end").status_code == 404


def test_the_audit_trail_is_said_as_the_command_line_says_it(api: Api, core: Engine) -> None:
    """The newest line first, page by page; of one job, or of all."""
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    core.service.create(ANNA, SID, "P", instructions("copy"))
    client = api(Role.ADMINISTRATOR)
    lines = list(reversed(core.service.audit(ADMIN)))

    assert client.get("/audit").json() == {"lines": [AuditRecord.of(one).plain() for one in lines], "next": None}
    first = client.get("/audit", verb="create", limit=1)
    second = client.get(first.json()["next"])
    assert first.headers["link"] == f'<{first.json()["next"]}>; rel="next"'
    assert [one.json()["lines"][0]["seq"] for one in (first, second)] == [
        one.seq for one in lines if one.verb == "create"
    ]
    assert [line["token"] for line in client.get("/audit", token=token).json()["lines"]] == [token]


@pytest.mark.parametrize("path", ["/subscriptions", "/audit"])
@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER, Role.OPERATOR])
def test_what_administrators_read_is_for_them(api: Api, role: Role, path: str) -> None:
    response = api(role).get(path)

    assert response.status_code == 403
    assert response.json()["type"] == "urn:postscan:problem:missing-right"


# --- each response ---------------------------------------------------------------------------------------------------


def test_an_unknown_path_and_a_wrong_method_are_problems(api: Api) -> None:
    client = api(Role.ADMINISTRATOR)

    assert client.get("/none-such").json()["type"] == "urn:postscan:problem:not-found"
    assert client.post("/me").json()["type"] == "urn:postscan:problem:method-not-allowed"
    assert client.http.get("/api/v1/me", headers={"host": "evil.example"}).json()["status"] == 421


def test_a_token_counts_until_it_is_removed_or_over(api: Api, core: Engine) -> None:
    client = api(Role.VIEWER)
    before = client.get("/me").status_code
    for one in core.tokens.all(ADMIN):
        core.tokens.remove(one.label, ADMIN)

    assert before == 200
    assert client.get("/me").status_code == 401
    assert client.get("/me").headers["www-authenticate"].startswith("Bearer")


def test_a_session_reads_and_does_not_write(core: Engine, browser: Callable[..., Browser]) -> None:
    """A page of ours may fetch; a page of another site could make a browser send the cookie with a write."""
    one = browser(Role.ADMINISTRATOR)
    token = core.service.create(ANNA, SID, "P", instructions("copy"))

    assert one.get("/api/v1/me").json()["proof"] == "link"
    fields = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
    assert one.http.post(f"/api/v1/jobs/{token}/cancel", headers=fields).status_code == 401
    assert core.service.job(token, ADMIN).state == "Creating"


def test_a_token_that_is_over_is_none(core: Engine, api: Api) -> None:
    client = api()
    client.token = core.tokens.add("short", Role.VIEWER, core.clock.now() + timedelta(seconds=0.2), ADMIN)
    until(lambda: client.get("/me").status_code == 401, "for the token to end")
