"""`postscan process show`: one stored scan process, its filters and what each of them is to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postscan.cli.commands.process import fields, stored
from postscan.cli.commands.process.stored import Name
from postscan.cli.context import load_settings, process_folder
from postscan.cli.output import terminal, views
from postscan.core.errors import InvalidArgument

if TYPE_CHECKING:
    from postscan.cli.commands.process.fields import FilterFields
    from postscan.core.model.process import FilterInstructions, ScanProcess
    from postscan.soap.processes.files import ProcessFiles

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show(context: typer.Context, name: Name, json: Json = False) -> None:
    """Show a stored scan process, and the fields of its filters.

    Fields have the names that `postscan process edit` takes. Secrets are not shown. The instructions of a filter
    without a schema are shown as XML. The revision is a hash of the two files of the process: it is another one when
    one of them has changed.

    \b
    Examples:
      postscan process show Archive
      postscan process show Archive --json | jq '.filters[].values'
    """
    from postscan.soap.processes.folder import parse

    settings = load_settings(context)
    folder = process_folder(settings)
    identifier = stored.identifier(folder, name)
    files = folder.stored(identifier)
    process = parse(identifier, files)
    with stored.filters(settings) as (catalogue, _):
        filters = fields.of([one.dialect for one in process.instructions.filters], catalogue)
    if json:
        typer.echo(views.as_json(_record(process, files, filters)))
        return
    for line in _page(process, files, filters):
        typer.echo(terminal.plain(line))


def _record(process: ScanProcess, files: ProcessFiles, filters: list[FilterFields]) -> dict[str, Any]:
    wanted = process.instructions
    return {
        "id": process.identifier,
        "name": process.display_name,
        "users": sorted(process.users),
        "server": process.repository,
        "document_root": wanted.document_root,
        "continue_on_error": wanted.continue_on_error,
        "allow_name_change": process.allow_name_change,
        "allow_path_change": process.allow_path_change,
        "revision": files.revision,
        "filters": [filter_record(*pair) for pair in zip(filters, wanted.filters, strict=True)],
    }


def filter_record(filter: FilterFields, instructions: FilterInstructions) -> dict[str, Any]:
    """Return a filter with its values; `values` is null without a schema, and if the XML does not fit it."""
    values, problem = _values(filter, instructions)
    secret = {one.name for one in filter.schema.parameters if one.secret} if filter.schema else set()
    return {
        "number": filter.number,
        "name": filter.name,
        "dialect": filter.dialect,
        "values": values and {name: fields.HIDDEN if name in secret else value for name, value in values.items()},
        "xml": instructions.xml.decode() if values is None and not secret else None,
        "problem": problem,
    }


def _values(filter: FilterFields, instructions: FilterInstructions) -> tuple[dict[str, Any] | None, str]:
    if filter.schema is None:
        return None, ""
    try:
        return filter.schema.read(instructions.xml, filter.dialect), ""
    except InvalidArgument as error:
        return None, str(error)


def _page(process: ScanProcess, files: ProcessFiles, filters: list[FilterFields]) -> Iterator[str]:
    wanted = process.instructions
    for name, value in (
        ("Process", f"{process.display_name} ({process.identifier})"),
        ("Users", ", ".join(sorted(process.users)) or "all users"),
        ("Server", process.repository),
        ("Root name", f"{wanted.document_root}{', which a device may change' if process.allow_name_change else ''}"),
        ("On errors", "the filters after it run" if wanted.continue_on_error else "the job is aborted"),
        *([("Shares", "a device may change them")] if process.allow_path_change else []),
        ("Revision", files.revision),
    ):
        yield f"{name + ':':<11} {value}"
    for filter, instructions in zip(filters, wanted.filters, strict=True):
        yield ""
        yield f"Filter {filter.number}: {filter.dialect}"
        values, problem = _values(filter, instructions)
        if problem:
            yield f"  does not take its instructions: {problem}"
        elif filter.schema is None or values is None:
            yield from (f"  {line}" for line in instructions.xml.decode().splitlines())
        else:
            for one in filter.schema.parameters:
                items = values[one.name] if one.many else (values[one.name],)
                for item in items:
                    yield f"  {filter.option(one)} {fields.shown(one, item)}"
                if not items:
                    yield f"  {filter.option(one)} (none)"
