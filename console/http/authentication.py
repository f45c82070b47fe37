"""Who asks: a session by its cookie, a program by its API token; and who could sign in without a password.

A session that was begun by a client certificate counts on connections with that certificate alone, and one that was
begun by the proxy counts while the proxy names the same account (T-C3).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from postscan.console.errors import PageError
from postscan.console.request import CERTIFICATE, PROXY
from postscan.core.engine import Engine
from postscan.core.model.accounts.account import Account
from postscan.core.model.accounts.session import Session
from postscan.core.model.principal import Principal, Proof, Role, at_console
from postscan.core.settings.console import ProxySettings, is_in
from postscan.soap.http.identity import Identities

_LONGEST_NAME: Final = 256


@dataclass(frozen=True, slots=True)
class IdentifiedCaller:
    """Who asks; `session` is None for a program."""

    by: Principal
    session: Session | None


class Authentication:
    """Identifies the callers of one console. Its methods read the database; call them from a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._identities = Identities(engine.settings)

    def caller(
        self, http: Request, secret: str, address: str, *, by_token: bool, active: bool = True
    ) -> IdentifiedCaller | None:
        """Return who asks; None if the request proves nothing. *secret* is that of the cookie.

        An API token counts if *by_token*; the request keeps the session from ending if *active*. Raises `Throttled`
        after too many tokens that are none, `StoreBusy`.
        """
        scheme, _, token = http.headers.get("authorization", "").partition(" ")
        if by_token and token:
            found = self._engine.tokens.find(token.strip(), address) if scheme.lower() == "bearer" else None
            return IdentifiedCaller(found, None) if found is not None else None
        session = self._engine.sessions.find(secret, active=active) if secret else None
        if session is None or not self._is_proven(http, session):
            return None
        return IdentifiedCaller(session.principal, session)

    def by_certificate(self, http: Request) -> Principal | None:
        """Return the person whom the client certificate of the connection identifies; None without one."""
        scope = http.scope
        administrator = self._identities.administrator(scope)
        if administrator is not None:
            return at_console(administrator.name, Proof.CERTIFICATE, Role.ADMINISTRATOR, administrator.sid)
        caller = self._identities.caller(scope)
        if caller.proof is not Proof.CERTIFICATE or not caller.sid:
            return None
        return at_console(caller.name, Proof.CERTIFICATE, Role.OWNER, caller.sid)

    def by_proxy(self, http: Request) -> Account | None:
        """Return the account that the proxy names; None if it names none, or if the request is not from the proxy."""
        name = self._named_by_proxy(http)
        return self._engine.accounts.named_by_proxy(name) if name else None

    def _named_by_proxy(self, http: Request) -> str:
        proxy = self._engine.settings.console.proxy
        if not proxy.header or not is_in(_peer(http), proxy.networks):
            return ""
        sent = http.headers.getlist(proxy.header)
        return sent[0][:_LONGEST_NAME].strip() if len(sent) == 1 else ""

    def _is_proven(self, http: Request, session: Session) -> bool:
        """Return whether the request proves what the session was begun with, if each request can."""
        if session.way == CERTIFICATE:
            return self.by_certificate(http) == session.principal
        if session.way == PROXY:
            account = self.by_proxy(http)
            return account is not None and account.person == session.principal
        return True


def address_of(http: Request, proxy: ProxySettings) -> str:
    """Return the address of the browser: that of the connection, or the one that a named proxy reports."""
    peer = _peer(http)
    if not proxy.address_header or not is_in(peer, proxy.networks):
        return peer
    reported = ",".join(http.headers.getlist(proxy.address_header)).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(reported))
    except ValueError:
        return peer


def no_token() -> PageError:
    """Return the error for a program that has sent no API token that counts."""
    what = "An API token is needed, and none that counts was sent."
    return PageError(401, what, "Send one as: Authorization: Bearer TOKEN; make one: postscan console token add")


def _peer(http: Request) -> str:
    return http.client.host if http.client else ""
