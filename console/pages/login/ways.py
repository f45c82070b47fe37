"""The ways in: a password, a one-time link, a client certificate, the proxy; the way out; and another proof.

Each login begins a new session with a new secret, and ends the one that the browser had (T-C3).
"""

from __future__ import annotations

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.rendering import SeeOther, render, safe_path
from postscan.console.request import CERTIFICATE, LINK, PASSWORD, PROXY, ConsoleRequest
from postscan.core.errors import AccountNotFound
from postscan.core.model.accounts.account import Account, account_of
from postscan.core.model.principal import Principal

_WRONG = "Name or password is wrong."
_USED = "This link is unknown, used or older than 10 minutes. Make another one: postscan console link"


def show(request: ConsoleRequest) -> Response:
    """Show the form for name and password, and the other ways in that this request could take."""
    return _form(request)


def sign_in(request: ConsoleRequest) -> Response:
    """Begin a session with an account. Raises `Throttled` after too many wrong passwords."""
    name, password = request.value("name"), request.value("password")
    account = request.console.engine.accounts.sign_in(name, password, request.address)
    if account is None:
        return _form(request, 403, wrong=_WRONG, name=name)
    return _begin(request, account.person, PASSWORD, account.stamp)


def show_link(request: ConsoleRequest) -> Response:
    """Show the button that uses up a one-time link; programs that look at links for people press none."""
    return render(request, "login/link.html", secret=request.query("secret"), wrong="")


def use_link(request: ConsoleRequest) -> Response:
    """Begin a session by a one-time link. Raises `Throttled` after too many that are none."""
    person = request.console.engine.sessions.use_link(request.value("secret"), request.address)
    if person is None:
        return render(request, "login/link.html", 403, secret="", wrong=_USED)
    return _begin(request, person, LINK)


def by_certificate(request: ConsoleRequest) -> Response:
    """Begin a session for the user of the client certificate."""
    person = request.console.identification.by_certificate(request.http)
    if person is None:
        raise PageError(403, "The connection has no client certificate that names a user.", "Choose another way in.")
    return _begin(request, person, CERTIFICATE)


def by_proxy(request: ConsoleRequest) -> Response:
    """Begin a session for the account that the proxy names."""
    account = request.console.identification.by_proxy(request.http)
    if account is None:
        raise PageError(403, "The proxy names no account that counts here.", "Ask an administrator for an account.")
    return _begin(request, account.person, PROXY, account.stamp)


def sign_out(request: ConsoleRequest) -> Response:
    """End the session."""
    request.console.engine.sessions.end(request.secret)
    return SeeOther("/login", "You are logged out.", "")


def show_confirm(request: ConsoleRequest) -> Response:
    """Show the form by which a person proves again who it is."""
    return _confirm_form(request)


def confirm(request: ConsoleRequest) -> Response:
    """Store the proof, and go on to the page that needs it. Raises `Throttled` after too many wrong passwords."""
    session, sessions = request.session, request.console.engine.sessions
    if session is None:
        raise PageError(403, "A program cannot prove that it is a person.")
    if session.way == PASSWORD:
        if not _is_own_password(request):
            return _confirm_form(request, 403, wrong="The password is wrong.")
    elif session.way not in (CERTIFICATE, PROXY):
        return _confirm_form(request, 403, wrong="This session is confirmed by another login.")
    sessions.confirm(request.secret)
    return SeeOther(request.value("next"))


def _is_own_password(request: ConsoleRequest) -> bool:
    name = account_of(request.by)
    if name is None:
        return False
    account = request.console.engine.accounts.sign_in(name, request.value("password"), request.address)
    return account is not None and account.person == request.by


def _begin(request: ConsoleRequest, person: Principal, way: str, stamp: str | None = None) -> Response:
    """Begin a session, and end the one before."""
    sessions = request.console.engine.sessions
    try:
        secret = sessions.begin(person, way, stamp)
    except AccountNotFound:
        return _form(request, 403, wrong="The account was changed a moment ago. Try again.")
    if request.secret:
        sessions.end(request.secret)
    return SeeOther(request.value("next", "/"), session=secret)


def _form(request: ConsoleRequest, status: int = 200, *, wrong: str = "", name: str = "") -> Response:
    identification = request.console.identification
    account: Account | None = identification.by_proxy(request.http)
    return render(
        request,
        "login/form.html",
        status,
        next=safe_path(request.value("next") or request.query("next", "/")),
        wrong=wrong,
        name=name,
        certificate=identification.by_certificate(request.http),
        account=account,
        oidc=bool(request.console.options.oidc.issuer),
    )


def _confirm_form(request: ConsoleRequest, status: int = 200, *, wrong: str = "") -> Response:
    path = safe_path(request.value("next") or request.query("next", "/"))
    way = request.session.way if request.session is not None else ""
    return render(request, "login/confirm.html", status, next=path, way=way, wrong=wrong)
