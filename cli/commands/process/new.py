"""`postscan process new`: make a scan process of options, without XML."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from postscan.cli.commands.process import fields, stored
from postscan.cli.context import load_settings, local_administrator, process_folder
from postscan.cli.device import process_files
from postscan.soap.processes.fields import instructions, of


def new(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Name that the device shows.")],
    filter: Annotated[
        list[str], typer.Option(metavar="FILTER", help="Filter, as `pdf`; may be repeated, in the order of the runs.")
    ],
    user: Annotated[
        list[str] | None, typer.Option(help="SID or user@domain of a user who may use it; may be repeated.")
    ] = None,
    root: Annotated[str, typer.Option(metavar="TEXT", help="Root name of the documents; default: the name.")] = "",
    server: Annotated[str, typer.Option(metavar="HOST", help="Host name by which devices find the server.")] = "",
    continue_on_error: Annotated[
        bool, typer.Option("--continue-on-error", help="Run the filters after one that has failed.")
    ] = False,
    id: Annotated[str, typer.Option(help="GUID; default: a new one.", metavar="GUID")] = "",
) -> None:
    """Make a scan process of filters and their fields, and print its GUID.

    A field is given as `--FILTER.FIELD VALUE`, or as `--FIELD VALUE` if only one of the filters has it. The name of a
    field may be cut as long as one field begins so. A filter that occurs twice is named by its number: `--2.FIELD`.
    `postscan process new --filter FILTER --help` lists the fields.

    The process is checked as by `postscan process check`, and stored. Without --user all users may use it. The
    host name is by default the first of `processes.server_names`, else that of this machine. Stderr has when the
    process is used.

    \b
    Examples:
      postscan process new --name Archive --filter fileshare --share '\\\\files\\scans'
      postscan process new --name Letters --filter pdf --filter email --title Letter --addresses ann@fabrikam.example
      postscan process new --filter pdf --filter ocr --help
    """
    from postscan.soap.processes import drafts, files

    settings = load_settings(context)
    folder = process_folder(settings)
    identifier = process_files.identifier("--id", id) if id else str(uuid.uuid4()).upper()
    with stored.filters(settings) as (catalogue, check):
        chosen = of([fields.dialect(catalogue, one) for one in filter], catalogue)
        values = fields.given(context.args, chosen)
        with fields.options_named(chosen):
            made = drafts.new(
                name,
                user or (),
                [instructions(one, values.get(one.number, {})) for one in chosen],
                server=server or drafts.server_name(settings.processes.server_names),
                author=local_administrator().name.removeprefix("local:"),
                root=root,
                continue_on_error=continue_on_error,
            )
            check(folder.check(identifier, made).instructions)
    folder.replace(identifier, files.NONE, made)
    typer.echo(identifier)
    typer.echo(f"stored; {stored.effect(settings)}", err=True)
