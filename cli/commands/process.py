"""`postscan process`: list, add, check and try stored scan processes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postscan.cli.commands import process_test
from postscan.cli.context import load_settings, open_engine, process_folder
from postscan.cli.device import process_files
from postscan.cli.output import terminal
from postscan.core.errors import StoredProcessInvalid
from postscan.core.model.process import short_name

if TYPE_CHECKING:
    from postscan.core.model.process import ScanProcess
    from postscan.core.settings import Settings
    from postscan.soap.processes.folder import ProcessFolder

app = typer.Typer(no_args_is_help=True, help="List, add, check and try the stored scan processes.")


@app.command("list")
def list_processes(context: typer.Context) -> None:
    """List the stored scan processes; invalid ones with the reason.

    Each is a `<GUID>.xml`, with its name and users in a `<GUID>.toml` beside it.

    \b
    Example:
      postscan process list
    """
    folder = process_folder(load_settings(context))
    identifiers = folder.names()
    if identifiers:
        rows = (_row(folder, identifier) for identifier in identifiers)
        terminal.console().print(terminal.table(("GUID", "NAME", "FILTERS", "USERS"), rows))
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
    Without --user all users may use it. A running server uses it at once.

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


app.command("test")(process_test.send_page)


def _checked(settings: Settings, xml: bytes) -> ScanProcess:
    """Return the parsed process; raise `InvalidArgument` if it cannot be stored or no job could run it."""
    from postscan.soap.processes.folder import ProcessFolder

    with tempfile.TemporaryDirectory() as folder:
        process = ProcessFolder(Path(folder), settings.processes.server_names).add(xml, display_name="check")
    with open_engine(settings) as engine:
        engine.check(process.instructions)
    return process


def _row(folder: ProcessFolder, identifier: str) -> tuple[str, ...]:
    try:
        process = folder.find(identifier)
    except StoredProcessInvalid as error:
        return (identifier, f"cannot be used: {error}", "", "")
    if process is None:
        return (identifier, "was removed just now", "", "")
    filters = ", ".join(short_name(one.dialect) for one in process.instructions.filters)
    return (identifier, process.display_name, filters, ", ".join(sorted(process.users)) or "all users")
