"""`postscan console`: the console alone; `postscan serve` starts it the same way, beside the server."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.core.errors import PostscanError, SettingsError

if TYPE_CHECKING:
    from postscan.console.http.process import ConsoleProcess
    from postscan.core.engine import Engine
    from postscan.core.settings import Settings

log = logging.getLogger(__name__)

LINK = "sign in as an administrator, once, within 10 minutes:"


def console(
    context: typer.Context,
    listener: Annotated[int | None, typer.Option(hidden=True)] = None,
    watched: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the console alone, or make links and tokens for it.

    `postscan serve` starts the console, so that it runs alone only where `console.enabled` is false; it then runs until
    SIGTERM or Ctrl-C. Prints the URL of the console as one line on stdout as soon as browsers can reach it; the log
    goes to stderr.

    \b
    Examples:
      postscan console
      postscan console link
    """
    if context.invoked_subcommand is not None:
        return
    from postscan.cli.output import logs
    from postscan.console.http import process, server

    settings = load_settings(context)
    logs.to_stderr(settings.log, settings.log_level)
    server.give_way()
    own = socket.socket(fileno=listener) if listener is not None else server.listen(settings)
    with own, open_engine(settings) as engine:

        def ready(url: str) -> None:
            process.write_address(settings.storage.run_dir, url)
            log.info("console ready", extra={"url": url})
            typer.echo(url)

        server.serve(engine, own, ready, watched, context.find_root().obj, _probe)


def _probe(host: str, port: int, seconds: float) -> object:
    """Send a Probe for the check of discovery, as `postscan doctor` does."""
    from postscan.cli.device import discovery

    return discovery.on_host(host, port, seconds)


class ConsoleBeside:
    """The console beside a server, from `start` to the end of the body of a `with`; does nothing if it is off."""

    def __init__(self, context: typer.Context, engine: Engine) -> None:
        self._config = context.find_root().obj
        self._engine = engine
        self._process: ConsoleProcess | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the console."""
        self._open.close()

    def start(self) -> None:
        """Start the console, or log why it does not start: the server runs without it."""
        settings = self._engine.settings
        if not settings.console.is_on:
            return
        from postscan.console.http import process, server

        try:
            listener = self._open.enter_context(server.listen(settings))
        except SettingsError as error:
            log.error("console not started", extra={"reason": str(error)})  # noqa: TRY400  (no trace helps)
            return
        self._process = self._open.enter_context(process.ConsoleProcess(listener, self._command))
        self._process.start()
        if sys.stdout.isatty():
            self._print_link(server.url(settings, listener))

    def restart(self) -> None:
        """Let the console read its settings and certificates again."""
        if self._process is not None:
            self._process.restart()

    def _command(self, listener: int, pipe: int) -> list[str]:
        config = [] if self._config is None else ["--config", str(self._config)]
        options = [f"--listener={listener}", f"--watched={pipe}"]
        return [sys.executable, "-m", "postscan.cli", *config, "console", *options]

    def _print_link(self, url: str) -> None:
        """Print a link that signs in once, while there is no account by which a person could."""
        by = local_administrator()
        try:
            if self._engine.accounts.all(by):
                return
            from postscan.core.model.principal import Role

            secret = self._engine.sessions.make_link(Role.ADMINISTRATOR, by)
        except PostscanError as error:
            log.warning("no link to the console made", extra={"reason": str(error)})
            return
        typer.echo(f"{LINK} {url}/login/link?secret={secret}", err=True)


def url_of(settings: Settings) -> str:
    """Return the URL of the console for browsers; raise `PostscanError` if it is not known."""
    from postscan.console.http import process

    if settings.console.public_url or settings.console.port:
        return settings.console_url
    url = process.read_address(settings.storage.run_dir)
    if not url:
        raise PostscanError(
            "console.port is 0, so the address of the console is not known until it runs; set console.public_url"
        )
    return url
