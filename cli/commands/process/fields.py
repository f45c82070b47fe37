"""The fields of filters as options: `--fileshare.share-uncs VALUE`, described by the schemas of the filters.

A field is a parameter of the instructions of a filter. Which ones a command has depends on the installed plugins and on
the filters of the process, so they are read from the arguments that the command line does not know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer
import typer.core

from postscan.cli.commands.process import stored
from postscan.cli.context import load_settings, process_folder
from postscan.cli.output import terminal
from postscan.core.errors import InvalidArgument
from postscan.core.model.process import short_name

if TYPE_CHECKING:
    from postscan.core.filters.parameters import Parameter, Schema
    from postscan.core.registry.catalogue import Catalogue

UNKNOWN: Final = {"allow_extra_args": True, "ignore_unknown_options": True}
"""The context of a command that has fields: it gets the options that it does not know as `context.args`."""

HIDDEN: Final = "***"
"""What stands for a secret."""

_ARGUMENTS: Final = "postscan.process.arguments"


class FilterFields(NamedTuple):
    """One filter of a process: its number from 1, and what stands before the point in the options of its fields.

    `schema` is None for a filter that reads its XML itself, or that no ready plugin has.
    """

    number: int
    name: str
    dialect: str
    schema: Schema | None

    def option(self, one: Parameter) -> str:
        """Return the whole option of a field."""
        return f"--{self.name}.{_dashed(one)}"


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


def of(dialects: Iterable[str], catalogue: Catalogue) -> list[FilterFields]:
    """Return the fields of the filters of a process; a dialect that occurs twice is named by the filter's number."""
    dialects = list(dialects)
    names = [short_name(dialect) for dialect in dialects]
    schemas = [found[1].instructions if (found := catalogue.find(dialect)) else None for dialect in dialects]
    return [
        FilterFields(number, name if names.count(name) == 1 else str(number), dialect, schema)
        for number, (name, dialect, schema) in enumerate(zip(names, dialects, schemas, strict=True), 1)
    ]


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
        option = field[0].option(field[1])
        chosen[option] = field
        texts.setdefault(option, []).append(text)
    values: dict[int, dict[str, Any]] = {}
    for option, (one, parameter) in chosen.items():
        values.setdefault(one.number, {})[parameter.name] = _value(parameter, option, texts[option])
    return values


@contextlib.contextmanager
def options_named(filters: Sequence[FilterFields]) -> Iterator[None]:
    """Let an `InvalidArgument` of the body name the option of a field, in place of its element, where there is one."""
    options: dict[str, list[str]] = {}
    for one in filters:
        for parameter in one.schema.parameters if one.schema else ():
            options.setdefault(f"{{{one.dialect}}}{parameter.path[-1]}", []).append(one.option(parameter))
    try:
        yield
    except InvalidArgument as error:
        if len(found := options.get(error.argument, [])) != 1:
            raise
        raise InvalidArgument(found[0], error.value, error.expected) from None


def find(option: str, filters: Sequence[FilterFields]) -> tuple[FilterFields, Parameter]:
    """Return the field that an option names, with or without the filter; the name of a field may be cut.

    Raises `typer.BadParameter` unless there is one.
    """
    name, _, field = option.removeprefix("--").rpartition(".")
    field = field.replace("_", "-")
    every = [(one, parameter) for one in filters for parameter in (one.schema.parameters if one.schema else ())]
    known = [pair for pair in every if name in ("", pair[0].name, str(pair[0].number))]
    found = [pair for pair in known if _dashed(pair[1]) == field]
    found = found or [pair for pair in known if _dashed(pair[1]).startswith(field)]
    if len(found) != 1:
        options = ", ".join(one.option(parameter) for one, parameter in found or every) or "no fields"
        what = "more than one field has this name" if found else "there is no such option"
        raise typer.BadParameter(f"{what}; the filters have {options}", param_hint=option)
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
        yield terminal.plain(f"  {filter.option(one)} VALUE")
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
        option, equals, text = word.partition("=")
        if not option.startswith("--"):
            raise typer.BadParameter("expected an option of a field, as --FIELD VALUE", param_hint=terminal.plain(word))
        if not equals:
            value = next(rest, None)
            if value is None:
                raise typer.BadParameter("a value is missing", param_hint=terminal.plain(option))
            text = value
        yield option, text


def _value(one: Parameter, option: str, texts: list[str]) -> Any:
    """Return the value of a field; raise `InvalidArgument` if the schema or XML cannot have it."""
    values = tuple(one.read(option, text) for text in texts)
    for value in values:
        one.write(option, value)
    if one.many:
        return values
    if len(values) > 1:
        raise InvalidArgument(option, f"{len(values)} values", "one")
    return values[0]


def _dashed(one: Parameter) -> str:
    return one.name.replace("_", "-").strip("-")
