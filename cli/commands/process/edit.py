"""`postscan process edit` and `remove`: change a stored scan process, if it is still as it was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from postscan.cli.commands.process import fields, stored
from postscan.cli.commands.process.stored import Name
from postscan.cli.context import load_settings, process_folder
from postscan.cli.output import terminal
from postscan.core.errors import InvalidArgument, StoredProcessChanged

if TYPE_CHECKING:
    from postscan.core.settings import Settings
    from postscan.soap.processes.fields import FilterFields


def edit(
    context: typer.Context,
    name: Name,
    display_name: Annotated[str | None, typer.Option("--name", help="New name that the device shows.")] = None,
    user: Annotated[
        list[str] | None, typer.Option(help="SID or user@domain of a user who may use it, in place of all; repeat it.")
    ] = None,
    all_users: Annotated[bool, typer.Option("--all-users", help="All users may use it.")] = False,
    root: Annotated[str | None, typer.Option(metavar="TEXT", help="Root name of the documents.")] = None,
    continue_on_error: Annotated[
        bool | None,
        typer.Option("--continue-on-error/--stop-on-error", help="Whether filters run after one that has failed."),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="FIELD", help="Field that gets its default; may be repeated.")
    ] = None,
    revision: Annotated[str, typer.Option(metavar="HASH", help="Revision of `show`; another one is not changed.")] = "",
) -> None:
    """Change a stored scan process; all else in its files stays as it is.

    Comments, layout, the scan ticket and what no filter takes stay byte for byte. Fields are given as to
    `postscan process new`, after NAME; the values of a field that may be given again replace all that it had.
    `postscan process edit NAME --help` lists the fields of the filters.

    The process is checked as by `postscan process check`, and then replaced at once. If its files have changed
    meanwhile, nothing is stored. A device has to read the process again before it can use it.

    \b
    Examples:
      postscan process edit Archive --share '\\\\files\\scans' --share '\\\\files\\copies'
      postscan process edit Letters --name Mail --unset pdf.title
      postscan process edit Archive --user ann@fabrikam.example

    \b
    Exit codes:
      0  the process is as the options ask for
      1  it cannot be, or its files have changed meanwhile; nothing is stored
    """
    from postscan.soap.processes import drafts
    from postscan.soap.processes.fields import of
    from postscan.soap.processes.folder import parse

    if name.startswith("-"):
        raise typer.BadParameter("expected the name of a scan process before the options of its fields")
    if user and all_users:
        raise typer.BadParameter("expected --user or --all-users")
    settings = load_settings(context)
    folder = process_folder(settings)
    identifier = stored.identifier(folder, name)
    before = folder.stored(identifier)
    if revision and revision != before.revision:
        raise StoredProcessChanged(f"the scan process {identifier} has the revision {before.revision}")
    process = parse(identifier, before)
    beside = {"document_root": root, "continue_on_error": continue_on_error}
    common = {name: value for name, value in beside.items() if value is not None}
    with stored.filters(settings) as (catalogue, check):
        filters = of([one.dialect for one in process.instructions.filters], catalogue)
        with fields.options_named(filters):
            after = drafts.changed(
                before,
                filters,
                _values(context.args, unset or (), filters),
                common=common,
                display_name=display_name,
                users=user if user else () if all_users else None,
            )
            if after != before:
                check(folder.check(identifier, after).instructions)
    if after == before:
        typer.echo("nothing is changed")
        return
    folder.replace(identifier, before, after)
    typer.echo(f"changed; {stored.effect(settings)}")


def remove(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a stored scan process, valid or not, after a question.

    Jobs that were created before run on; new ones are refused, by a running server at once. Destinations of the
    settings that name the process are listed before the question.

    \b
    Example:
      postscan process remove Archive --yes
    """
    settings = load_settings(context)
    folder = process_folder(settings)
    identifier = stored.identifier(folder, name)
    before = folder.stored(identifier)
    shown = terminal.plain(stored.display_name(folder, identifier) or "without a name")
    for destination in _destinations(settings, identifier):
        typer.echo(f"the destination {terminal.plain(destination)} of the settings needs it", err=True)
    if not yes:
        typer.confirm(f"Remove the scan process {identifier} ({shown})?", abort=True)
    folder.remove(identifier, before)
    typer.echo(f"removed {identifier} ({shown}); new jobs of it are refused")


def _values(
    arguments: Sequence[str], unset: Sequence[str], filters: Sequence[FilterFields]
) -> dict[int, dict[str, Any]]:
    """Return the new values by the number of the filter and the name of the field; None for one that is unset."""
    values = fields.given(arguments, filters)
    for field in unset:
        one, parameter = fields.find(f"--{field.removeprefix('--')}", filters)
        if parameter.required or parameter.name in values.get(one.number, {}):
            raise InvalidArgument("--unset", field, "a field that has a default and gets no value")
        values.setdefault(one.number, {})[parameter.name] = None
    return values


def _destinations(settings: Settings, identifier: str) -> list[str]:
    """Return the names of the destinations that name a process."""
    from postscan.soap.xml.reading import guid

    return [name for name, one in settings.destinations.items() if guid(one.process) == identifier]
