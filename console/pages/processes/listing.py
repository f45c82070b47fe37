"""The list of the stored scan processes, invalid ones with the reason; a test page of one of them; its removal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.pages.processes import stored
from postscan.console.rendering import render, see_other
from postscan.console.request import ConsoleRequest
from postscan.core.engine import is_served
from postscan.core.errors import InvalidArgument
from postscan.core.model.principal import Right
from postscan.core.model.process import short_name
from postscan.core.service.administration import test_job
from postscan.soap.processes import records
from postscan.soap.processes.folder import guid_of


def show(request: ConsoleRequest) -> Response:
    """Show all stored processes."""
    folder = stored.folder(request.console)
    found = [_row(records.listed(folder, identifier)) for identifier in folder.names()]
    return render(
        request,
        "processes/list.html",
        jobs=request.console.engine.listing.processes(request.by),
        processes=sorted(found, key=lambda one: (str(one["name"] or "").casefold(), one["id"])),
        may_edit=request.by.may(Right.ADMINISTER),
        is_served=is_served(request.console.settings.storage.data_dir),
    )


def send_test_page(request: ConsoleRequest) -> Response:
    """Send a generated page through a process, whose filters really deliver; lead to its job.

    Raises `PageError` if no server runs, `StoredProcessInvalid`, and as the verbs of the service.
    """
    console = request.console
    process = stored.usable(request)
    if not is_served(console.settings.storage.data_dir):
        raise PageError(503, "No server is running, so no job would be processed.", "Start it with: postscan serve")
    user = test_job.user_of(process, console.settings.users, request.by)
    token = test_job.send(console.engine.service, console.settings, process, user, request.by)
    return see_other(f"/jobs/{token}", "A test page is on its way.")


def ask_to_remove(request: ConsoleRequest) -> Response:
    """Show what would be removed, and which destinations of the settings name it."""
    identifier, files = stored.files(request)
    return render(
        request,
        "processes/remove.html",
        id=identifier,
        name=stored.name(files, identifier),
        revision=files.revision,
        destinations=list(_destinations(request, identifier)),
    )


def remove(request: ConsoleRequest) -> Response:
    """Remove a process; raise `StoredProcessChanged` if its files are not those that were shown."""
    identifier, files = stored.files(request)
    if request.value(stored.REVISION) != files.revision:
        raise PageError(
            409, "The scan process has changed since it was shown.", "Look at it again before you remove it."
        )
    name = stored.name(files, identifier)
    stored.remove(request, identifier, files)
    return see_other("/processes", f"{name} is removed; new jobs of it are refused.")


def _row(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"filters": [short_name(dialect) for dialect in record["filters"] or ()]}


def _destinations(request: ConsoleRequest, identifier: str) -> Iterator[str]:
    """Yield the names of the destinations that name a process."""
    for name, one in request.console.settings.destinations.items():
        try:
            if guid_of(one.process) == identifier:
                yield name
        except InvalidArgument:
            continue
