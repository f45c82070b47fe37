"""Stored scan processes as the pages take them: found by the GUID in the path, and stored with a line of the audit."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Iterator
from pathlib import Path

from postscan.console.errors import PageError
from postscan.console.request import Console, ConsoleRequest
from postscan.core.engine import is_served
from postscan.core.errors import InvalidArgument, PostscanError
from postscan.core.model.process import ScanProcess
from postscan.soap.processes import properties
from postscan.soap.processes.files import NONE, ProcessFiles
from postscan.soap.processes.folder import ProcessFolder, guid_of

REVISION = "revision"
"""The control that has the revision of the files that a form was made of."""

IDENTIFIER = "id"
"""The control that has the GUID of a new process."""

_UNWRITTEN = "Make room or grant the right to write, then send it again."

NOT_STORED = PageError(404, "There is no such scan process.", "It may have been removed.")


def folder(console: Console) -> ProcessFolder:
    """Return the folder of the stored processes; it reads again only the files that have changed."""
    settings = console.settings
    return _folder(settings.processes_dir, settings.processes.server_names, settings.processes.lenient)


@functools.lru_cache(maxsize=4)
def _folder(place: Path, server_names: tuple[str, ...], lenient: bool) -> ProcessFolder:
    return ProcessFolder(place, server_names, lenient)


def identifier(request: ConsoleRequest) -> str:
    """Return the GUID of the stored process that the path names; raise `PageError` (404) unless there is one."""
    return _read(request)[0]


def new_identifier(request: ConsoleRequest) -> str:
    """Return the GUID for a new process: that of the form, which its page has made, or a new one."""
    try:
        return guid_of(request.value(IDENTIFIER))
    except InvalidArgument:
        return str(uuid.uuid4()).upper()


def files(request: ConsoleRequest) -> tuple[str, ProcessFiles]:
    """Return the GUID and the files of the process that the path names, valid or not; raise as `identifier`."""
    return _read(request)


def name(files: ProcessFiles, otherwise: str) -> str:
    """Return the display name in the files of a process, valid or not."""
    try:
        return properties.read("", files.properties or b"")[0]
    except PostscanError:
        return otherwise


def usable(request: ConsoleRequest) -> ScanProcess:
    """Return the process that the path names; raise `PageError` (404), and `StoredProcessInvalid`."""
    found = folder(request.console).find(identifier(request))
    if found is None:
        raise PageError(409, "This scan process is one of another server.", "Correct its server name.")
    return found


def store(request: ConsoleRequest, name: str, before: ProcessFiles, after: ProcessFiles) -> None:
    """Replace the files *before* of a process, `NONE` for a new one; raise as `ProcessFolder.replace`."""
    if before == after:
        return
    detail = "new" if before == NONE else f"revision {after.revision[:16]}"
    with _recorded(request, "stored", name, detail):
        folder(request.console).replace(name, before, after)


def remove(request: ConsoleRequest, name: str, before: ProcessFiles) -> None:
    """Remove a process; raise as `ProcessFolder.remove`."""
    with _recorded(request, "removed", name, f"revision {before.revision[:16]}"):
        folder(request.console).remove(name, before)


@contextlib.contextmanager
def _recorded(request: ConsoleRequest, verb: str, name: str, detail: str) -> Iterator[None]:
    """Store a line of the audit trail, then run the body; raise `PageError` if the files cannot be written."""
    try:
        with request.console.engine.audit_trail.recorded(request.by, verb, name, detail):
            yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PageError(503, f"The files of the scan process cannot be written: {reason}.", _UNWRITTEN) from None


def effect(console: Console) -> str:
    """Return when a server uses what was stored: it looks at the files of a process for each new job."""
    if is_served(console.settings.storage.data_dir):
        return "The running server uses it for new jobs at once; jobs that were created before keep theirs."
    return "No server is running with this data folder; the next one uses it."


def _read(request: ConsoleRequest) -> tuple[str, ProcessFiles]:
    place = folder(request.console)
    given = request.path_value("process")
    try:
        name = guid_of(given)
        found = place.stored(name)
    except InvalidArgument:
        raise NOT_STORED from None
    if found == NONE:
        raise NOT_STORED
    return name, found
