"""`postscan console link`: a link that signs in at the console once."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from postscan.cli.commands.console.run import url_of
from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.options import RoleName


def link(
    context: typer.Context,
    role: Annotated[RoleName, typer.Option(help="What the person may do.")] = "administrator",
    user: Annotated[
        str, typer.Option(metavar="SID", help="User whose own jobs the person sees; default: that of no one.")
    ] = "",
) -> None:
    """Print a link that signs in at the console, once, within 10 minutes.

    Who can open the database is an administrator, so no password is needed for the first login. Who has the link before
    it is used can sign in with it.

    \b
    Examples:
      postscan console link
      postscan console link --role viewer
      postscan console link --role owner --user S-1-5-21-1-2-3-1001
    """
    from postscan.core.model.principal import Role

    settings = load_settings(context)
    address = url_of(settings)
    with open_engine(settings) as engine:
        secret = engine.sessions.make_link(Role(role), local_administrator(), user)
    typer.echo(f"{address}/login/link?{urlencode({'secret': secret})}")
