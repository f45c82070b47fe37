"""Each row of the route table, for each caller, with and without what a request of our own pages has (T-C1, T-C2).

The rows are those of `ROUTES`, so that a new one is covered without a new test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from console_browser import ORIGIN, Browser
from starlette.types import ASGIApp

from postscan.console.http.app import create_app
from postscan.console.http.guard import CSP
from postscan.console.request import ConsoleRoute
from postscan.console.routes import ROUTES
from postscan.core.clock import Clock
from postscan.core.engine import Engine
from postscan.core.model.principal import Role

CALLERS: tuple[Role | None, ...] = (None, *Role)
READS = [row for row in ROUTES if not row.is_write]
WRITES = [row for row in ROUTES if row.is_write and not row.is_api]
API_WRITES = [row for row in ROUTES if row.is_write and row.is_api]


def name(row: ConsoleRoute | Role | None) -> str:
    """Return the name of a parameter."""
    return f"{row.method} {row.path}" if isinstance(row, ConsoleRoute) else str(row)


def path(row: ConsoleRoute) -> str:
    """Return a path of this row; what it names does not exist."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "1" if found[2] == ":int" else "none-such", row.path)


def allowed(row: ConsoleRoute, role: Role | None) -> bool:
    """Return whether this caller gets past the right of a row."""
    if row.public:
        return True
    return role is not None and (row.right is None or row.right in role.rights)


@pytest.fixture
def sites(console_app: ASGIApp, core: Engine) -> Iterator[dict[Role | None, Browser]]:
    """A browser for each caller."""
    found = {role: Browser(console_app, core) for role in CALLERS}
    for role, one in found.items():
        one.http.__enter__()
        if role is not None:
            one.sign_in(role)
    yield found
    for one in found.values():
        one.http.__exit__(None, None, None)


def renewed(one: Browser, role: Role | None) -> None:
    """Sign in again after a row that ends the session."""
    if role is not None and one.engine.sessions.find(one.secret) is None:
        one.sign_in(role)


def test_each_read_is_for_those_with_its_right(sites: dict[Role | None, Browser]) -> None:
    """Without a session a page leads to the login, and the API says that a token is needed; no right: 403."""
    wrong = []
    for row in READS:
        for role, one in sites.items():
            status = one.get(path(row)).status_code
            expected = status not in (401, 403, 421, 500) if allowed(row, role) else status == _refused(row, role)
            wrong += [] if expected else [(name(row), role, status)]

    assert wrong == []


def _refused(row: ConsoleRoute, role: Role | None) -> int:
    if role is not None:
        return 403
    return 401 if row.is_api else 303


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ({}, "0" * 64),
        ({}, ""),
        ({"origin": ""}, None),
        ({"origin": "null"}, None),
        ({"origin": "http://evil.example"}, None),
        ({"origin": "http://127.0.0.1:5364"}, None),
        ({"origin": f"{ORIGIN}.evil.example"}, None),
        ({"sec_fetch_site": "cross-site"}, None),
        ({"sec_fetch_site": "same-site"}, None),
        ({"host": "evil.example"}, None),
        ({"content_type": "text/plain"}, None),
    ],
    ids=str,
)
def test_no_write_is_done_that_our_own_page_has_not_sent(
    sites: dict[Role | None, Browser], fields: dict[str, str], token: str | None
) -> None:
    """T-C1: each caller, each row; the fields are those that other sites and other programs would send."""
    wrong = []
    for row in WRITES:
        for role, one in sites.items():
            if role is None:
                one.get("/login")
            form = {} if token is None else {"csrf": token}
            status = one.post(path(row), form, **fields).status_code
            expected = {403, 415, 421} | ({303} if role is None and not row.public else set())
            wrong += [] if status in expected else [(name(row), role, status)]

    assert wrong == []
    assert all(role is None or one.engine.sessions.find(one.secret) is not None for role, one in sites.items())


def test_each_write_is_for_those_with_its_right(sites: dict[Role | None, Browser]) -> None:
    """With all that our page sends; what the path names does not exist, and the form has no fields."""
    wrong = []
    for row in WRITES:
        for role, one in sites.items():
            if role is None:
                one.get("/login")
            response = one.post(path(row))
            if row.public or allowed(row, role):
                is_right = response.status_code not in (401, 421, 500)
            elif role is None:
                is_right = response.headers.get("location") == "/login"
            else:
                is_right = response.status_code == 403
            wrong += [] if is_right else [(name(row), role, response.status_code)]
            renewed(one, role)

    assert wrong == []


def test_the_api_takes_no_cookie_for_a_write(sites: dict[Role | None, Browser]) -> None:
    """T-C1: a browser sends it with requests of other sites' pages as well."""
    found = {
        (name(row), role): one.http.post(path(row), json={}).status_code
        for row in API_WRITES
        for role, one in sites.items()
    }

    assert set(found.values()) <= {401}


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:5363", "localhost@evil.example", ""]
)
def test_another_name_of_the_host_gets_nothing(sites: dict[Role | None, Browser], host: str) -> None:
    """T-C1: DNS rebinding, where another site's name resolves to our address."""
    wrong = [
        (name(row), role)
        for row in READS
        for role, one in sites.items()
        if one.get(path(row), host=host).status_code != 421
    ]

    assert wrong == []


def test_each_response_has_the_fields_that_bound_a_page(sites: dict[Role | None, Browser]) -> None:
    """T-C2: errors too. A page may set a stricter policy of its own, and its own cache field if it has no secrets."""
    for row in READS:
        for one in sites.values():
            fields = one.get(path(row)).headers
            assert fields["content-security-policy"] == CSP or "sandbox" in fields["content-security-policy"]
            assert fields["x-content-type-options"] == "nosniff"
            assert fields["cross-origin-resource-policy"] == "same-origin"
            assert fields["referrer-policy"] == "same-origin"
            assert fields["cache-control"] in ("no-store", "private, no-store")


class Later:
    """A clock that is 16 minutes ahead."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        """Return the time."""
        return self._clock.now() + timedelta(minutes=16)

    def ticks(self) -> float:
        """Return the ticks of the other clock."""
        return self._clock.ticks()


def test_accounts_and_plugins_ask_again_for_a_proof(core: Engine) -> None:
    """A session that was confirmed too long ago is led to the proof, and a form of it changes nothing."""
    row = ConsoleRoute("/me", "GET", ROUTES[0].function, confirm=True)
    form = ConsoleRoute("/me", "POST", ROUTES[0].function, confirm=True)
    one = Browser(create_app(core, (row, form)), core).sign_in(Role.ADMINISTRATOR)
    fresh = one.get("/me").status_code
    core.clock = Later(core.clock)

    assert fresh == 200
    assert one.get("/me?a=1").headers["location"] == "/login/confirm?next=%2Fme%3Fa%3D1"
    assert one.post("/me", referer=f"{ORIGIN}/me?b=2").headers["location"] == "/login/confirm?next=%2Fme%3Fb%3D2"
    assert one.post("/me", referer="http://evil.example/x").headers["location"] == "/login/confirm?next=%2F"


def test_paths_and_methods_are_there_once() -> None:
    """A row behind another one of the same path would never be asked."""
    rows = [(row.path, row.method) for row in ROUTES]

    assert len(set(rows)) == len(rows)
    assert {row.method for row in ROUTES} <= {"GET", "POST"} | {row.method for row in ROUTES if row.is_api}
