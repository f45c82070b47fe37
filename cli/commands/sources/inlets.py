"""`postscan sources`: list and show inlets, stop and start them, order a scan."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.output import terminal, views
from postscan.core.errors import PostscanError

if TYPE_CHECKING:
    from postscan.core.engine import Engine
    from postscan.core.service.inlets import InletStatus

COLUMNS: Final = ("NAME", "PLUGIN", "STATE", "SINCE", "LAST JOB", "DETAIL")

app = typer.Typer(no_args_is_help=True, help="List the inlets of sources, stop and start them, order a scan.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_sources(context: typer.Context, json: Json = False) -> None:
    """List the inlets of the settings, `[sources.<name>]`.

    STATE is what the running server has stored: starting, ready, degraded, away, waiting for its next start, finished,
    stopped, quarantined or disabled. LAST JOB is when the last job was complete. Times are in UTC.

    \b
    Examples:
      postscan sources list
      postscan sources list --json | jq '.[] | select(.state == "quarantined") | .name'
    """
    settings = load_settings(context)
    with open_engine(settings) as engine:
        records = _records(engine)
    if json:
        typer.echo(views.as_json(records))
    elif records:
        terminal.console().print(terminal.table(COLUMNS, map(_row, records)))
    else:
        typer.echo("no sources; a table [sources.<name>] of the settings makes one")


@app.command()
def show(context: typer.Context, name: str, json: Json = False) -> None:
    """Show one inlet: its state, and the destinations that it offers.

    \b
    Example:
      postscan sources show mail
    """
    with open_engine(load_settings(context)) as engine:
        record = next((one for one in _records(engine) if one["name"] == name), None)
    if record is None:
        raise PostscanError(f"there is no source {name!r}; see: postscan sources list")
    if json:
        typer.echo(views.as_json(record))
        return
    for key, value in record.items():
        shown = ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        typer.echo(terminal.plain(f"{key.replace('_', ' '):<13} {shown}"))


@app.command()
def stop(context: typer.Context, name: str) -> None:
    """Stop an inlet until it is started again.

    It stays stopped after a restart of the server. Open jobs have the grace time of the source. The order is stored
    at once, with a line in the audit trail; a running server follows it within half a second.

    \b
    Example:
      postscan sources stop mail
    """
    with open_engine(load_settings(context)) as engine:
        engine.inlets.stop(name, local_administrator())
        typer.echo(f"{terminal.plain(name)} is stopped{_by_the_next_server(engine)}")


@app.command()
def start(context: typer.Context, name: str) -> None:
    """Start an inlet, whatever keeps it from running.

    One that was stopped, has finished, waits for its next start, or is in quarantine.

    \b
    Example:
      postscan sources start mail
    """
    with open_engine(load_settings(context)) as engine:
        engine.inlets.start(name, local_administrator())
        typer.echo(f"{terminal.plain(name)} is started{_by_the_next_server(engine)}")


@app.command()
def scan(
    context: typer.Context,
    name: str,
    destination: Annotated[
        str, typer.Option(metavar="NAME", help="Name of a destination in the settings; default: as the source decides.")
    ] = "",
) -> None:
    """Order a scan of a source that fetches scans from a device.

    \b
    Example:
      postscan sources scan front-desk --destination invoices-ann

    \b
    Exit codes:
      0  the order is stored, and the running server passes it on
      1  there is no such inlet or destination, it does not run, or it fetches no scans
    """
    with open_engine(load_settings(context)) as engine:
        if engine.store.server() is None:
            raise PostscanError("no server is running; start one: postscan serve")
        engine.inlets.scan(name, destination, local_administrator())
    typer.echo("ordered")


def _records(engine: Engine) -> list[dict[str, Any]]:
    """Return the inlets as plain values; times in ISO 8601."""
    return [_record(one) for one in engine.inlets.statuses(local_administrator())]


def _record(inlet: InletStatus) -> dict[str, Any]:
    return {
        "name": inlet.name,
        "plugin": inlet.plugin,
        "state": inlet.state,
        "detail": inlet.detail,
        "since": inlet.since.isoformat() if inlet.since else None,
        "last_job": inlet.last_job.isoformat() if inlet.last_job else None,
        "destinations": list(inlet.destinations),
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    since, last = (_moment(record[key]) for key in ("since", "last_job"))
    return (record["name"], record["plugin"], record["state"], since, last, record["detail"])


def _moment(text: str | None) -> str:
    return views.moment(datetime.fromisoformat(text)) if text else ""


def _by_the_next_server(engine: Engine) -> str:
    return "" if engine.store.server() is not None else " when a server runs"
