"""`postscan process export` and `import`: the two files of a scan process, byte for byte."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from postscan.cli.commands.process import stored
from postscan.cli.commands.process.stored import Name
from postscan.cli.context import load_settings, process_folder
from postscan.cli.device import process_files
from postscan.core.errors import PostscanError


def export(
    context: typer.Context,
    name: Name,
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the files; default: this one.")] = Path(),
) -> None:
    """Copy the two files of a stored scan process, and print their paths.

    `<GUID>.xml` is the process, `<GUID>.toml` its name and its users. No file is overwritten.
    `postscan process import` takes them.

    \b
    Example:
      postscan process export Archive --to /srv/backup
    """
    folder = process_folder(load_settings(context))
    identifier = stored.identifier(folder, name)
    files = folder.stored(identifier)
    contents = {to / f"{identifier}.xml": files.xml, to / f"{identifier}.toml": files.properties}
    for path in contents:
        if path.exists():
            raise PostscanError(f"{path} exists; nothing is written")
    for path, data in contents.items():
        if data is not None:
            with path.open("xb") as file:
                file.write(data)
            typer.echo(path)


def import_process(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The XML of a process; its TOML lies beside it.")],
    id: Annotated[
        str, typer.Option(metavar="GUID", help="GUID; default: the name of the file if it is one, else a new one.")
    ] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a stored process with this GUID.")] = False,
) -> None:
    """Store a scan process from two exported files, and print its GUID.

    It is checked as by `postscan process check`, and stored byte for byte. Stderr has when it is used.

    \b
    Examples:
      postscan process import /srv/backup/7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7.xml
      postscan process import archive.xml --id 7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7 --replace
    """
    from postscan.soap.processes.files import NONE, ProcessFiles
    from postscan.soap.xml.reading import guid

    settings = load_settings(context)
    folder = process_folder(settings)
    identifier = process_files.identifier("--id", id) if id else guid(file.stem) or str(uuid.uuid4()).upper()
    files = ProcessFiles(file.read_bytes(), file.with_suffix(".toml").read_bytes())
    before = folder.stored(identifier) if replace else NONE
    with stored.filters(settings) as (_, check):
        check(folder.check(identifier, files).instructions)
    folder.replace(identifier, before, files)
    typer.echo(identifier)
    typer.echo(f"stored; {stored.effect(settings)}", err=True)
