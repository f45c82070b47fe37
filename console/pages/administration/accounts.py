"""Accounts with their roles and passwords, sessions of people, and tokens of the API; for administrators.

What changes an account or a token asks for a fresh proof of who the person is: see `ConsoleRoute.confirm`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.responses import Response

from postscan.console.rendering import render, see_other
from postscan.console.request import ConsoleRequest
from postscan.core.errors import AccountNotFound, InvalidArgument
from postscan.core.model.accounts.account import CONSOLE, Account
from postscan.core.model.principal import Role

PATH: Final = "/accounts"

MOST: Final = 200
"""Rows of each table of the page."""

MOST_USERS: Final = 500
"""Users that the form for a new account proposes."""

DAYS: Final = (1, 7, 30, 90, 365)
"""For how long a token may count."""

_WANTED_DAYS: Final = 90


def show(request: ConsoleRequest) -> Response:
    """Return the page with accounts, sessions and tokens."""
    engine, by = request.console.engine, request.by
    wanted = request.query("name").strip().lower()
    accounts = [one for one in engine.accounts.all(by) if wanted in one.name]
    sessions, tokens = engine.sessions.all(by), engine.tokens.all(by)
    return render(
        request,
        "accounts/list.html",
        wanted=wanted,
        accounts=accounts[:MOST],
        sessions=sessions[:MOST],
        tokens=tokens[:MOST],
        left_out={
            "accounts": max(0, len(accounts) - MOST),
            "sessions": max(0, len(sessions) - MOST),
            "tokens": max(0, len(tokens) - MOST),
        },
        now=request.console.clock.now(),
    )


# --- accounts --------------------------------------------------------------------------------------------------------


def new(request: ConsoleRequest) -> Response:
    """Return the form for a new account."""
    return _account_form(request)


def add(request: ConsoleRequest) -> Response:
    """Store a new account; show the form again with what is wrong."""
    name, password = request.value("name").strip(), request.value("password")
    if password != request.value("again"):
        return _account_form(request, {"again": "expected the same password twice"})
    try:
        inlets, role = request.form.get("inlet", []), _role(request)
        user = request.value("user").strip()
        added = request.console.engine.accounts.add(name, password, user, inlets, request.by, role)
    except InvalidArgument as error:
        return _account_form(request, {error.argument: f"expected {error.expected}"})
    return see_other(PATH, f"The account {added.name} is stored.")


def edit(request: ConsoleRequest) -> Response:
    """Return the page on which an account gets another role or password, or is removed."""
    return _edit_form(request, _account(request, request.query("name")))


def change_role(request: ConsoleRequest) -> Response:
    """Store another role; the sessions of the account end."""
    account = _account(request, request.value("name"))
    role = _role(request)
    request.console.engine.accounts.change_role(account.name, role, request.by)
    return see_other(PATH, f"{account.name} has the role {role} now.")


def change_password(request: ConsoleRequest) -> Response:
    """Store another password; the sessions of the account end."""
    account, password = _account(request, request.value("name")), request.value("password")
    if password != request.value("again"):
        return _edit_form(request, account, {"again": "expected the same password twice"})
    try:
        request.console.engine.accounts.change_password(account.name, password, request.by)
    except InvalidArgument as error:
        return _edit_form(request, account, {error.argument: f"expected {error.expected}"})
    return see_other(PATH, f"{account.name} has another password now.")


def remove(request: ConsoleRequest) -> Response:
    """Delete an account; its sessions end."""
    account = _account(request, request.value("name"))
    request.console.engine.accounts.remove(account.name, request.by)
    return see_other(PATH, f"The account {account.name} is removed.")


# --- sessions --------------------------------------------------------------------------------------------------------


def end_sessions(request: ConsoleRequest) -> Response:
    """End all sessions of a person."""
    name = request.value("name")
    ended = request.console.engine.sessions.end_all(name, request.by)
    return see_other(f"{PATH}#sessions", f"{name} is logged out everywhere: {ended} sessions have ended.")


# --- tokens ----------------------------------------------------------------------------------------------------------


def new_token(request: ConsoleRequest) -> Response:
    """Return the form for a new token of the API."""
    return _token_form(request)


def add_token(request: ConsoleRequest) -> Response:
    """Store a new token and show its secret, this once."""
    label, days = request.value("label").strip(), request.value("days")
    try:
        until = _until(days, request.console.clock.now())
        user = request.value("user").strip()
        secret = request.console.engine.tokens.add(label, _role(request), until, request.by, user)
    except InvalidArgument as error:
        return _token_form(request, {error.argument: f"expected {error.expected}"})
    return render(request, "accounts/token_added.html", label=label, secret=secret, until=until)


def remove_token(request: ConsoleRequest) -> Response:
    """Delete a token; it is refused at once."""
    label = request.value("label")
    request.console.engine.tokens.remove(label, request.by)
    return see_other(f"{PATH}#tokens", f"The token {label} is removed.")


# --- fields ----------------------------------------------------------------------------------------------------------


def _account(request: ConsoleRequest, name: str) -> Account:
    """Return the account of this name; raise `AccountNotFound`."""
    found = (one for one in request.console.engine.accounts.all(request.by) if one.name == name)
    account = next(found, None)
    if account is None:
        raise AccountNotFound(name)
    return account


def _role(request: ConsoleRequest) -> Role:
    """Return the role in the form; raise `InvalidArgument` (role)."""
    text = request.value("role")
    try:
        return Role(text)
    except ValueError:
        raise InvalidArgument("role", text, ", ".join(Role)) from None


def _until(days: str, now: datetime) -> datetime:
    """Return the end of a token; raise `InvalidArgument` (until)."""
    if days not in {str(one) for one in DAYS}:
        raise InvalidArgument("until", days, f"a number of days: {', '.join(map(str, DAYS))}")
    return (now + timedelta(days=int(days))).astimezone(UTC)


def _account_form(request: ConsoleRequest, wrong: dict[str, str] | None = None) -> Response:
    settings = request.console.settings
    return render(
        request,
        "accounts/new.html",
        400 if wrong else 200,
        wrong=wrong or {},
        name=request.value("name"),
        user=request.value("user"),
        role=request.value("role", Role.OWNER),
        inlets=request.form.get("inlet", []),
        known_inlets=[CONSOLE, *(name for name in settings.sources if name != CONSOLE)],
        users=list(settings.users.items())[:MOST_USERS],
        roles=list(Role),
    )


def _edit_form(request: ConsoleRequest, account: Account, wrong: dict[str, str] | None = None) -> Response:
    status = 400 if wrong else 200
    return render(request, "accounts/edit.html", status, account=account, wrong=wrong or {}, roles=list(Role))


def _token_form(request: ConsoleRequest, wrong: dict[str, str] | None = None) -> Response:
    return render(
        request,
        "accounts/token_new.html",
        400 if wrong else 200,
        wrong=wrong or {},
        label=request.value("label"),
        user=request.value("user"),
        role=request.value("role", Role.VIEWER),
        days=request.value("days", str(_WANTED_DAYS)),
        all_days=DAYS,
        roles=list(Role),
    )
