"""`postscan subscriptions`: list subscriptions to events, and end one as an administrator."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.output import terminal, views
from postscan.core.errors import PostscanError, SubscriptionNotFound

if TYPE_CHECKING:
    from postscan.core.engine import Engine
    from postscan.core.model.subscription import Subscription

COLUMNS = ("ID", "SERVICE", "OWNER", "PROOF", "NOTIFY TO", "TIME LEFT", "WAITING")

app = typer.Typer(no_args_is_help=True, help="List subscriptions to events, and end one.")


@app.command("list")
def list_subscriptions(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the subscriptions of devices and administrators.

    PROOF is how the owner was authenticated. TIME LEFT is in hours, minutes and seconds. WAITING counts the stored
    events that have not been delivered; a job that ends has several of them.

    \b
    Examples:
      postscan subscriptions list
      postscan subscriptions list --json | jq '.[] | select(.waiting > 100) | .id'
    """
    from postscan.core.service.administration.subscription_records import described

    with open_engine(load_settings(context)) as engine:
        records = [one.plain() for one in described(engine.subscriptions)]
    if json:
        typer.echo(views.as_json(records))
    elif records:
        terminal.console().print(terminal.table(COLUMNS, map(_row, records)))
    else:
        typer.echo("no subscriptions")


@app.command()
def end(context: typer.Context, id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """End any subscription, as an administrator.

    The end is stored at once, with a line in the audit trail. A running server sees it within five seconds, sends no
    more events, and sends SubscriptionEnd if the subscription has an EndTo address. Without a running server, the
    next one does that.

    \b
    Example:
      postscan subscriptions end 1c4b7a90-6c02-4cf5-9c0d-7e8f90a1b213

    \b
    Exit codes:
      0  the end is stored
      1  there is no such subscription, or it has already ended
    """
    with open_engine(load_settings(context)) as engine:
        typer.echo(_result(engine, _end(engine, id)))


def _end(engine: Engine, id: str) -> Subscription:
    """End the subscription; raise `PostscanError` if there is none with this ID."""
    try:
        return engine.subscriptions.cancel(str(uuid.UUID(id)), local_administrator())
    except (ValueError, SubscriptionNotFound):
        raise PostscanError(f"there is no subscription {id!r}; see: postscan subscriptions list") from None


def _result(engine: Engine, ended: Subscription) -> str:
    from postscan.core.engine import is_served

    if ended.end_to is None:
        return "ended; it has no EndTo address, so no SubscriptionEnd is sent"
    sender = "the server" if is_served(engine.settings.storage.data_dir) else "the next server that starts"
    return f"ended; {sender} sends SubscriptionEnd to the subscriber"


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    owner, still = record["owner"], timedelta(seconds=record["seconds_left"])
    return (
        record["id"],
        record["service"],
        owner["name"],
        owner["proof"],
        record["notify_to"],
        str(still),
        str(record["waiting"]),
    )
