"""Sign in by a provider of OpenID Connect: the browser goes there by GET, and comes back with a code.

It starts by GET, since the policy of our pages lets no form lead to another site. It ends with a page that leads on by
itself instead of a redirect: the browser is on its way from another site, so that a redirect would carry no cookie with
SameSite=Strict. The state of a login is in the memory of the console, and the browser has its secret in a cookie.
"""

from __future__ import annotations

import importlib.util
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
from starlette.responses import RedirectResponse, Response

from postscan.console.errors import PageError
from postscan.console.pages.login.provider import Provider
from postscan.console.rendering import render, safe_path
from postscan.console.request import OIDC, Console, ConsoleRequest
from postscan.core.errors import NotInstalled
from postscan.core.model.principal import Principal, Proof, Role, at_console, is_sid
from postscan.core.settings.oidc import OidcSettings

CALLBACK: Final = "/login/oidc/callback"
STATE_SECONDS: Final = 600.0
MOST_STATES: Final = 500
"""Logins that may be under way; one more ends the oldest."""


@dataclass(frozen=True, slots=True)
class LoginState:
    """A login that is under way: its secrets, where it leads, and when it has begun (ticks)."""

    nonce: str
    verifier: str
    path: str
    again: bool
    begun: float


class OidcLogins:
    """The logins of one console that are under way, and the provider; usable from several threads."""

    def __init__(self, console: Console) -> None:
        if importlib.util.find_spec("joserfc") is None:
            raise NotInstalled("sign-in by OpenID Connect needs joserfc", "oidc")
        self._console = console
        redirect_uri = console.options.public_url + CALLBACK
        clock = console.clock
        http = httpx2.Client(trust_env=False)
        self.provider = Provider(console.options.oidc, redirect_uri, lambda: clock.now().timestamp(), http)
        self._lock = threading.Lock()
        self._states: OrderedDict[str, LoginState] = OrderedDict()

    def begin(self, path: str, *, again: bool) -> tuple[str, LoginState]:
        """Return the secret of a new login, and its state."""
        secret, ticks = secrets.token_urlsafe(32), self._console.clock.ticks()
        state = LoginState(secrets.token_urlsafe(32), secrets.token_urlsafe(48), path, again, ticks)
        with self._lock:
            self._states[secret] = state
            while len(self._states) > MOST_STATES:
                self._states.popitem(last=False)
        return secret, state

    def end(self, secret: str) -> LoginState | None:
        """Return the login with this secret, once; None if there is none, or if it began too long ago."""
        with self._lock:
            state = self._states.pop(secret, None)
        if state is None or state.begun + STATE_SECONDS < self._console.clock.ticks():
            return None
        return state


def begin(request: ConsoleRequest) -> Response:
    """Send the browser to the provider; with `again=1` the person has to prove there again who it is."""
    logins = _logins(request)
    again = request.query("again") == "1"
    secret, state = logins.begin(safe_path(request.query("next", "/")), again=again)
    response = RedirectResponse(logins.provider.login_url(secret, state.nonce, state.verifier, again=again), 302)
    response.set_cookie(
        _cookie(request),
        secret,
        int(STATE_SECONDS),
        path=CALLBACK,
        secure=_is_https(request),
        httponly=True,
        samesite="lax",
    )
    return response


def end(request: ConsoleRequest) -> Response:
    """Begin a session for who has signed in at the provider, and lead on. Raises `PageError`."""
    logins, secret = _logins(request), request.query("state")
    sent = request.http.cookies.get(_cookie(request), "")
    state = logins.end(secret) if secret and secrets.compare_digest(sent.encode(), secret.encode()) else None
    if state is None:
        raise PageError(403, "This login was not begun here, or took too long.", "Begin it again from the login.")
    if request.query("error") or not request.query("code"):
        raise PageError(403, "The provider has not signed you in.", "Try again, or choose another way in.")
    claims = logins.provider.claims(request.query("code"), state.nonce, state.verifier)
    if state.again and not _is_fresh(request, claims):
        raise PageError(403, "The provider has not asked you again who you are.", "Log out there, then try again.")
    person = _person(request, claims)
    sessions = request.console.engine.sessions
    session = sessions.begin(person, OIDC)
    if request.secret:
        sessions.end(request.secret)
    page = render(request, "login/signed_in.html", path=state.path)
    page.session = session
    page.headers["refresh"] = f"0; url={state.path}"
    page.delete_cookie(_cookie(request), path=CALLBACK, secure=_is_https(request), httponly=True, samesite="lax")
    return page


def _person(request: ConsoleRequest, claims: Mapping[str, Any]) -> Principal:
    """Return the person of an ID token; raise `PageError` (403) if it has no role, with a line in the audit trail."""
    options = request.console.options.oidc
    sid = claims.get(options.sid_claim) if options.sid_claim else None
    sid = sid if isinstance(sid, str) and is_sid(sid) else ""
    name, role = f"oidc:{claims['sub']}", role_of(claims, options)
    if role is None and sid:
        role = Role.OWNER
    if role is None:
        caller = Principal(f"console:{request.address}", Proof.ADDRESS)
        request.console.engine.refusals.record(caller, "login", "console", f"{name} has no role")
        raise PageError(403, "The provider knows you, and the console has no role for you.", "Ask an administrator.")
    return at_console(name, Proof.OIDC, role, sid)


def _is_fresh(request: ConsoleRequest, claims: Mapping[str, Any]) -> bool:
    """Return whether the person has proven to the provider who it is since the login was begun, within its life."""
    proven = claims.get("auth_time")
    now = request.console.clock.now().timestamp()
    return isinstance(proven, int | float) and proven > now - STATE_SECONDS


def role_of(claims: Mapping[str, Any], options: OidcSettings) -> Role | None:
    """Return the strongest role that a value of the claim stands for, compared exactly; None if none does."""
    found = claims.get(options.role_claim)
    values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    for role, wanted in (
        (Role.ADMINISTRATOR, options.administrators),
        (Role.OPERATOR, options.operators),
        (Role.VIEWER, options.viewers),
    ):
        if any(isinstance(value, str) and value in wanted for value in values):
            return role
    return None


def _logins(request: ConsoleRequest) -> OidcLogins:
    if not request.console.options.oidc.issuer:
        raise PageError.not_found()
    return request.console.part(OidcLogins, lambda: OidcLogins(request.console))


def _is_https(request: ConsoleRequest) -> bool:
    return request.console.settings.console_is_https


def _cookie(request: ConsoleRequest) -> str:
    """Return the name of the cookie; it has a path, so that the prefix `__Host-` cannot be had."""
    return "__Secure-postscan-oidc" if _is_https(request) else "postscan-oidc"
