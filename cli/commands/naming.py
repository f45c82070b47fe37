"""`postscan naming`: preview the names of documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from postscan.cli.context import load_settings
from postscan.cli.output import terminal

app = typer.Typer(no_args_is_help=True, help="Preview the names of documents.")


@app.command()
def preview(
    context: typer.Context,
    template: Annotated[str | None, typer.Option(metavar="T", help="Template; default: that of the settings.")] = None,
    root: Annotated[str, typer.Option(metavar="R", help="DocumentRootName of the scan process or device.")] = "Invoice",
    user: Annotated[str, typer.Option(metavar="U", help="Name of the user.")] = "ann@fabrikam.example",
    process: Annotated[str, typer.Option(metavar="P", help="Name of the scan process.")] = "Archive",
    pages: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Number of documents.")] = 3,
    format: Annotated[str, typer.Option(metavar="F", help="Format keyword, which determines the extension.")] = "png",
) -> None:
    """Show the names of the documents of a job that is created now.

    Shows the name of each document, the user's folder where a filter creates one, and the name of the first document
    if its name already exists there. Files are never overwritten.

    \b
    A template is text and these fields; {page} is required:
      {root}     root name of the documents
      {user}     name of the user
      {process}  name of the scan process
      {date}     when the job was created, in UTC; {date:%Y-%m-%d} with %Y %y %m %d %H %M %S %j %G %V
      {page}     number of the document; {page:d} without zeros, {page:05d} with five digits

    Each field is made safe by itself, so that no name contains a path; long names are cut. The extension is added.

    \b
    Examples:
      postscan naming preview
      postscan naming preview --template '{date:%Y-%m-%d} {process} {page:d}' --format tiff-single-g4
      postscan naming preview --user '../../x' --root 'a/b'
    """
    from postscan.core.model import file_names

    chosen = load_settings(context).naming.template if template is None else template
    try:
        file_names.pieces(chosen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--template") from None
    print_names(chosen, root=root, user=user, process=process, pages=pages, format=format)


def print_names(template: str, *, root: str, user: str, process: str, pages: int, format: str) -> None:
    """Print the names of the documents of a job that is created now, and what is beside them in a folder."""
    from postscan.core.model import file_names

    now = datetime.now(UTC)
    names = file_names.examples(template, root=root, user=user, process=process, pages=pages, format=format, now=now)
    for name in names:
        typer.echo(terminal.plain(name))
    typer.echo(f"\nThe user's folder:  {terminal.plain(file_names.user_folder(user))}")
    typer.echo(f"If a name is taken: {terminal.plain(file_names.numbered(names[0], 2))}")
