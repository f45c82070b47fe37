"""`postscan serve`: the scan server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from postscan.cli.context import load_settings, open_engine
from postscan.core.errors import SettingsError

if TYPE_CHECKING:
    from postscan.core.settings import Settings


def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on; overrides the settings.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Port to listen on, 0 for a free one; overrides the settings.")
    ] = None,
) -> None:
    """Run the scan server until SIGTERM or Ctrl-C.

    Prints the URL of the processing service as one line on stdout as soon as devices can reach it; the log goes to
    stderr. A new or older database is migrated first. While it stops, the server accepts no new requests and
    gives running filters `server.drain_seconds` to finish; unfinished jobs continue after the next start.

    \b
    Examples:
      postscan serve
      postscan --config /etc/postscan.toml serve --port 0
    """
    from postscan.cli.output import logs
    from postscan.soap import server

    settings = _overridden(load_settings(context), host, port)
    logs.to_stderr(settings.log)
    with open_engine(settings) as engine:
        server.serve(engine, settings, ready=typer.echo)


def _overridden(settings: Settings, host: str | None, port: int | None) -> Settings:
    """Return the settings with the options of the command line, validated as those of the file."""
    from pydantic import ValidationError

    options = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    try:
        return type(settings).model_validate(dict(settings) | {"server": settings.server.model_dump() | options})
    except ValidationError as error:
        reasons = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise SettingsError(f"{' '.join(f'--{key} {value}' for key, value in options.items())}: {reasons}") from None
