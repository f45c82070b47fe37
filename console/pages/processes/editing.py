"""The form of a scan process, new or stored: shown, extended by a filter, checked and saved.

A form has the revision of the files that it was made of. If they have changed, nothing is stored, and the page shows
what differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from starlette.responses import Response

from postscan.console.pages.processes import checks, form, stored
from postscan.console.pages.processes.form import OpenedProcess, ProcessForm, SubmittedProcess
from postscan.console.rendering import render, see_other
from postscan.console.request import ConsoleRequest
from postscan.core.errors import InvalidArgument, StoredProcessChanged, Unavailable
from postscan.core.model import file_names
from postscan.core.model.process import Instructions, ScanProcess, short_name
from postscan.core.registry.catalogue import Catalogue
from postscan.soap.processes import drafts, fields
from postscan.soap.processes.files import NONE, ProcessFiles
from postscan.soap.processes.folder import parse

ADD, CHECK = "add", "check"
"""What a form can be sent for, beside to be saved: to get another filter, and to be checked."""

_EXAMPLE_USER = "ann@fabrikam.example"
_EXAMPLES = 3


class Difference(NamedTuple):
    """A value that is stored now, and the one that was sent for it."""

    label: str
    stored: str
    sent: str


def show_new(request: ConsoleRequest) -> Response:
    """Show the form of a new process, with the filters that the URL names."""
    catalogue = checks.catalogue(request.console.engine)
    added = request.http.query_params.getlist("filter")
    return _page(request, form.new(catalogue, added, _server(request)), catalogue)


def create(request: ConsoleRequest) -> Response:
    """Store a new process, under the GUID of the form, so that a form that is sent twice makes one process."""
    catalogue = checks.catalogue(request.console.engine)
    made = form.new(catalogue, _added(request), _server(request))
    return _handled(request, made, catalogue, stored.new_identifier(request), NONE)


def show(request: ConsoleRequest) -> Response:
    """Show the form of a stored process; lead to its XML if its files are invalid."""
    identifier, files = stored.files(request)
    catalogue = checks.catalogue(request.console.engine)
    try:
        found = _opened(identifier, files, catalogue)
    except InvalidArgument:
        return see_other(
            f"/processes/{identifier}/xml", "This scan process cannot be used as it is: correct its files."
        )
    return _page(request, form.opened(found, catalogue), catalogue, identifier)


def save(request: ConsoleRequest) -> Response:
    """Store the changes of a process, if its files are still those that the form was made of."""
    identifier, files = stored.files(request)
    catalogue = checks.catalogue(request.console.engine)
    try:
        found = _opened(identifier, files, catalogue)
        if request.value(stored.REVISION) != files.revision:
            return _changed_meanwhile(request, identifier, found, catalogue)
        made = form.opened(found, catalogue, _added(request))
    except InvalidArgument as error:
        raise StoredProcessChanged(f"the scan process {identifier} cannot be used any more: {error}") from None
    return _handled(request, made, catalogue, identifier, files)


def _handled(
    request: ConsoleRequest, made: ProcessForm, catalogue: Catalogue, identifier: str, before: ProcessFiles
) -> Response:
    """Return the page for what a form was sent for."""
    shown = "" if before == NONE else identifier
    if request.value("do") == ADD:
        return _page(request, form.with_texts(made, request.form), catalogue, shown)
    submitted = _checked(request, form.read(made, request.form, request.by.name), identifier)
    if submitted.files is None:
        return _page(request, submitted.form, catalogue, shown, status=400)
    if request.value("do") == CHECK:
        process = parse(identifier, submitted.files)
        return _page(request, submitted.form, catalogue, shown, checked=process)
    try:
        stored.store(request, identifier, before, submitted.files)
    except StoredProcessChanged:
        now = stored.folder(request.console).stored(identifier)
        if now == submitted.files:  # the same form was sent twice
            return see_other(f"/processes/{identifier}", f"Saved. {stored.effect(request.console)}")
        found = _opened(identifier, now, catalogue)
        return _changed_meanwhile(request, identifier, found, catalogue)
    if submitted.files == before:
        return see_other(f"/processes/{identifier}", "Nothing is changed.")
    return see_other(f"/processes/{identifier}", f"Saved. {stored.effect(request.console)}")


def _checked(request: ConsoleRequest, submitted: SubmittedProcess, identifier: str) -> SubmittedProcess:
    """Return what was submitted, with the error of the schema of processes or of a filter, if there is one."""
    if submitted.files is None:
        return submitted
    try:
        process = stored.folder(request.console).check(identifier, submitted.files)
        checks.check(request.console.engine, process.instructions)
    except InvalidArgument as error:
        return SubmittedProcess(submitted.form.with_error(error), None)
    except Unavailable as error:
        return SubmittedProcess(replace(submitted.form, problems=[f"it cannot be checked now: {error}"]), None)
    return submitted


def _page(
    request: ConsoleRequest,
    made: ProcessForm,
    catalogue: Catalogue,
    identifier: str = "",
    *,
    status: int = 200,
    checked: ScanProcess | None = None,
) -> Response:
    instructions = made.opened.process.instructions if made.opened else None
    name = made.opened.process.display_name if made.opened else ""
    if checked is not None:
        instructions, name = checked.instructions, checked.display_name
    return render(
        request,
        "processes/form.html",
        status,
        id=identifier,
        new_id=stored.new_identifier(request),
        name=name,
        form=made,
        revision=made.opened.files.revision if made.opened else "",
        choices=list(_choices(catalogue)),
        is_checked=checked is not None,
        unchecked=[] if checked is None else _without_plugin(checked.instructions, catalogue),
        examples=[] if instructions is None else _examples(request, instructions, name),
        example_user=_EXAMPLE_USER,
    )


def _changed_meanwhile(request: ConsoleRequest, identifier: str, now: OpenedProcess, catalogue: Catalogue) -> Response:
    """Return the page that shows what is stored now beside what was sent; nothing is stored."""
    return render(
        request,
        "processes/changed.html",
        409,
        id=identifier,
        name=now.process.display_name,
        differences=list(_differences(form.opened(now, catalogue), request.form)),
        text="",
    )


def _differences(now: ProcessForm, sent: Any) -> Iterator[Difference]:
    before = [*now.controls, *(one for section in now.sections for one in section.controls)]
    typed = form.with_texts(now, sent)
    after = [*typed.controls, *(one for section in typed.sections for one in section.controls)]
    for old, new in zip(before, after, strict=True):
        if old.text.split() != new.text.split():
            yield Difference(f"{old.label} ({old.name})", old.text, new.text)


def _opened(identifier: str, files: ProcessFiles, catalogue: Catalogue) -> OpenedProcess:
    process = parse(identifier, files)
    return OpenedProcess(files, process, fields.of([one.dialect for one in process.instructions.filters], catalogue))


def _added(request: ConsoleRequest) -> list[str]:
    """Return the dialects of the new filters, the one included that is to be added now."""
    more = [request.value("filter")] if request.value("do") == ADD and request.value("filter") else []
    return [*request.form.get(form.ADDED, ()), *more]


def _server(request: ConsoleRequest) -> str:
    return drafts.server_name(request.console.settings.processes.server_names)


def _choices(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Yield dialect and title of the filters that have fields."""
    for plugin in catalogue.plugins:
        for one in plugin.filters:
            if one.instructions is not None:
                yield one.dialect, f"{one.title} ({plugin.name})"


def _without_plugin(instructions: Instructions, catalogue: Catalogue) -> list[str]:
    return [short_name(one.dialect) for one in instructions.filters if catalogue.find(one.dialect) is None]


def _examples(request: ConsoleRequest, instructions: Instructions, name: str) -> list[str]:
    """Return the names of the documents of an example job."""
    return file_names.examples(
        request.console.settings.naming.template,
        root=instructions.document_root,
        user=_EXAMPLE_USER,
        process=name,
        pages=_EXAMPLES,
        format="png",
        now=request.console.clock.now(),
    )
