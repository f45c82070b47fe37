"""Move, add and remove filters of a scan process; the bytes of each filter that stays are the same as before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from postscan.core.errors import InvalidArgument
from postscan.core.model.process import FilterInstructions
from postscan.soap.processes.folder import read_process
from postscan.soap.processes.positions import ElementPosition, ProcessDocument, Replacement
from postscan.soap.xml import namespaces
from postscan.soap.xml.writing import escape

_FILTERS = ("PostScanInstructions", "FiltersToProcess")
_STEP = b"  "


def arrange(xml: bytes, order: Sequence[int | FilterInstructions]) -> bytes:
    """Return a scan process with its filters in this order, each a number from 1 or the instructions of a new one.

    A filter whose number is not in *order* is removed. What is between the filters keeps its place. Raises
    `InvalidArgument` for a process that cannot be read, for no filter at all, and for a number that is not there or
    occurs twice.
    """
    count = len(read_process(xml)[1].filters)
    numbers = [one for one in order if isinstance(one, int)]
    if not order or len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(1, count + 1)):
        raise InvalidArgument(namespaces.psp("FiltersToProcess"), str(numbers), f"at least one filter, of 1 to {count}")
    if list(order) == list(range(1, count + 1)):
        return xml
    document = ProcessDocument.of(xml)
    parent = document.root()
    for name in _FILTERS:
        parent = parent.named(namespaces.psp(name))[0]
    places = parent.named(namespaces.psp("Filter"))
    return document.changed(_moved(document, places, order)).as_bytes()


def _moved(
    document: ProcessDocument, places: Sequence[ElementPosition], order: Sequence[int | FilterInstructions]
) -> Iterator[Replacement]:
    """Yield what puts the filters of *order* into the places, behind the last one those that are more."""
    last = places[-1]
    data = [
        document.body[places[one - 1].begin : places[one - 1].end] if isinstance(one, int) else _new(one, last)
        for one in order
    ]
    for place, filter in zip(places, data, strict=False):
        yield Replacement(place.begin, place.end, filter)
    for place in places[len(data) :]:
        yield Replacement(place.begin - len(place.layout), place.end, b"")
    more = b"".join(last.layout + filter for filter in data[len(places) :])
    if more:
        yield Replacement(last.end, last.end, more)


def _new(filter: FilterInstructions, beside: ElementPosition) -> bytes:
    """Return the element of a new filter, laid out and with the prefix as the one *beside*."""
    layout, prefix = beside.layout, beside.prefix
    inner = layout + _STEP if layout else b""
    config = filter.xml.replace(b"\n", inner + _STEP if layout else b"\n")
    dialect = escape(filter.dialect).encode()
    return b"".join(
        (
            b"<%bFilter>" % prefix,
            inner + b"<%bDialect>%b</%bDialect>" % (prefix, dialect, prefix),
            inner + b"<%bInstructions>" % prefix,
            (inner + _STEP if layout else b"") + config,
            inner + b"</%bInstructions>" % prefix,
            layout + b"</%bFilter>" % prefix,
        )
    )
