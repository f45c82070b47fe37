"""Who a request proves to be: by the proxy, by a client certificate, by an API token; and where each counts (T-C3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from console_browser import ORIGIN, SID, Browser, person
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from postscan.console.http.app import create_app
from postscan.console.request import ConsoleRequest, ConsoleRoute
from postscan.console.routes import ROUTES
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof, Right, Role
from postscan.core.settings.console import ConsoleSettings
from postscan.soap.http.identity import CertifiedCaller, Identities

Open = Callable[..., Browser]

PROXY = "192.0.2.9"
HEADER = "x-remote-user"


def at_proxy(core: Engine, address: str = PROXY) -> Browser:
    """Return a browser whose requests come from this address, at a console that trusts the proxy at `PROXY`."""
    table = {"from": [f"{PROXY}/32"], "header": "X-Remote-User", "address_header": "X-Forwarded-For"}
    console = ConsoleSettings.model_validate({"proxy": table})
    core.settings = core.settings.model_copy(update={"console": console})
    return Browser(create_app(core, ROUTES), core, address)


@pytest.fixture
def ann(core: Engine) -> None:
    """An account of a viewer."""
    core.accounts.add("ann", "right horse battery", SID, (), person(Role.ADMINISTRATOR), Role.VIEWER)


def test_the_proxy_names_an_account(core: Engine, ann: None) -> None:
    """Its session counts while the proxy names the same account."""
    one = at_proxy(core)
    offered = one.get("/login", **{HEADER: "Ann"})
    came = one.post("/login/proxy", **{HEADER: "Ann"})
    mine, without, of_another = (one.get("/me", **({HEADER: name} if name else {})) for name in ("ann", "", "bob"))

    assert "Sign in as ann" in offered.text
    assert came.headers["location"] == "/"
    assert (mine.status_code, without.status_code, of_another.status_code) == (200, 303, 303)


@pytest.mark.parametrize(
    ("address", "name"), [("192.0.2.10", "ann"), ("127.0.0.1", "ann"), (PROXY, "bob"), (PROXY, "")]
)
def test_no_one_else_names_an_account(core: Engine, ann: None, address: str, name: str) -> None:
    """The field from another address, and a name that is no account."""
    one = at_proxy(core, address)
    fields = {HEADER: name} if name else {}
    offered = one.get("/login", **fields)

    assert "/login/proxy" not in offered.text
    assert one.post("/login/proxy", **fields).status_code == 403


@pytest.mark.parametrize(
    ("address", "reported", "found"),
    [
        (PROXY, "198.51.100.1, 203.0.113.5", "203.0.113.5"),
        (PROXY, "203.0.113.5, evil", PROXY),
        (PROXY, "", PROXY),
        ("192.0.2.10", "203.0.113.5", "192.0.2.10"),
    ],
)
def test_the_address_of_a_browser_is_what_the_proxy_has_added(
    core: Engine, address: str, reported: str, found: str
) -> None:
    """The last entry: what stands before it comes from the client. Else wrong passwords could be of any address."""
    at_proxy(core)
    seen: list[str] = []

    def page(request: ConsoleRequest) -> Response:
        seen.append(request.address)
        return PlainTextResponse("")

    app = create_app(core, [ConsoleRoute("/x", "GET", page, public=True)])
    Browser(app, core, address).get("/x", **({"x-forwarded-for": reported} if reported else {}))

    assert seen == [found]


class WithCertificate:
    """An application whose connections have the certificate of a field of the test."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        sent = dict(scope.get("headers", ())).get(b"x-test-certificate", b"").decode()
        scope["extensions"] = {"tls": {"client_cert_chain": [sent] if sent else []}}
        await self._app(scope, receive, send)


