"""Change values of a scan process, and nothing else: comments, extensions, order and layout stay byte for byte.

A schema says what can be changed: that of a filter for its instructions, `COMMON` for what is beside the filters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Final, NamedTuple

from postscan.core.errors import InvalidArgument
from postscan.core.filters.parameters import Parameter, Schema
from postscan.core.model.process import FilterInstructions
from postscan.soap.processes.folder import read_process
from postscan.soap.processes.positions import ElementPosition, ProcessDocument, Replacement
from postscan.soap.xml import namespaces

COMMON: Final = Schema(
    element="PostScanInstructions",
    parameters=(
        Parameter("continue_on_error", "true or false", ("ContinueOnError",), default=False),
        Parameter("document_root", "text", ("DocumentRootName",), required=True),
    ),
)
"""The two values of a scan process beside its filters, in the order of their elements."""

_INSTRUCTIONS: Final = ("PostScanInstructions",)
_STEP: Final = b"  "
_TEXT: Final = re.compile(rb"(<!--.*?-->)|<!\[CDATA\[.*?\]\]>|[^<]+", re.DOTALL)


class _Described(NamedTuple):
    """An element whose values a schema describes: where it is, its namespace, and what reads the values of a file."""

    place: tuple[str, ...]
    schema: Schema
    namespace: str
    read: Callable[[bytes], dict[str, Any]]

    def find(self, document: ProcessDocument) -> ElementPosition:
        return _find(document, self.place)

    def elements(self, document: ProcessDocument, path: Sequence[str]) -> list[ElementPosition]:
        """Return the elements of a path in their order."""
        found = [self.find(document)]
        for name in path:
            found = [child for parent in found for child in parent.named(f"{{{self.namespace}}}{name}")]
        return found


def change_common(xml: bytes, values: Mapping[str, Any]) -> bytes:
    """Return a scan process with other values of `COMMON`; raise as `change_filter`."""
    return _change(xml, _Described(_INSTRUCTIONS, COMMON, namespaces.PSP, _common_values), values)


def change_filter(xml: bytes, number: int, schema: Schema, values: Mapping[str, Any]) -> bytes:
    """Return a scan process with other values of one filter; *number* counts from 1.

    *values* are by the name of the parameter; None removes its elements, so that it has its default. Values that are
    there already change no byte. Raises `InvalidArgument` for a process or a filter that cannot be read, and for values
    that XML cannot have.
    """
    place = (*_INSTRUCTIONS, "FiltersToProcess", f"Filter {number}", "Instructions")
    dialect = _filter(xml, number).dialect
    document = ProcessDocument.of(xml)
    instructions = _find(document, place)
    given = {name: value for name, value in values.items() if value is not None}
    if not instructions.children:  # they stand for a config without elements
        if not given:
            return xml
        config = schema.write(given, dialect).replace(b"\n", _inner_layout(instructions) or b"\n")
        return document.changed([_first_inside(document, instructions, config)]).as_bytes()

    def read(xml: bytes) -> dict[str, Any]:
        return schema.read(_filter(xml, number).xml, dialect)

    return _change(xml, _Described((*place, ""), schema, dialect, read), values)


def _common_values(xml: bytes) -> dict[str, Any]:
    wanted = read_process(xml)[1]
    return {"continue_on_error": wanted.continue_on_error, "document_root": wanted.document_root}


def _filter(xml: bytes, number: int) -> FilterInstructions:
    return read_process(xml)[1].filters[number - 1]


def _find(document: ProcessDocument, place: Sequence[str]) -> ElementPosition:
    """Return the element at a place: names of the scan process, `Filter 2` for the second one, "" for the first child.

    `read_process` has found them before.
    """
    found = document.root()
    for step in place:
        name, _, number = step.partition(" ")
        found = (found.named(namespaces.psp(name)) if name else found.children)[int(number or 1) - 1]
    return found


def _change(xml: bytes, described: _Described, values: Mapping[str, Any]) -> bytes:
    """Return the file with other values, one parameter after the other."""
    before = described.read(xml)
    document = ProcessDocument.of(xml)
    expected = dict(before)
    for one in described.schema.parameters:
        if one.name in values:
            value = values[one.name]
            value = tuple(value) if one.many and value is not None else value
            expected[one.name] = one.absent if value is None else value
            if value is None or value != before[one.name]:
                document = _with_value(document, described, one, before[one.name], value)
    changed = document.as_bytes()
    after = described.read(changed)
    for one in described.schema.parameters:
        if after[one.name] != expected[one.name]:
            clark = f"{{{described.namespace}}}{one.path[-1]}"
            reason = f"{one.expected}, beside the other values of {described.schema.element}"
            raise InvalidArgument(clark, str(expected[one.name]), reason)
    return changed


def _with_value(
    document: ProcessDocument, described: _Described, one: Parameter, before: Any, value: Any
) -> ProcessDocument:
    """Return the document with another value of one parameter; elements whose value stays are not touched."""
    texts = [] if value is None else described.schema.texts(one, {one.name: value}, described.namespace)
    found = described.elements(document, one.path)
    if not found:
        return document.changed([_first(document, described, one.path, texts)]) if texts else document
    old = before if one.many else (before,)
    new = value if one.many else (value,)
    document = document.changed(_of_items(document, found, old, new if texts else (), texts))
    return document if texts else _without_empty_groups(document, described, one)


def _of_items(
    document: ProcessDocument, found: list[ElementPosition], old: Sequence[Any], new: Sequence[Any], texts: list[str]
) -> Iterator[Replacement]:
    """Yield what makes the elements of the *old* values those of the *new* ones, which have these texts."""
    for kind, begin, end, first, last in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        both = min(end - begin, last - first)
        for element, text in zip(found[begin : begin + both], texts[first : first + both], strict=True):
            yield _with_text(document, element, text)
        yield from map(_removed, found[begin + both : end])
        added = texts[first + both : last]
        if added and begin + both:
            beside = found[begin + both - 1]
            yield _at(beside.end, b"".join(beside.layout + _leaf(beside.written, text) for text in added))
        elif added:
            beside = found[0]
            yield _at(beside.begin, b"".join(_leaf(beside.written, text) + beside.layout for text in added))


def _first(document: ProcessDocument, described: _Described, path: tuple[str, ...], texts: list[str]) -> Replacement:
    """Return the first elements of a path, in the innermost of its groups that is there, in the order of the schema."""
    parent, depth = described.find(document), 0
    while depth < len(path) - 1 and (groups := parent.named(f"{{{described.namespace}}}{path[depth]}")):
        parent, depth = groups[-1], depth + 1
    if not parent.children:
        inside = _elements(parent.prefix, path[depth:], texts, _inner_layout(parent))
        return _first_inside(document, parent, inside)
    beside = parent.children[0]
    new = _elements(parent.prefix, path[depth:], texts, beside.layout)
    others = (one.path for one in described.schema.parameters if len(one.path) > depth)
    order = [other[depth] for other in others if other[:depth] == path[:depth]]
    earlier = {f"{{{described.namespace}}}{name}" for name in order[: order.index(path[depth])]}
    before = [child for child in parent.children if child.clark in earlier]
    return _at(before[-1].end, beside.layout + new) if before else _at(beside.begin, new + beside.layout)


def _first_inside(document: ProcessDocument, parent: ElementPosition, inside: bytes) -> Replacement:
    """Return what puts elements into one that has none; its text and its comments stay before them."""
    new = _inner_layout(parent) + inside
    if parent.is_bare:
        return _with_end_tag(parent, new + parent.layout)
    content = document.body[parent.content : parent.content_end]
    return _at(parent.content + len(content.rstrip()), new)


def _inner_layout(parent: ElementPosition) -> bytes:
    """Return the layout of the first child of an element: one step further in, or nothing where there is no layout."""
    return parent.layout + _STEP if parent.layout else b""


def _elements(prefix: bytes, path: Sequence[str], texts: list[str], layout: bytes) -> bytes:
    """Return elements for the texts, in groups for all but the last name of the path."""
    name = prefix + path[0].encode()
    if len(path) == 1:
        return layout.join(_leaf(name, text) for text in texts)
    inner = layout + _STEP if layout else b""
    return b"<%b>%b%b</%b>" % (name, inner + _elements(prefix, path[1:], texts, inner), layout, name)


def _leaf(name: bytes, text: str) -> bytes:
    return b"<%b>%b</%b>" % (name, text.encode(), name) if text else b"<%b/>" % name


def _with_text(document: ProcessDocument, element: ElementPosition, text: str) -> Replacement:
    """Return the new text of an element, in place of what is before its first child; comments stay behind the text."""
    if element.is_bare:
        return _with_end_tag(element, text.encode())
    end = element.children[0].begin if element.children else element.content_end
    comments = (found[1] or b"" for found in _TEXT.finditer(document.body, element.content, end))
    return Replacement(element.content, end, text.encode() + b"".join(comments))


def _with_end_tag(element: ElementPosition, inside: bytes) -> Replacement:
    """Return what gives content to an element without an end tag, in place of its `/>`."""
    return Replacement(element.end - 2, element.end, b">%b</%b>" % (inside, element.written))


def _removed(element: ElementPosition) -> Replacement:
    return Replacement(element.begin - len(element.layout), element.end, b"")


def _at(offset: int, data: bytes) -> Replacement:
    return Replacement(offset, offset, data)


def _without_empty_groups(document: ProcessDocument, described: _Described, one: Parameter) -> ProcessDocument:
    """Return the document without the groups of a parameter that have nothing left, neither attributes nor comments."""
    for depth in range(len(one.path) - 1, 0, -1):
        groups = described.elements(document, one.path[:depth])
        empty = [
            group
            for group in groups
            if not group.has_attributes and not document.body[group.content : group.content_end].strip()
        ]
        document = document.changed(map(_removed, empty))
    return document
