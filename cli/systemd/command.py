"""`postscan init`: install what a machine needs to run the server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from postscan.cli.output import terminal


def init(
    systemd: Annotated[
        bool, typer.Option("--systemd", help="Install the unit for systemd, its user, and who may read its settings.")
    ] = False,
    root: Annotated[
        Path, typer.Option("--root", metavar="FOLDER", help="Install below this folder, of an image for example.")
    ] = Path("/"),
    program: Annotated[
        Path | None,
        typer.Option("--program", metavar="PATH", help="The postscan that the unit runs; default: this one."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that differ from what is shipped.")
    ] = False,
) -> None:
    """Install what a machine needs to run the server as a service.

    With --systemd, as root: writes the unit, a file for systemd-sysusers and one for systemd-tmpfiles below /etc, and
    prints each file and the commands that follow. It runs none of them. A second call changes nothing. A file that was
    changed by hand is kept, and is an error; changes of a unit belong in `systemctl edit postscan`.

    \b
    Examples:
      postscan init --systemd
      postscan init --systemd --root /srv/image --program /opt/postscan/bin/postscan
    """
    from postscan.cli.systemd import installation

    if not systemd:
        raise typer.BadParameter("name what is to be installed: --systemd")
    for file in installation.install(root, program or this_program(), overwrite=overwrite):
        typer.echo(terminal.plain(f"{'written' if file.is_changed else 'as it was'}: {file.path}"))
    if root == Path("/"):
        typer.echo("next:")
        for command in (
            "systemd-sysusers postscan.conf",
            "systemd-tmpfiles --create postscan.conf",
            "$EDITOR /etc/postscan.toml",
            "systemctl daemon-reload",
            "systemctl enable --now postscan",
        ):
            typer.echo(f"  {command}")


def this_program() -> Path:
    """Return the path of the `postscan` of this installation."""
    return Path(sys.executable).parent / "postscan"
