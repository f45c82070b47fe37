"""The two files of a scan process as text: the only way for filters without a schema, and for invalid files."""

from __future__ import annotations

import difflib
from itertools import islice
from typing import Final

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.pages.processes import checks, raw_text, stored
from postscan.console.rendering import render, see_other
from postscan.console.request import ConsoleRequest
from postscan.core.errors import InvalidArgument, StoredProcessChanged, Unavailable
from postscan.core.registry.catalogue import Catalogue
from postscan.soap.processes.files import NONE, ProcessFiles
from postscan.soap.processes.folder import parse

_MOST_LINES: Final = 500
"""Lines of a difference that a page shows."""

_NEW_PROPERTIES: Final = b'display_name = "New scan process"\nusers = []\n'


def show(request: ConsoleRequest) -> Response:
    """Show both files, valid or not."""
    identifier, files = stored.files(request)
    if _has_secrets(identifier, files, checks.catalogue(request.console.engine)):
        raise PageError(
            403,
            "The XML of this scan process has secrets, which the console does not show.",
            "Use the form, or an editor on the machine of the server.",
        )
    return _page(request, identifier, files, files)


def show_new(request: ConsoleRequest) -> Response:
    """Show the form for the text of a new process."""
    return _page(request, "", NONE, ProcessFiles(b"", _NEW_PROPERTIES))


def create(request: ConsoleRequest) -> Response:
    """Store a new process of the sent text, under the GUID of the form."""
    return _handled(request, stored.new_identifier(request), NONE)


def save(request: ConsoleRequest) -> Response:
    """Store the sent text, if the files are still those that were shown."""
    identifier, before = stored.files(request)
    if _has_secrets(identifier, before, checks.catalogue(request.console.engine)):
        raise PageError(
            403, "The XML of this scan process has secrets.", "Use the form, or an editor on the machine of the server."
        )
    if request.value(stored.REVISION) != before.revision:
        return _changed_meanwhile(request, identifier, before)
    return _handled(request, identifier, before)


def _handled(request: ConsoleRequest, identifier: str, before: ProcessFiles) -> Response:
    try:
        after = ProcessFiles(_sent(request, "xml", before.xml), _sent(request, "properties", before.properties))
    except UnicodeEncodeError:
        raise PageError(400, "The text has characters that no file can have.", "Remove them.") from None
    shown = "" if before == NONE else identifier
    try:
        if after != before or request.value("do") == "check":
            process = stored.folder(request.console).check(identifier, after)
            checks.check(request.console.engine, process.instructions)
    except InvalidArgument as error:
        return _page(request, shown, before, after, problem=str(error), status=400)
    except Unavailable as error:
        return _page(request, shown, before, after, problem=f"It cannot be checked now: {error}", status=503)
    if request.value("do") == "check":
        return _page(request, shown, before, after, is_checked=True)
    try:
        stored.store(request, identifier, before, after)
    except StoredProcessChanged:
        now = stored.folder(request.console).stored(identifier)
        if now == after:  # the same form was sent twice
            return see_other(f"/processes/{identifier}/xml", f"Saved. {stored.effect(request.console)}")
        return _changed_meanwhile(request, identifier, now)
    said = "Nothing is changed." if after == before else f"Saved. {stored.effect(request.console)}"
    return see_other(f"/processes/{identifier}/xml", said)


def _sent(request: ConsoleRequest, name: str, before: bytes | None) -> bytes | None:
    """Return the file of the text that was sent; one that was not sent is as before."""
    return raw_text.submitted(request.value(name), before) if name in request.form else before


def _page(
    request: ConsoleRequest,
    identifier: str,
    before: ProcessFiles,
    shown: ProcessFiles,
    *,
    problem: str = "",
    status: int = 200,
    is_checked: bool = False,
) -> Response:
    if not problem and not is_checked and before != NONE:
        problem = _problem(identifier, before)
    return render(
        request,
        "processes/xml.html",
        status,
        id=identifier,
        new_id=stored.new_identifier(request),
        name=stored.name(shown, identifier),
        revision="" if before == NONE else before.revision,
        xml=raw_text.shown(shown.xml),
        properties=raw_text.shown(shown.properties),
        problem=problem,
        is_checked=is_checked,
    )


def _problem(identifier: str, files: ProcessFiles) -> str:
    """Return why no job can be made of stored files; "" if one can."""
    try:
        parse(identifier, files)
    except InvalidArgument as error:
        return str(error)
    return ""


def _has_secrets(identifier: str, files: ProcessFiles, catalogue: Catalogue) -> bool:
    """Return whether a filter of the process declares a secret in its instructions."""
    try:
        dialects = [one.dialect for one in parse(identifier, files).instructions.filters]
    except InvalidArgument:
        # What cannot be read may have any filter: it is shown only if no installed one has a secret.
        dialects = list(catalogue.dialects)
    found = [pair[1].instructions for dialect in dialects if (pair := catalogue.find(dialect))]
    return any(one.secret for schema in found if schema for one in schema.parameters)


def _changed_meanwhile(request: ConsoleRequest, identifier: str, now: ProcessFiles) -> Response:
    """Return the page that shows what differs between the stored text and the sent one; nothing is stored."""
    lines: list[str] = []
    for name, file in (("xml", now.xml), ("properties", now.properties)):
        if name in request.form:
            old, new = (raw_text.shown(file) or "").splitlines(), request.value(name).splitlines()
            lines += islice(difflib.unified_diff(old, new, "stored now", "sent", lineterm="", n=2), _MOST_LINES)
    return render(
        request,
        "processes/changed.html",
        409,
        id=identifier,
        name=stored.name(now, identifier),
        differences=[],
        text="\n".join(lines),
    )
