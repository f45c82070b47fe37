"""`postscan console token`: tokens by which programs use the API of the console."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.options import Json, RoleName, moment
from postscan.cli.output import terminal, views

if TYPE_CHECKING:
    from postscan.core.model.accounts.session import ApiToken

COLUMNS: Final = ("LABEL", "ROLE", "USER", "UNTIL", "CREATED", "BY")
_DAYS: Final = 90

app = typer.Typer(no_args_is_help=True, help="List, add and remove the tokens of programs that use the API.")


@app.command()
def add(
    context: typer.Context,
    label: Annotated[str, typer.Argument(help="Name of the token: letters, digits, dots, hyphens, underscores.")],
    role: Annotated[RoleName, typer.Option(help="What the program may do.")] = "viewer",
    until: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help=f"When it ends; default: in {_DAYS} days."),
    ] = None,
    user: Annotated[
        str, typer.Option(metavar="SID", help="User whose own jobs it sees; default: that of no one.")
    ] = "",
) -> None:
    """Add a token and print its secret, which is shown this once.

    The program sends it with each request: `Authorization: Bearer SECRET`. A running server accepts it at once.

    \b
    Examples:
      postscan console token add grafana
      postscan console token add backup --role operator --until 2027-01-31 >backup.token

    \b
    Exit codes:
      0  the token is stored
      1  its label is taken or cannot be one, or its end or its user are none
    """
    from postscan.core.model.principal import Role

    end = until if until is not None else datetime.now(UTC) + timedelta(days=_DAYS)
    with open_engine(load_settings(context)) as engine:
        secret = engine.tokens.add(label, Role(role), end, local_administrator(), user)
    typer.echo(secret)


@app.command("list")
def list_tokens(context: typer.Context, json: Json = False) -> None:
    """List the tokens, without their secrets; those too whose time is over.

    \b
    Examples:
      postscan console token list
      postscan console token list --json | jq '.[] | select(.role == "administrator")'
    """
    with open_engine(load_settings(context)) as engine:
        found = engine.tokens.all(local_administrator())
    if json:
        typer.echo(views.as_json([_record(one) for one in found]))
    elif found:
        terminal.console().print(terminal.table(COLUMNS, (_row(one) for one in found)))
    else:
        typer.echo("no tokens; add one: postscan console token add LABEL")


@app.command()
def remove(context: typer.Context, label: str) -> None:
    """Remove a token. A running server refuses it at once.

    \b
    Example:
      postscan console token remove grafana
    """
    with open_engine(load_settings(context)) as engine:
        engine.tokens.remove(label, local_administrator())
    typer.echo("removed")


def _record(one: ApiToken) -> dict[str, Any]:
    """Return a token as plain values."""
    return {
        "label": one.label,
        "role": one.role,
        "user": one.sid,
        "until": one.until.isoformat(),
        "created": one.created.isoformat(),
        "by": one.created_by,
    }


def _row(one: ApiToken) -> tuple[str, ...]:
    until, created = views.moment(one.until), views.moment(one.created)
    return (one.label, one.role, one.sid or "none", until, created, one.created_by)
