"""`postscan serve`, the scan server; `postscan worker`, which runs its jobs; `postscan reload`, for new settings."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from postscan.cli import running_server
from postscan.cli.commands.console.run import ConsoleBeside
from postscan.cli.context import load_settings, open_engine
from postscan.cli.output import terminal, views
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
    gives running filters `server.drain_seconds` to finish; unfinished jobs continue after the next start. At SIGHUP it
    reads its settings again: see `postscan reload`. It also starts the console, if `console.enabled` allows it; on a
    terminal it prints a link to it on stderr while there is no account.

    \b
    Examples:
      postscan serve
      postscan --config /etc/postscan.toml serve --port 0
    """
    from postscan.cli.monitoring.beside import monitored
    from postscan.cli.output import logs
    from postscan.soap import server

    settings = _overridden(load_settings(context), host, port)
    logs.to_stderr(settings.log, settings.log_level)
    with open_engine(settings) as engine, monitored(engine) as tell_ready, ConsoleBeside(context, engine) as console:

        def ready(url: str) -> None:
            tell_ready()
            typer.echo(url)
            console.start()

        server.serve(engine, settings, ready, _CommandLine(context, host, port, console))


def worker(context: typer.Context) -> None:
    """Run the filters of jobs until SIGTERM or Ctrl-C, beside a server.

    A worker has the database, the plugins and the settings of the server, and its spool at the same place. It takes no
    jobs from devices: it has no socket, no sources and no console. It needs cluster.members = "several", and a data
    folder of its own. Prints "ready" on stdout when it claims jobs; the log goes to stderr. While it stops, it claims
    no more jobs, gives running filters `server.drain_seconds` to finish, and leaves unfinished jobs to the others.

    \b
    Example:
      postscan --config /etc/postscan.toml worker
    """
    from postscan.cli.monitoring.beside import monitored
    from postscan.cli.output import logs

    settings = load_settings(context)
    logs.to_stderr(settings.log, settings.log_level)
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    with open_engine(settings) as engine, monitored(engine) as tell_ready:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        with engine.working():
            engine.health.started()
            tell_ready()
            typer.echo("ready")
            stopped.wait()
            engine.health.drain()


def reload(context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Let the running server read its settings and certificates again.

    Prints what the server has taken over. The server is found by the data folder of these settings, on this machine; it
    reads the file with which it was started. Settings that it cannot take over are named: they need a restart. An error
    in the file, or a certificate that cannot be used, changes nothing. Open connections keep their certificates.

    \b
    Example:
      postscan --config /etc/postscan.toml reload
    """
    settings = load_settings(context)
    report = running_server.reload(settings.storage.data_dir)
    if json:
        record = {"taken": report.taken, "restart": report.restart, "certificates": report.certificates}
        typer.echo(views.as_json(record))
        return
    typer.echo(terminal.plain(f"taken over: {', '.join(report.taken) or 'nothing has changed'}"))
    if report.certificates:
        typer.echo("certificates: read again")
    if report.restart:
        typer.echo(terminal.plain(f"need a restart: {', '.join(report.restart)}"))


class _CommandLine:
    """The settings of a server that was started with these options."""

    def __init__(self, context: typer.Context, host: str | None, port: int | None, console: ConsoleBeside) -> None:
        self._context = context
        self._host = host
        self._port = port
        self._console = console

    def read(self) -> Settings:
        """Read the file again. Raises `SettingsError`."""
        return _overridden(load_settings(self._context), self._host, self._port)

    def taken_over(self, settings: Settings) -> None:
        """Log from the level of these settings on, and start the console again, which reads them itself."""
        from postscan.cli.output import logs

        logs.set_level(settings.log_level)
        self._console.restart()


def _overridden(settings: Settings, host: str | None, port: int | None) -> Settings:
    """Return the settings with the options of the command line, validated as those of the file."""
    from pydantic import ValidationError

    options = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    try:
        return type(settings).model_validate(dict(settings) | {"server": settings.server.model_dump() | options})
    except ValidationError as error:
        reasons = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise SettingsError(f"{' '.join(f'--{key} {value}' for key, value in options.items())}: {reasons}") from None
