"""The page about the person who is signed in."""

from __future__ import annotations

from starlette.responses import Response

from postscan.console.errors import RIGHTS
from postscan.console.rendering import render, see_other
from postscan.console.request import ConsoleRequest
from postscan.core.model.principal import Right


def show(request: ConsoleRequest) -> Response:
    """Show who is signed in, how, and with which rights."""
    rights = [RIGHTS[right] for right in Right if request.by.may(right)]
    return render(request, "me.html", rights=rights)


def home(_request: ConsoleRequest) -> Response:
    """Lead to the first page."""
    return see_other("/me")
