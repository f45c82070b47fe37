"""`postscan process show`: one stored scan process, its filters and what each of them is to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from postscan.cli.commands.process import fields, stored
from postscan.cli.commands.process.stored import Name
from postscan.cli.context import load_settings, process_folder
from postscan.cli.output import terminal, views

if TYPE_CHECKING:
    from postscan.core.model.process import ScanProcess
    from postscan.soap.processes.fields import FilterFields
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
    from postscan.soap.processes import records
    from postscan.soap.processes.fields import of
    from postscan.soap.processes.folder import parse

    settings = load_settings(context)
    folder = process_folder(settings)
    identifier = stored.identifier(folder, name)
    files = folder.stored(identifier)
    process = parse(identifier, files)
    with stored.filters(settings) as (catalogue, _):
        filters = of([one.dialect for one in process.instructions.filters], catalogue)
    if json:
        typer.echo(views.as_json(records.whole(process, files, filters)))
        return
    for line in _page(process, files, filters):
        typer.echo(terminal.plain(line))


def _page(process: ScanProcess, files: ProcessFiles, filters: list[FilterFields]) -> Iterator[str]:
    from postscan.soap.processes import records

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
        values, problem = records.values_of(filter, instructions)
        if problem:
            yield f"  does not take its instructions: {problem}"
        elif filter.schema is None or values is None:
            yield from (f"  {line}" for line in instructions.xml.decode().splitlines())
        else:
            for one in filter.schema.parameters:
                items = values[one.name] if one.many else (values[one.name],)
                for item in items:
                    yield f"  {fields.option(filter, one)} {fields.shown(one, item)}"
                if not items:
                    yield f"  {fields.option(filter, one)} (none)"
