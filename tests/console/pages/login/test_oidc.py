"""Sign in by a provider of OpenID Connect, and what of it does not count (T-C3)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from console_browser import ORIGIN, SID, Browser
from joserfc.jwk import OctKey, RSAKey
from oidc_provider import CLIENT, SECRET, OidcDouble, oidc_provider

from postscan.console.http.app import create_app
from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.core.settings.console import ConsoleSettings


@pytest.fixture
def provider() -> Iterator[OidcDouble]:
    """A provider."""
    with oidc_provider() as double:
        yield double


@pytest.fixture
def one(core: Engine, provider: OidcDouble) -> Browser:
    """A browser at a console that trusts the provider."""
    oidc = {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret": SECRET,
        "administrators": ["admins"],
        "viewers": ["staff"],
        "sid_claim": "sid",
    }
    console = ConsoleSettings.model_validate({"public_url": ORIGIN, "oidc": oidc})
    core.settings = core.settings.model_copy(update={"console": console})
    return Browser(create_app(core), core)


def came(one: Browser, provider: OidcDouble, path: str = "/login/oidc?next=/me%3Fa=1", **claims: Any) -> Any:
    """Return the response to a browser that comes back from the provider."""
    return one.get(provider.sign_in(one.get(path).headers["location"], **claims))


def role(one: Browser) -> Role | None:
    """Return the role of the session of a browser; None without one."""
    session = one.engine.sessions.find(one.http.cookies.get("postscan") or "")
    return session.principal.role if session is not None else None


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"roles": ["staff", "admins"]}, Role.ADMINISTRATOR),
        ({"roles": "staff"}, Role.VIEWER),
        ({"sid": SID}, Role.OWNER),
        ({"roles": ["staff"], "sid": SID}, Role.VIEWER),
    ],
)
def test_a_value_of_the_claim_is_a_role(
    one: Browser, provider: OidcDouble, claims: dict[str, Any], expected: Role
) -> None:
    """The strongest one; who is a user alone is an owner. The page leads on by itself, to where the login began."""
    response = came(one, provider, **claims)
    session = one.engine.sessions.find(str(one.http.cookies.get("postscan")))

    assert (response.status_code, response.headers["refresh"]) == (200, "0; url=/me?a=1")
    assert session is not None
    assert (session.principal.name, session.principal.role, session.way) == ("oidc:4711", expected, "oidc")
    assert session.principal.sid == claims.get("sid", "")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"roles": ["Admins"]},
        {"roles": ["admins "]},
        {"roles": "staff,admins"},
        {"roles": {"admins": True}},
        {"roles": [["admins"]]},
        {"sid": "S-1-x"},
        {"sid": [SID]},
    ],
    ids=str,
)
def test_another_value_is_no_role(one: Browser, provider: OidcDouble, claims: dict[str, Any]) -> None:
    """Values are compared exactly, as a pattern would let one value pass for another."""
    response = came(one, provider, **claims)

    assert response.status_code == 403
    assert one.sees("the console has no role for you")
    assert role(one) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": None},
        {"iss": "http://evil.example"},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"iat": int(time.time()) + 3600},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"aud": [CLIENT, "another"], "azp": "another"},
    ],
    ids="-".join,
)
def test_a_token_for_another_login_does_not_count(one: Browser, provider: OidcDouble, claims: dict[str, Any]) -> None:
    """OpenID Connect Core 1.0, 3.1.3.7."""
    response = came(one, provider, roles=["admins"], **claims)

    assert (response.status_code, role(one)) == (403, None)


@pytest.mark.parametrize("how", ["another key", "secret of both", "unknown key"])
def test_a_token_with_another_signature_does_not_count(one: Browser, provider: OidcDouble, how: str) -> None:
    """Nor one whose algorithm is that of a shared secret."""
    if how == "secret of both":
        provider.signs, provider.header = OctKey.import_key(SECRET, {"kid": "1"}), {"alg": "HS256"}
    else:
        provider.signs = RSAKey.generate_key(2048, {"kid": "1" if how == "another key" else "2"})

    assert came(one, provider, roles=["admins"]).status_code == 403
    assert role(one) is None


def test_a_new_key_of_the_provider_is_read(one: Browser, provider: OidcDouble) -> None:
    """Not for each token with an unknown key, but once a minute."""
    assert came(one, provider, roles=["staff"]).status_code == 200
    before = provider.asked.count("/keys")
    for _ in range(3):
        came(one, provider, roles=["staff"])

    assert (before, provider.asked.count("/keys")) == (1, 1)
    assert provider.asked.count("/.well-known/openid-configuration") == 1


def test_a_login_ends_in_the_browser_that_has_begun_it(core: Engine, one: Browser, provider: OidcDouble) -> None:
    """T-C1: a link with the code of an attacker signs no one else in; nor does a code count twice."""
    back = provider.sign_in(one.get("/login/oidc").headers["location"], roles=["admins"])
    other = Browser(one.http.app, core)
    elsewhere = other.get(back).status_code
    first, second = one.get(back).status_code, one.get(back).status_code

    assert (elsewhere, first, second) == (403, 200, 403)


def test_a_login_leads_to_a_path_of_the_console_alone(one: Browser, provider: OidcDouble) -> None:
    """T-C1."""
    response = came(one, provider, "/login/oidc?next=//evil.example", roles=["staff"])

    assert response.headers["refresh"] == "0; url=/"


@pytest.mark.parametrize(("auth_time", "status"), [(0, 200), (-3600, 403), (None, 403)])
def test_the_proof_is_another_login_at_the_provider(
    one: Browser, provider: OidcDouble, auth_time: int | None, status: int
) -> None:
    """It is asked for one, and says when the person has proven who it is; a POST of our own page proves nothing."""
    came(one, provider, roles=["admins"])
    one.secret = str(one.http.cookies.get("postscan"))
    shown = one.get("/login/confirm?next=/accounts").text
    posted = one.post("/login/confirm").status_code
    begun = one.get("/login/oidc?again=1&next=/accounts").headers["location"]
    when = None if auth_time is None else int(time.time()) + auth_time
    back = one.get(provider.sign_in(begun, roles=["admins"], auth_time=when))

    assert "/login/oidc?again=1&amp;next=/accounts" in shown
    assert posted == 403
    assert "prompt=login" in begun
    assert back.status_code == status


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"token_endpoint": "http://evil.example/token"},
        {"authorization_endpoint": "javascript:x"},
        {"jwks_uri": None},
        {"padding": "x" * 300_000},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
def test_a_provider_that_is_not_what_it_should_be_is_not_used(
    one: Browser, provider: OidcDouble, metadata: dict[str, Any]
) -> None:
    """Another name, an address in clear, an answer without end: the page says so, and the other ways in stay."""
    provider.metadata = metadata
    response = one.get("/login/oidc")

    assert response.status_code == 503
    assert one.sees("The provider of OpenID Connect cannot be used now")


def test_without_a_provider_there_is_no_such_way_in(core: Engine) -> None:
    """No link, and no page."""
    one = Browser(create_app(core), core)

    assert "/login/oidc" not in one.get("/login").text
    assert one.get("/login/oidc").status_code == one.get("/login/oidc/callback?state=x").status_code == 404
