"""The fields of a scan process: the parameters of its filters, as the schemas of the filters describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from postscan.core.errors import InvalidArgument
from postscan.core.model.process import FilterInstructions, short_name

if TYPE_CHECKING:  # each command imports this module before it is known which of them runs
    from postscan.core.filters.parameters import Parameter, Schema
    from postscan.core.registry.catalogue import FilterLookup

HIDDEN: Final = "***"
"""What stands for a secret."""


class FilterFields(NamedTuple):
    """One filter of a process: its number from 1, and the name by which it is told from the others.

    `schema` is None for a filter that reads its XML itself, or that no ready plugin has. `title` is that of the filter,
    "" if no ready plugin has it.
    """

    number: int
    name: str
    dialect: str
    schema: Schema | None
    title: str = ""

    def values(self, instructions: FilterInstructions) -> dict[str, Any] | None:
        """Return the values by name, None without a schema; raise `InvalidArgument` if the XML does not fit it."""
        return None if self.schema is None else self.schema.read(instructions.xml, self.dialect)


def of(dialects: Iterable[str], filters: FilterLookup) -> list[FilterFields]:
    """Return the fields of the filters of a process; a dialect that occurs twice is named by the filter's number."""
    dialects = list(dialects)
    names = [short_name(dialect) for dialect in dialects]
    infos = [found[1] if (found := filters.find(dialect)) else None for dialect in dialects]
    return [
        FilterFields(
            number,
            name if names.count(name) == 1 else str(number),
            dialect,
            info.instructions if info else None,
            info.title if info else "",
        )
        for number, (name, dialect, info) in enumerate(zip(names, dialects, infos, strict=True), 1)
    ]


def named(clark: str, filters: Sequence[FilterFields]) -> tuple[FilterFields, Parameter] | None:
    """Return the field whose element has this Clark name, as an `InvalidArgument` has it; None unless there is one."""
    found = [
        (one, parameter)
        for one in filters
        for parameter in (one.schema.parameters if one.schema else ())
        if f"{{{one.dialect}}}{parameter.path[-1]}" == clark
    ]
    return found[0] if len(found) == 1 else None


def value(one: Parameter, argument: str, texts: Sequence[str]) -> Any:
    """Return the value of a field of these texts; raise `InvalidArgument` if the schema or XML cannot have it.

    The error names *argument*.
    """
    values = tuple(one.read(argument, text) for text in texts)
    for item in values:
        one.write(argument, item)
    if one.many:
        return values
    if len(values) != 1:
        raise InvalidArgument(argument, f"{len(values)} values", "one")
    return values[0]


def instructions(filter: FilterFields, values: Mapping[str, Any]) -> FilterInstructions:
    """Return the instructions of one filter; raise `InvalidArgument` for a field that is missing or wrong."""
    if filter.schema is None:
        raise InvalidArgument("--filter", filter.dialect, "a filter with fields; add another one as XML: process add")
    return FilterInstructions(filter.dialect, filter.schema.write(values, filter.dialect))
