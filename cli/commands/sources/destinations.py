"""`postscan destinations`: list what people choose at devices, and check whether jobs can be made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, open_engine, process_folder
from postscan.cli.output import exit_codes, terminal, views

if TYPE_CHECKING:
    from postscan.core.settings import Settings

COLUMNS: Final = ("NAME", "LABEL", "PROCESS", "USER", "SOURCES", "ID")

app = typer.Typer(no_args_is_help=True, help="List and check what people choose at devices.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_destinations(context: typer.Context, json: Json = False) -> None:
    """List the destinations of the settings, `[destinations.<name>]`.

    SOURCES are the inlets that offer one. ID is what devices see of it beside the label; a server gives it once.

    \b
    Examples:
      postscan destinations list
      postscan destinations list --json | jq '.[] | select(.sources == [])'
    """
    settings = load_settings(context)
    with open_engine(settings) as engine:
        identifiers = engine.origins.identifiers()
    records = [_record(settings, name, identifiers.get(name)) for name in settings.destinations]
    if json:
        typer.echo(views.as_json(records))
    elif records:
        terminal.console().print(terminal.table(COLUMNS, map(_row, records)))
    else:
        typer.echo("no destinations; a table [destinations.<name>] of the settings makes one")


@app.command()
def check(context: typer.Context) -> None:
    """Check whether a job can be made for each destination.

    Its scan process must be stored, valid, and open to its user. Its filters are asked about their instructions; one
    that no ready plugin has is a warning, and so is a destination that no enabled source offers. Nothing is delivered.
    `postscan doctor` checks this as well, and whether filters reach where they deliver.

    \b
    Exit codes:
      0  jobs can be made for all of them; there may be warnings
      1  they cannot for at least one
    """
    from postscan.doctor import sources
    from postscan.doctor.findings import Severity

    settings = load_settings(context)
    with open_engine(settings) as engine, engine.probing() as (catalogue, validator):
        found = list(sources.destinations(settings, process_folder(settings), catalogue, validator.check))
    for one in found:
        typer.echo(terminal.plain(f"{one.severity:<8} {one.check}: {one.sentence}"))
        if one.fix:
            typer.echo(terminal.plain(f"{'':<8} -> {one.fix}"))
    if not found:
        typer.echo("no destinations; a table [destinations.<name>] of the settings makes one")
    if any(one.severity is Severity.PROBLEM for one in found):
        raise typer.Exit(exit_codes.ERROR)


def _record(settings: Settings, name: str, identifier: str | None) -> dict[str, Any]:
    from postscan.core.settings.sources import destinations_of

    one = settings.destinations[name]
    offered = [
        inlet for inlet, source in settings.sources.items() if name in destinations_of(source, settings.destinations)
    ]
    return {
        "name": name,
        "label": one.label,
        "process": one.process,
        "user": one.user or None,
        "sources": offered,
        "id": identifier,
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    user, sources = record["user"] or "that of the account", ", ".join(record["sources"])
    return (record["name"], record["label"], record["process"], user, sources, record["id"] or "")
