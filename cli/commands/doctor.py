"""`postscan doctor`: checks of an installation, each with a fix for what is wrong."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from postscan.cli.output import exit_codes, terminal, views

if TYPE_CHECKING:
    from postscan.doctor.findings import Finding


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
    """Run all checks of the installation in order."""
    from postscan.cli.device import discovery
    from postscan.doctor import examination

    path: Path | None = context.find_root().obj
    return examination.examine(path, discovery.on_host)


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
