"""`postscan audit`: the audit trail; export and drop of its old lines."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from postscan.cli.context import load_settings, local_administrator, open_engine
from postscan.cli.options import Json, moment
from postscan.cli.output import terminal, views


class AuditCommands(typer.core.TyperGroup):
    """The commands of the audit trail; without one of their names it is `show`: `postscan audit TOKEN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the name of `show` where none is given."""
        if not ctx.resilient_parsing and (not args or args[0] not in (*self.commands, *ctx.help_option_names)):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=AuditCommands,
    help="Show the audit trail; export and drop old lines. Without a command: as `show`, with its options.",
)


@app.command()
def show(
    context: typer.Context,
    token: Annotated[str | None, typer.Argument(help="Token of a job, or ID of a subscription; default: all.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of lines, newest first.")] = 100,
    json: Json = False,
) -> None:
    """Show the audit trail: every change of a job, and every refused attempt.

    PROOF is how the caller was authenticated: `address` (the device or browser at that address), `certificate`, `local`
    (an administrator at this machine), `source`; at the console also `account`, `link`, `oidc` and `api`. The
    database rejects changes of the trail; `export` and `drop` take old lines out of it.

    \b
    Examples:
      postscan audit
      postscan audit 5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935
      postscan audit --limit 10000 --json | jq '.[] | select(.outcome == "refused")'
    """
    from postscan.core.service.administration.records import AuditRecord

    with open_engine(load_settings(context)) as engine:
        lines = engine.service.audit(local_administrator(), token, limit)
    if json:
        typer.echo(views.as_json([AuditRecord.of(line).plain() for line in lines]))
    elif lines:
        terminal.console().print(views.audited(lines))
    else:
        typer.echo("the audit trail is empty" if token is None else f"the audit trail has no line for {token}")


@app.command()
def export(
    context: typer.Context,
    before: Annotated[
        datetime, typer.Option(parser=moment, metavar="DATE", help="Export the lines before this date or time (UTC).")
    ],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="New file; default: standard output.")] = None,
) -> None:
    """Write the lines of the audit trail that are older than DATE, oldest first; the trail does not change.

    Each line is a JSON object with the keys of `postscan audit --json`. The file is complete or is not created, and
    no existing file is overwritten. A DATE without a time is the beginning of that day.

    \b
    Examples:
      postscan audit export --before 2026-01-01 --to audit-2025.jsonl
      postscan audit export --before 2026-01-31T08:00Z | jq 'select(.outcome == "refused")'
    """
    from postscan.cli.output import audit_file

    with open_engine(load_settings(context)) as engine:
        lines = engine.audit_trail.older_than(before, local_administrator())
        if to is None:
            audit_file.write(lines, sys.stdout)
            return
        count = audit_file.create(lines, to)
    typer.echo(f"{count} lines exported to {to}")


@app.command()
def drop(
    context: typer.Context, file: Annotated[Path, typer.Argument(help="File of `postscan audit export`.")]
) -> None:
    """Delete from the audit trail exactly the lines that FILE has; keep FILE, it is the only copy then.

    Each line is compared with the trail first: if one differs, nothing is deleted. The trail gets a line about it. May
    be repeated, for example after an interruption.

    \b
    Example:
      postscan audit drop audit-2025.jsonl
    """
    from postscan.cli.output import audit_file

    with open_engine(load_settings(context)) as engine:
        audit_file.make_durable(file)
        name = os.fsencode(file.absolute()).decode(errors="backslashreplace")
        dropped = engine.audit_trail.drop(lambda: audit_file.read(file), local_administrator(), name)
    typer.echo(f"{dropped.lines} lines dropped" + (f"; {dropped.before} were dropped before" if dropped.before else ""))
