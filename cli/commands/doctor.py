"""`postscan doctor`: everything that can be wrong with an installation, and the line that mends it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer

from postscan.cli.context import load_settings
from postscan.cli.output import exit_codes, terminal, views
from postscan.core.errors import PostscanError, SettingsError

if TYPE_CHECKING:
    from postscan.core.settings import Settings
    from postscan.doctor.findings import Finding

    Check = Callable[[Settings], Iterator[Finding]]


def doctor(
    context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False
) -> None:
    """Find what is wrong with this installation, and say what mends it.

    Looks at the settings, the data folder, the server and its port, certificates, clock, kernel, database, spool and
    plugins, at each stored scan process, and at each of its destinations: folders are written to with a hidden file,
    mail and file servers are logged on to, other hosts are connected to. Nothing is delivered, migrated or repaired,
    and a running server is not disturbed. Run it as the user that the server runs as.

    \b
    Exit codes:
      0  there are no problems; there may be warnings
      1  there are problems, each with the line that mends it

    \b
    Examples:
      sudo -u postscan postscan --config /etc/postscan.toml doctor
      postscan doctor --json | jq '.[] | select(.verdict != "ok")'
    """
    findings = []
    with _quiet():
        for finding in _findings(context):
            findings.append(finding)
            if not json:
                _show(finding)
    problems = sum(one.verdict == "problem" for one in findings)
    warnings = sum(one.verdict == "warning" for one in findings)
    if json:
        typer.echo(views.as_json([dataclasses.asdict(one) for one in findings]))
    else:
        typer.echo(f"\nproblems: {problems}, warnings: {warnings}")
    if problems:
        raise typer.Exit(exit_codes.ERROR)


def _findings(context: typer.Context) -> Iterator[Finding]:
    """Do all checks in their order; no secret of the settings is in what comes out."""
    from postscan.cli.device import discovery as device_discovery
    from postscan.doctor import certificates, destinations, discovery, machine
    from postscan.doctor.findings import problem

    path: Path | None = context.find_root().obj
    try:
        settings = load_settings(context)
    except SettingsError as error:
        yield problem("settings file", str(error), "docs/settings.md has all keys; nothing else can be checked before")
        return
    secrets = _secrets(settings)
    every: dict[str, Check] = {
        "settings file": lambda settings: machine.settings_file(path, settings),
        "data folder": machine.data_folder,
        "server": machine.server,
        "discovery": lambda settings: discovery.discovery(settings, device_discovery.on_host),
        "TLS certificate": certificates.certificates,
        "plain HTTP": machine.plain_http,
        "clock": machine.clock,
        "database": machine.records,
        "spool": machine.spool,
        "Linux": machine.linux,
        "plugins": destinations.destinations,
    }
    for name, check in every.items():
        try:
            for finding in check(settings):
                yield _without(secrets, finding)
        except (PostscanError, OSError, ValueError) as error:
            yield _without(secrets, problem(name, f"could not be checked: {error}", "mend that first, then look again"))


def _secrets(settings: Settings) -> frozenset[str]:
    """Return what must not be shown: the secrets of plugins, and the password of the database."""
    from postscan.core.registry import redaction as registry_redaction

    quoted = urlsplit(settings.storage.database).password or ""
    return registry_redaction.secrets(None, settings.filters) | {text for text in (quoted, unquote(quoted)) if text}


def _without(secrets: frozenset[str], finding: Finding) -> Finding:
    from postscan.core.registry import redaction as registry_redaction

    return dataclasses.replace(finding, sentence=registry_redaction.without(secrets, finding.sentence))


def _show(finding: Finding) -> None:
    typer.echo(terminal.plain(f"{finding.verdict:<8} {finding.check}: {finding.sentence}"))
    if finding.fix:
        typer.echo(terminal.plain(f"{'':<8} -> {finding.fix}"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log away from the terminal: the findings say the same."""
    logger, nobody = logging.getLogger("postscan"), logging.NullHandler()
    logger.addHandler(nobody)
    try:
        yield
    finally:
        logger.removeHandler(nobody)
