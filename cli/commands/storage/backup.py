"""`postscan backup` and `postscan restore`: a copy of the installation in a file, and its return."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from postscan.cli.context import load_settings, local_administrator, open_engine


def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file to write; it must be new.", metavar="FILE")],
) -> None:
    """Copy the installation into one file, while the server runs.

    The file has the database, the images, the scan processes, what sources keep, and the settings file that `--config`
    or POSTSCAN_CONFIG names, secrets in it included. It can be read by its user alone. Passwords, keys and certificates
    that the settings refer to by a path outside of the data folder are not in it.

    For SQLite, and images in the data folder. Of PostgreSQL make a copy with pg_dump, and behind it one of the data
    folder.

    \b
    Example:
      postscan backup /backup/postscan-monday.tar
    """
    settings = load_settings(context)
    source: Path | None = context.find_root().obj
    with open_engine(settings) as engine:
        made = engine.backup.write(file, source, local_administrator())
    typer.echo(f"{file}: {len(made.files)} files, {sum(one.size for one in made.files.values()):,} bytes")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The backup.", metavar="FILE", exists=True, dir_okay=False)],
    settings_to: Annotated[
        Path | None,
        typer.Option("--settings-to", help="Write the settings of the backup to this new file.", metavar="FILE"),
    ] = None,
) -> None:
    """Unpack a backup for an installation that has no data yet.

    The settings that `--config` names say where the data go; that folder must be new or empty. Each file is compared
    with its hash in the backup; if one differs, or the backup was cut, nothing is written.

    Then start the server. It is as at the time of the backup: jobs that were in progress run again, and may deliver a
    second time what they have delivered since.

    \b
    Example:
      postscan restore /backup/postscan-monday.tar --settings-to old.toml
      postscan --config postscan.toml restore /backup/postscan-monday.tar
    """
    from postscan.core.service.administration.backup.restoring import restore as unpack

    made = unpack(file, load_settings(context), settings_to)
    typer.echo(f"{len(made.files)} files of {made.created:%Y-%m-%d %H:%M} UTC; start the server with: postscan serve")
