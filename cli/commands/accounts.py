"""`postscan accounts`: accounts of sources and of the console, each of which stands for a user by a password."""

from __future__ import annotations

import getpass
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.options import RoleName
from postscan.cli.output import terminal, views
from postscan.core.errors import PostscanError

if TYPE_CHECKING:
    from postscan.core.model.accounts.account import Account
    from postscan.core.settings import Settings

COLUMNS: Final = ("NAME", "USER", "INLETS", "FROM", "ROLE", "CREATED", "PASSWORD SET")
_MOST_BYTES: Final = 4096  # of a line on standard input

app = typer.Typer(no_args_is_help=True, help="List, add and remove accounts, and change their passwords and roles.")


@app.command("list")
def list_accounts(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the accounts, those of the settings first.

    USER is the user for whom an account stands, INLETS where it may be used, ROLE what it may do at the console. An
    account of the settings is changed there, and counts after `postscan reload`; it hides one of the database with the
    same name.

    \b
    Examples:
      postscan accounts list
      postscan accounts list --json | jq '.[] | select(.inlets == [])'
    """
    settings = load_settings(context)
    with open_engine(settings) as engine:
        accounts = engine.accounts.all(local_administrator())
    if json:
        typer.echo(views.as_json([_record(settings, one) for one in accounts]))
    elif accounts:
        terminal.console().print(terminal.table(COLUMNS, (_row(settings, one) for one in accounts)))
    else:
        typer.echo("no accounts; add one: postscan accounts add NAME --user SID")


@app.command()
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name that is sent; upper and lower case are the same.")],
    user: Annotated[str, typer.Option(metavar="SID", help="User for whom the account stands.")],
    inlet: Annotated[
        list[str] | None,
        typer.Option(help="Name of an inlet at which it may be used, or console; may be repeated. Default: all."),
    ] = None,
    role: Annotated[RoleName, typer.Option(help="What the user may do at the console.")] = "owner",
) -> None:
    """Add an account. A running server accepts it at once.

    The password is asked for on the terminal, twice and without echo, or read from the first line of standard input.
    At the console, an account of all inlets counts, and one that has `console` among its inlets.

    \b
    Examples:
      postscan accounts add front-desk --user S-1-5-21-1-2-3-1001 --inlet mail
      postscan accounts add boris --user S-1-5-21-1-2-3-1002 --inlet console --role operator
      pass show scans/front-desk | postscan accounts add front-desk --user S-1-5-21-1-2-3-1001

    \b
    Exit codes:
      0  the account is stored
      1  its name is taken or no name, its user or an inlet is not known, or the password is refused
    """
    from postscan.core.model.principal import Role

    settings, chosen = load_settings(context), _read_password()
    with open_engine(settings) as engine:
        added = engine.accounts.add(name, chosen, user, inlet or (), local_administrator(), Role(role))
    typer.echo(f"added {terminal.plain(added.name)}")


@app.command()
def password(context: typer.Context, name: str) -> None:
    """Change the password of an account; the old one is refused at once.

    A running server needs no restart. Sessions of the account at the console end. The new one is read as by `add`.

    \b
    Example:
      postscan accounts password front-desk
    """
    settings, chosen = load_settings(context), _read_password()
    with open_engine(settings) as engine:
        engine.accounts.change_password(name, chosen, local_administrator())
    typer.echo("changed")


@app.command("role")
def change_role(context: typer.Context, name: str, role: RoleName) -> None:
    """Change what an account may do at the console.

    Its sessions end, so that its user signs in again. An owner sees and cancels its own jobs. A viewer sees all jobs;
    an operator also holds, releases, cancels, retries and discards them; an administrator may do all.

    \b
    Example:
      postscan accounts role boris operator
    """
    from postscan.core.model.principal import Role

    with open_engine(load_settings(context)) as engine:
        engine.accounts.change_role(name, Role(role), local_administrator())
    typer.echo("changed")


@app.command()
def remove(context: typer.Context, name: str) -> None:
    """Remove an account. A running server refuses it at once; its jobs stay.

    \b
    Example:
      postscan accounts remove front-desk
    """
    with open_engine(load_settings(context)) as engine:
        engine.accounts.remove(name, local_administrator())
    typer.echo("removed")


@app.command("hash")
def print_hash() -> None:
    """Print the hash of a password, for an account in the settings.

    Nothing is stored. The password is read as by `add`; the hash is for `[accounts.<name>]`.

    \b
    Example:
      postscan accounts hash
    """
    from postscan.core.service.accounts.passwords import Passwords

    typer.echo(Passwords().hash(_read_password()))


def _read_password() -> str:
    """Return a password from the terminal, or from the first line of standard input if that is none."""
    if sys.stdin.isatty():
        chosen = _asked("Password: ")
        if _asked("Password, again: ") != chosen:
            raise PostscanError("the two passwords differ")
        return chosen
    line = sys.stdin.buffer.readline(_MOST_BYTES)
    if not line.endswith(b"\n") and len(line) == _MOST_BYTES:
        raise PostscanError(f"the line on standard input has more than {_MOST_BYTES} bytes; expected a password")
    try:
        return line.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise PostscanError("the line on standard input is not UTF-8; expected a password") from None


def _asked(prompt: str) -> str:
    """Return a line that is typed without echo; raise `PostscanError` where the terminal cannot do that."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(prompt)
        except getpass.GetPassWarning:
            raise PostscanError("this terminal shows what is typed; give the password on standard input") from None
        except EOFError:
            raise PostscanError("no password was given") from None


def _record(settings: Settings, one: Account) -> dict[str, Any]:
    """Return an account as plain values, without its hash; no `inlets` means all."""
    return {
        "name": one.name,
        "user": one.sid,
        "inlets": list(one.inlets),
        "from": "settings" if one.in_settings else "database",
        "hidden": _is_hidden(settings, one),
        "role": one.role,
        "created": one.created.isoformat() if one.created else None,
        "changed": one.changed.isoformat() if one.changed else None,
    }


def _row(settings: Settings, one: Account) -> tuple[str, ...]:
    origin = "settings" if one.in_settings else "database, hidden" if _is_hidden(settings, one) else "database"
    created, changed = (views.moment(at) if at else "" for at in (one.created, one.changed))
    return (one.name, one.sid, ", ".join(one.inlets) or "all", origin, one.role, created, changed)


def _is_hidden(settings: Settings, one: Account) -> bool:
    """Return whether the account does not count, since the settings have its name."""
    return not one.in_settings and one.name in settings.accounts
