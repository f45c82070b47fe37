"""The page about the person who is signed in: rights, sessions, and the own password."""

from __future__ import annotations

from starlette.responses import Response

from postscan.console.errors import RIGHTS
from postscan.console.rendering import SeeOther, render
from postscan.console.request import PASSWORD, ConsoleRequest
from postscan.core.errors import AccountNotFound, InvalidArgument
from postscan.core.model.accounts.account import account_of
from postscan.core.model.principal import Right

PATH = "/me"


def show(request: ConsoleRequest) -> Response:
    """Show who is signed in, how, with which rights, and in which sessions."""
    return _page(request)


def change_password(request: ConsoleRequest) -> Response:
    """Store another password of the own account; its sessions end, and this browser gets a new one."""
    new = request.value("password")
    if new != request.value("again"):
        return _page(request, {"again": "expected the same password twice"})
    engine = request.console.engine
    try:
        account = engine.accounts.change_own_password(request.by, request.value("old"), new, request.address)
    except InvalidArgument as error:
        return _page(request, {error.argument: f"expected {error.expected}"})
    try:
        session = engine.sessions.begin(account.person, PASSWORD, account.stamp)
    except AccountNotFound:  # an administrator has changed it in this moment
        session = ""
    return SeeOther(PATH, "Your password is changed. Your other sessions have ended.", session)


def end_sessions(request: ConsoleRequest) -> Response:
    """End all sessions of this person, this one too."""
    request.console.engine.sessions.end_all(request.by.name, request.by)
    return SeeOther("/login", "You are logged out everywhere.", "")


def _page(request: ConsoleRequest, wrong: dict[str, str] | None = None) -> Response:
    by = request.by
    sessions = [one for one in request.console.engine.sessions.all(by) if one.principal == by]
    return render(
        request,
        "me.html",
        400 if wrong else 200,
        rights=[RIGHTS[right] for right in Right if by.may(right)],
        sessions=sessions,
        has_password=account_of(by) is not None and request.session is not None and request.session.way == PASSWORD,
        wrong=wrong or {},
    )
