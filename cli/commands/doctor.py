"""`postscan doctor`: checks of an installation, each with a fix for what is wrong."""

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


def doctor(context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check this installation, and print a fix for each problem.

    Checks the settings, the data folder, the server and its port, certificates, clock, kernel, database, accounts,
    spool and plugins, each stored scan process, and each of its destinations: it writes a hidden file to folders, logs
    on to mail and file servers, and connects to other hosts. It delivers, migrates and repairs nothing, and does not
    disturb a running server. Run it as the user of the server.

    \b
    Exit codes:
      0  there are no problems; there may be warnings
      1  there are problems, each with its fix

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
    problems = sum(one.severity == "problem" for one in findings)
    warnings = sum(one.severity == "warning" for one in findings)
    if json:
        typer.echo(views.as_json([one.as_json() for one in findings]))
    else:
        typer.echo(f"\nproblems: {problems}, warnings: {warnings}")
    if problems:
        raise typer.Exit(exit_codes.ERROR)


def _findings(context: typer.Context) -> Iterator[Finding]:
    """Run all checks in order; redact the secrets of the settings."""
    from postscan.cli.device import discovery as device_discovery
    from postscan.doctor import accounts, certificates, destinations, discovery, machine
    from postscan.doctor.findings import problem

    path: Path | None = context.find_root().obj
    try:
        settings = load_settings(context)
    except SettingsError as error:
        yield problem("settings file", str(error), "docs/settings.md has all keys; fix this before the other checks")
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
        "accounts": accounts.accounts,
        "spool": machine.spool,
        "Linux": machine.linux,
        "plugins": destinations.destinations,
    }
    for name, check in every.items():
        try:
            for finding in check(settings):
                yield _without(secrets, finding)
        except (PostscanError, OSError, ValueError) as error:
            yield _without(
                secrets, problem(name, f"could not be checked: {error}", "fix that, and run the doctor again")
            )


def _secrets(settings: Settings) -> frozenset[str]:
    """Return what must not be printed: secrets of plugins, the password of the database, hashes of passwords."""
    from postscan.core.registry import redaction as registry_redaction

    quoted = urlsplit(settings.storage.database).password or ""
    hashes = {account.hash for account in settings.accounts.values()}
    texts = {text for text in (quoted, unquote(quoted)) if text}
    inlets = {name: source.table for name, source in settings.sources.items()}
    tables = registry_redaction.secrets(None, settings.filters) | registry_redaction.secrets(None, inlets)
    return tables | texts | hashes


def _without(secrets: frozenset[str], finding: Finding) -> Finding:
    from postscan.core.registry import redaction as registry_redaction

    return dataclasses.replace(finding, sentence=registry_redaction.without(secrets, finding.sentence))


def _show(finding: Finding) -> None:
    typer.echo(terminal.plain(f"{finding.severity:<8} {finding.check}: {finding.sentence}"))
    if finding.fix:
        typer.echo(terminal.plain(f"{'':<8} -> {finding.fix}"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discard log lines: the findings have the same information."""
    logger, discard = logging.getLogger("postscan"), logging.NullHandler()
    logger.addHandler(discard)
    try:
        yield
    finally:
        logger.removeHandler(discard)
