"""The fields of filters as options: `--fileshare.share-uncs VALUE`, described by the schemas of the filters.

A field is a parameter of the instructions of a filter. Which ones a command has depends on the installed plugins and on
the filters of the process, so they are read from the arguments that the command line does not know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import typer
import typer.core

from postscan.cli.commands.process import stored
from postscan.cli.context import load_settings, process_folder
from postscan.cli.output import terminal
from postscan.core.errors import InvalidArgument
from postscan.core.model.process import short_name
from postscan.soap.processes.fields import HIDDEN, named, of, value

if TYPE_CHECKING:
    from postscan.core.filters.parameters import Parameter
    from postscan.core.registry.catalogue import Catalogue
    from postscan.soap.processes.fields import FilterFields

UNKNOWN: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
"""The context of a command that has fields: it gets the options that it does not know as `context.args`."""

_ARGUMENTS: Final = "postscan.process.arguments"


def option(filter: FilterFields, one: Parameter) -> str:
    """Return the whole option of a field."""
    return f"--{filter.name}.{_dashed(one)}"


class FieldCommand(typer.core.TyperCommand):
    """A command with fields: its help has those of the filters that `--filter` names, or of the process in NAME."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the arguments for `get_help`, which is called before they are parsed."""
        ctx.meta[_ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """Return the help of the command, and a part for each filter."""
        fields = _asked_for(ctx, ctx.meta.get(_ARGUMENTS, ()))
        return "\n".join([super().get_help(ctx), *(line for one in fields for line in _explained(one))])


def dialect(catalogue: Catalogue, name: str) -> str:
    """Return the dialect of the usable filter that an administrator names; raise `InvalidArgument` unless there is one.

    The name is the dialect, its last part, or the plugin's name if that has one filter.
    """
    known = {info.dialect: plugin.name for plugin in catalogue.plugins for info in plugin.filters}
    if name in known:
        return name
    found = [one for one in known if short_name(one) == name] or [one for one in known if known[one] == name]
    if len(found) != 1:
        names = ", ".join(sorted({short_name(one) for one in known})) or "a filter; no plugin with filters is ready"
        raise InvalidArgument("--filter", name, f"one of {names}; or a dialect")
    return found[0]


def given(arguments: Sequence[str], filters: Sequence[FilterFields]) -> dict[int, dict[str, Any]]:
    """Return the values that options give, by the number of the filter and the name of the field.

    Raises `typer.BadParameter` for what is no option of a field, and `InvalidArgument` for a wrong value; both name the
    option and what was expected.
    """
    texts: dict[str, list[str]] = {}
    chosen: dict[str, tuple[FilterFields, Parameter]] = {}
    for word, text in _pairs(arguments):
        field = find(word, filters)
        name = option(*field)
        chosen[name] = field
        texts.setdefault(name, []).append(text)
    values: dict[int, dict[str, Any]] = {}
    for name, (one, parameter) in chosen.items():
        values.setdefault(one.number, {})[parameter.name] = value(parameter, name, texts[name])
    return values


@contextlib.contextmanager
def options_named(filters: Sequence[FilterFields]) -> Iterator[None]:
    """Let an `InvalidArgument` of the body name the option of a field, in place of its element, where there is one."""
    try:
        yield
    except InvalidArgument as error:
        if (field := named(error.argument, filters)) is None:
            raise
        raise InvalidArgument(option(*field), error.value, error.expected) from None


def find(word: str, filters: Sequence[FilterFields]) -> tuple[FilterFields, Parameter]:
    """Return the field that an option names, with or without the filter; the name of a field may be cut.

    Raises `typer.BadParameter` unless there is one.
    """
    name, _, field = word.removeprefix("--").rpartition(".")
    field = field.replace("_", "-")
    every = [(one, parameter) for one in filters for parameter in (one.schema.parameters if one.schema else ())]
    known = [pair for pair in every if name in ("", pair[0].name, str(pair[0].number))]
    found = [pair for pair in known if _dashed(pair[1]) == field]
    found = found or [pair for pair in known if _dashed(pair[1]).startswith(field)]
    if len(found) != 1:
        options = ", ".join(option(one, parameter) for one, parameter in found or every) or "no fields"
        what = "more than one field has this name" if found else "there is no such option"
        raise typer.BadParameter(f"{what}; the filters have {options}", param_hint=word)
    return found[0]


def _asked_for(context: Any, arguments: Sequence[str]) -> list[FilterFields]:
    """Return the fields of the filters that the arguments name; no plugin is loaded if they name none."""
    names = [value for word, value in pairwise(arguments) if word == "--filter"]
    names += [word.partition("=")[2] for word in arguments if word.startswith("--filter=")]
    has_process = bool(arguments) and not arguments[0].startswith("-")
    if not names and not has_process:
        return []
    settings = load_settings(context)
    with stored.filters(settings) as (catalogue, _):
        if names:
            return of([dialect(catalogue, name) for name in names], catalogue)
        from postscan.soap.processes.folder import parse

        folder = process_folder(settings)
        identifier = stored.identifier(folder, arguments[0])
        process = parse(identifier, folder.stored(identifier))
        return of([one.dialect for one in process.instructions.filters], catalogue)


def _explained(filter: FilterFields) -> Iterator[str]:
    """Yield the lines of the help about the fields of one filter."""
    yield f"\nFields of filter {filter.number}, {terminal.plain(filter.dialect)}:"
    if filter.schema is None:
        yield "  none: the filter reads its XML itself, or no ready plugin has it"
        return
    for one in filter.schema.parameters:
        default = "required" if one.required else f"default: {_default(one)}"
        again = "; may be given again" if one.many else ""
        yield terminal.plain(f"  {option(filter, one)} VALUE")
        yield terminal.plain(f"      {one.help + ': ' if one.help else ''}{one.expected}{again} [{default}]")


def shown(one: Parameter, value: Any) -> str:
    """Return a value, of a field with several one of them, as text; of a secret only that it is one."""
    if one.secret:
        return HIDDEN
    if value is None or value == "":
        return "none" if value is None else '""'
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(one: Parameter) -> str:
    if one.many:
        return ", ".join(shown(one, item) for item in one.absent) or "none"
    return shown(one, one.absent)


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield options and their values, written as `--field value` or `--field=value`."""
    rest = iter(arguments)
    for word in rest:
        name, equals, text = word.partition("=")
        if not name.startswith("--"):
            raise typer.BadParameter("expected an option of a field, as --FIELD VALUE", param_hint=terminal.plain(word))
        if not equals:
            value = next(rest, None)
            if value is None:
                raise typer.BadParameter("a value is missing", param_hint=terminal.plain(name))
            text = value
        yield name, text


def _dashed(one: Parameter) -> str:
    return one.name.replace("_", "-").strip("-")