@pytest.fixture
def certified(core: Engine, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """A browser; the certificate `admin` is that of an administrator, and another one names the user with this SID."""

    def read(_self: Identities, scope: Any) -> CertifiedCaller | None:
        chain = scope["extensions"]["tls"]["client_cert_chain"]
        if not chain:
            return None
        sid = "" if chain[0] == "admin" else chain[0]
        return CertifiedCaller(
            Principal(f"user:{chain[0]}", Proof.CERTIFICATE, sid=sid), "serial=01;issuer=CA" if not sid else ""
        )

    monkeypatch.setattr(Identities, "_certified_caller", read)
    return Browser(WithCertificate(create_app(core)), core)


@pytest.mark.parametrize(("certificate", "rights"), [("admin", len(Right)), (SID, 0)])
def test_a_client_certificate_signs_in(certified: Browser, certificate: str, rights: int) -> None:
    """An administrator of `identity.administrators`, or a user as an owner; on connections with it alone."""
    certified.get("/login", x_test_certificate=certificate)
    field = {"x-test-certificate": certificate}
    came = certified.http.post("/login/certificate", data={"csrf": certified.token}, headers={"origin": ORIGIN} | field)
    mine = certified.get("/me", **field)
    elsewhere = certified.get("/me", **{"x-test-certificate": "S-1-5-21-9-9-9-9"})
    without = certified.get("/me")

    assert (came.status_code, mine.status_code) == (303, 200)
    assert mine.text.count("of all users") == {0: 0, len(Right): 2}[rights]
    assert (elsewhere.status_code, without.status_code) == (303, 303)


def test_without_a_certificate_there_is_no_such_way_in(certified: Browser) -> None:
    """The button is not shown, and its POST is refused."""
    assert "/login/certificate" not in certified.get("/login").text
    assert certified.post("/login/certificate").status_code == 403


def test_a_token_counts_at_the_api_alone(core: Engine) -> None:
    """With its rights; wrong ones are throttled. A page takes none, and the API takes no wrong one beside a cookie."""
    secret = core.tokens.add("robot", Role.VIEWER, core.clock.now() + timedelta(hours=1), person(Role.ADMINISTRATOR))

    def page(request: ConsoleRequest) -> Response:
        return PlainTextResponse(request.by.name)

    rows = [ConsoleRoute(path, method, page, Right.SEE) for path in ("/api/v1/x", "/x") for method in ("GET", "POST")]
    one = Browser(create_app(core, rows), core)
    bearer = {"authorization": f"Bearer {secret}"}
    read, written = one.http.get("/api/v1/x", headers=bearer), one.http.post("/api/v1/x", headers=bearer)
    page_read = one.get("/x", **bearer)
    from_a_page = one.http.post("/api/v1/x", headers=bearer | {"origin": "http://evil.example"})
    one.sign_in(Role.VIEWER)
    beside = one.get("/api/v1/x", authorization="Bearer postscan_wrong")
    wrong = [one.get("/api/v1/x", authorization="Bearer postscan_wrong").status_code for _ in range(20)]

    assert (read.text, written.text) == ("token:robot", "token:robot")
    assert (page_read.status_code, from_a_page.status_code, beside.status_code) == (303, 403, 401)
    assert read.headers.get("set-cookie") is None
    assert wrong[-1] == 429


def test_the_cookie_is_bound_to_the_host_under_https(core: Engine) -> None:
    """T-C3: the prefix lets no other host set it, and no plain connection see it."""
    console = ConsoleSettings.model_validate({"public_url": "https://scans.example"})
    core.settings = core.settings.model_copy(update={"console": console})
    one = Browser(create_app(core), core)
    cookie = one.get("/login").headers["set-cookie"]

    assert cookie.startswith("__Host-postscan-form=")
    assert cookie.endswith("HttpOnly; Path=/; SameSite=strict; Secure")


def test_the_api_takes_no_cookie_for_a_write(core: Engine) -> None:
    """T-C1: it does for a read, since a page of ours may show it."""
    rows = [ConsoleRoute("/api/v1/x", method, lambda _request: PlainTextResponse("")) for method in ("GET", "POST")]
    one = Browser(create_app(core, rows), core).sign_in(Role.ADMINISTRATOR)

    assert one.get("/api/v1/x").status_code == 200
    assert one.post("/api/v1/x").status_code == 401


def test_a_row_asks_for_its_right(core: Engine) -> None:
    """Before its function is called; the page names the right."""
    app = create_app(core, [ConsoleRoute("/x", "GET", lambda _request: PlainTextResponse("called"), Right.OPERATE)])
    viewer, operator = (Browser(app, core).sign_in(role) for role in (Role.VIEWER, Role.OPERATOR))

    assert operator.get("/x").text == "called"
    assert viewer.get("/x").status_code == 403
    assert viewer.sees("This needs the right to change the jobs of all users.")
