"""`postscan process preview`: the names of the documents of a stored scan process."""

from __future__ import annotations

from typing import Annotated

import typer

from postscan.cli.commands import naming
from postscan.cli.commands.process import stored
from postscan.cli.commands.process.stored import Name
from postscan.cli.context import load_settings, process_folder
from postscan.cli.output import terminal
from postscan.core.model.process import short_name


def preview(
    context: typer.Context,
    name: Name,
    user: Annotated[str, typer.Option(metavar="U", help="Name of the user.")] = "ann@fabrikam.example",
    pages: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Number of documents.")] = 3,
    format: Annotated[str, typer.Option(metavar="F", help="Format keyword, which determines the extension.")] = "png",
) -> None:
    """Show the names of the documents of an example job of this process.

    They are made of `naming.template`, the root name of the process, its name, and the user. No filter runs: one that
    puts other documents in the place of these, as `pdf` does, changes their number or the extension.

    \b
    Example:
      postscan process preview Archive --user ann@fabrikam.example --format pdf-a
    """
    from postscan.soap.processes.folder import parse

    settings = load_settings(context)
    folder = process_folder(settings)
    identifier = stored.identifier(folder, name)
    process = parse(identifier, folder.stored(identifier))
    naming.print_names(
        settings.naming.template,
        root=process.instructions.document_root,
        user=user,
        process=process.display_name,
        pages=pages,
        format=format,
    )
    filters = ", ".join(short_name(one.dialect) for one in process.instructions.filters)
    typer.echo(f"Filters:            {terminal.plain(filters)}")
