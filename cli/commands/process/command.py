"""`postscan process`: list, add and check stored scan processes; the other commands are in modules of their own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postscan.cli.commands.process import edit, fields, new, preview, send_page, show, transfer
from postscan.cli.commands.process.show import Json
from postscan.cli.context import load_settings, open_engine, process_folder
from postscan.cli.device import process_files
from postscan.cli.output import terminal, views
from postscan.core.model.process import short_name

if TYPE_CHECKING:
    from postscan.core.model.process import ScanProcess
    from postscan.core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="List, make, change, check and try the stored scan processes.")


@app.command("list")
def list_processes(context: typer.Context, json: Json = False) -> None:
    """List the stored scan processes; invalid ones with the reason.

    Each is a `<GUID>.xml`, with its name and users in a `<GUID>.toml` beside it.

    \b
    Examples:
      postscan process list
      postscan process list --json | jq '.[] | select(.problem != "")'
    """
    from postscan.soap.processes import records

    folder = process_folder(load_settings(context))
    stored = [records.listed(folder, identifier) for identifier in folder.names()]
    if json:
        typer.echo(views.as_json(stored))
    elif stored:
        terminal.console().print(terminal.table(("GUID", "NAME", "FILTERS", "USERS"), map(_row, stored)))
    else:
        typer.echo("no scan processes are stored; add one: postscan process add FILE --name NAME")


@app.command()
def add(
    context: typer.Context,
    file: Path,
    name: Annotated[str, typer.Option(help="Name that the device shows.")],
    user: Annotated[
        list[str] | None, typer.Option(help="SID or user@domain of a user who may use it; may be repeated.")
    ] = None,
    id: Annotated[str, typer.Option(help="GUID; default: a new one.", metavar="GUID")] = "",
) -> None:
    """Store a scan process and print its GUID.

    FILE is the XML of a psp:PostScanProcess. It is checked first, the instructions of each filter by its plugin.
    Without --user all users may use it. A running server uses it at once. `postscan process new` needs no XML.

    \b
    Examples:
      postscan process add archive.xml --name Archive
      postscan process add payroll.xml --name Payroll --user ann@fabrikam.example --user S-1-5-21-1-2-3-1001
    """
    identifier = process_files.identifier("--id", id) if id else None
    settings, xml = load_settings(context), file.read_bytes()
    _checked(settings, xml)
    stored = process_folder(settings).add(xml, display_name=name, users=tuple(user or ()), identifier=identifier)
    typer.echo(stored.identifier)


@app.command()
def check(context: typer.Context, file: Path) -> None:
    """Check the scan process in FILE as `add` does, without storing it.

    \b
    Exit codes:
      0  it can be stored
      1  it cannot be stored; stderr has the filter, the element and what was expected
    """
    process = _checked(load_settings(context), file.read_bytes())
    typer.echo(f"{file}: can be stored; its filters: {', '.join(one.dialect for one in process.instructions.filters)}")


app.command()(show.show)
app.command(cls=fields.FieldCommand, context_settings=fields.UNKNOWN)(new.new)
app.command(cls=fields.FieldCommand, context_settings=fields.UNKNOWN)(edit.edit)
app.command()(edit.remove)
app.command()(transfer.export)
app.command("import")(transfer.import_process)
app.command()(preview.preview)
app.command("test")(send_page.send_page)


def _checked(settings: Settings, xml: bytes) -> ScanProcess:
    """Return the parsed process; raise `InvalidArgument` if it cannot be stored or no job could run it."""
    from postscan.soap.processes.folder import ProcessFolder

    with tempfile.TemporaryDirectory() as folder:
        process = ProcessFolder(Path(folder), settings.processes.server_names).add(xml, display_name="check")
    with open_engine(settings) as engine:
        engine.check(process.instructions)
    return process


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    if record["problem"]:
        return (record["id"], f"cannot be used: {record['problem']}", "", "")
    filters = ", ".join(map(short_name, record["filters"]))
    return (record["id"], record["name"], filters, ", ".join(record["users"]) or "all users")
