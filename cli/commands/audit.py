"""`postscan audit`: the audit trail."""

from __future__ import annotations

from typing import Annotated

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.output import terminal, views


def audit(
    context: typer.Context,
    token: Annotated[str | None, typer.Argument(help="Token of a job, or ID of a subscription; default: all.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of lines, newest first.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the audit trail: every change of a job, and every refused attempt.

    PROOF is how the caller was authenticated: `address` (plain HTTP, the device at that address), `certificate`, or
    `local` (an administrator at this machine). The trail is append-only: the database rejects changes.

    \b
    Examples:
      postscan audit
      postscan audit 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
      postscan audit --limit 10000 --json | jq '.[] | select(.outcome == "refused")'
    """
    with open_engine(load_settings(context)) as engine:
        lines = engine.service.audit(local_administrator(), token, limit)
    if json:
        typer.echo(views.as_json([views.audit_record(line) for line in lines]))
    elif lines:
        terminal.console().print(views.audited(lines))
    else:
        typer.echo("the audit trail is empty" if token is None else f"the audit trail has no line for {token}")
