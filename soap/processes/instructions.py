"""Post-scan instructions: validated XML as values of the core, and the rules for changes by a device.

The three filters of Windows are three rows of one table: each config is an optional boolean and an optional list of
destinations. The XML of other dialects is not interpreted. Source: scan-process.md
sections 3, 5, 6 and 8.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.soap.xml import namespaces, parser
from postscan.soap.xml.reading import STRING255, boolean, children, listed, required, tag, text, to_boolean, trim

DEFAULT_ROOT: Final = "Scan"
LONGEST_URI: Final = 2048

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNC: Final = re.compile(r"\\\\[^\\/?.][^\\/]*(?:\\[^\\/]+)+\\?")


@dataclass(frozen=True, slots=True)
class _Dialect:
    """The config of one known filter: names, limits, and the rules for its destinations."""

    config: str
    flag: str | None
    group: str
    item: str
    longest: int
    expected: str
    valid: Callable[[str], bool]
    same: Callable[[str], str]
    addable: str | None = None


@dataclass(frozen=True, slots=True)
class _Config:
    """The config of a known filter as values. `items` is None if there is no list."""

    flag: bool
    items: tuple[str, ...] | None
    addable: bool


def read(element: etree._Element) -> Instructions:
    """Read the children of a PostScanInstructions element, whatever its own namespace.

    Raises `InvalidArgument` with the Clark name of the invalid element.
    """
    found = children(element, namespaces.PSP, ("ContinueOnError", "DocumentRootName", "FiltersToProcess"))
    proceed = found.get("ContinueOnError")
    root = text(required(found, namespaces.PSP, "DocumentRootName"))
    filters = listed(required(found, namespaces.PSP, "FiltersToProcess"), "Filter")
    return Instructions(
        document_root=root or DEFAULT_ROOT,
        filters=tuple(_read_filter(number, one) for number, one in enumerate(filters, 1)),
        continue_on_error=boolean(proceed) if proceed is not None else False,
    )


def check_sent(stored: ScanProcess, sent: Instructions) -> None:
    """Raise `InvalidArgument` if *sent* differs from the stored process in anything that this one does not permit.

    A stored process can permit additional addresses, another root name, and other shares.
    """
    wanted = stored.instructions
    if sent.continue_on_error != wanted.continue_on_error:
        raise _deviation(namespaces.psp("ContinueOnError"), str(sent.continue_on_error).lower())
    if sent.document_root != wanted.document_root and not stored.allow_name_change:
        raise _deviation(namespaces.psp("DocumentRootName"), sent.document_root)
    if len(sent.filters) != len(wanted.filters):
        raise _deviation(namespaces.psp("FiltersToProcess"), f"{len(sent.filters)} filters")
    for number, (ours, theirs) in enumerate(zip(wanted.filters, sent.filters, strict=True), 1):
        _check_filter(number, ours, theirs, stored.allow_path_change)


def _read_filter(number: int, element: etree._Element) -> FilterInstructions:
    found = children(element, namespaces.PSP, ("Dialect", "Instructions"))
    dialect = text(required(found, namespaces.PSP, "Dialect"), LONGEST_URI)
    if not dialect:
        raise InvalidArgument(namespaces.psp("Dialect"), "", f"the namespace of filter {number}")
    inside = required(found, namespaces.PSP, "Instructions")
    if trim(inside.text) or any(trim(child.tail) for child in inside):
        raise InvalidArgument(tag(inside), trim(inside.text), f"elements, and no text, in filter {number} ({dialect})")
    known = _DIALECTS.get(dialect)
    if known is None:
        return FilterInstructions(dialect, _canonical(inside[0] if len(inside) == 1 else inside))
    config = _only_config(inside, dialect, known, number)
    _named(number, dialect, lambda: _read_config(config, dialect, known))
    return FilterInstructions(dialect, _canonical(_without_foreign(config, dialect)))


def _only_config(inside: etree._Element, dialect: str, known: _Dialect, number: int) -> etree._Element:
    expected = f"one {known.config} in the namespace of filter {number} ({dialect})"
    if len(inside) != 1:
        raise InvalidArgument(tag(inside), f"{len(inside)} elements", expected)
    if tag(inside[0]) != f"{{{dialect}}}{known.config}":
        raise InvalidArgument(tag(inside), tag(inside[0]), expected)
    return inside[0]


def _read_config(config: etree._Element, dialect: str, known: _Dialect) -> _Config:
    names = (known.group,) if known.flag is None else (known.flag, known.group)
    found = children(config, dialect, names)
    flag = found.get(known.flag) if known.flag else None
    group = found.get(known.group)
    return _Config(
        flag=boolean(flag) if flag is not None else False,
        items=None if group is None else tuple(_read_item(item, known) for item in listed(group, known.item)),
        addable=group is not None and _is_addable(group, dialect, known),
    )


def _read_item(item: etree._Element, known: _Dialect) -> str:
    value = text(item, known.longest)
    if not known.valid(value):
        raise InvalidArgument(tag(item), value, known.expected)
    return value


def _is_addable(group: etree._Element, dialect: str, known: _Dialect) -> bool:
    """Return the attribute that permits a device to add items; some devices write it without a namespace."""
    if known.addable is None:
        return False
    clark = f"{{{dialect}}}{known.addable}"
    value = group.get(clark, group.get(known.addable, "false"))
    return to_boolean(clark, value)


def _canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=True, with_comments=False)


def _without_foreign(config: etree._Element, namespace: str) -> etree._Element:
    """Return the config without elements and attributes of other namespaces, which are not validated."""
    if not any(_is_foreign(one, namespace) or _foreign_attributes(one, namespace) for one in config.iter()):
        return config
    config = parser.parse(_canonical(config))
    for one in list(config.iter()):
        parent = one.getparent()
        if parent is not None and _is_foreign(one, namespace):
            parent.remove(one)
    for one in config.iter():
        for name in _foreign_attributes(one, namespace):
            del one.attrib[name]
    return config


def _is_foreign(element: etree._Element, namespace: str) -> bool:
    return namespaces.split(tag(element))[0] != namespace


def _foreign_attributes(element: etree._Element, namespace: str) -> list[str]:
    return [name for name in map(str, element.attrib) if namespaces.split(name)[0] not in (namespace, "")]


def _check_filter(number: int, ours: FilterInstructions, theirs: FilterInstructions, allow_path_change: bool) -> None:
    if ours.dialect != theirs.dialect:
        raise _deviation(namespaces.psp("Dialect"), theirs.dialect, f"filter {number} to be {ours.dialect}")
    if ours.xml == theirs.xml:
        return
    known = _DIALECTS.get(ours.dialect)
    expected = f"filter {number} ({ours.dialect}) as in the stored scan process"
    if known is None:
        if _shape(parser.parse(ours.xml)) != _shape(parser.parse(theirs.xml)):
            raise _deviation(namespaces.psp("Instructions"), theirs.xml.decode(), expected)
        return
    wanted, sent = (_read_config(parser.parse(one.xml), one.dialect, known) for one in (ours, theirs))
    if wanted.flag != sent.flag:
        raise _deviation(f"{{{ours.dialect}}}{known.flag}", str(sent.flag).lower(), expected)
    _check_items(ours.dialect, known, wanted, sent, expected, allow_path_change)


def _check_items(
    dialect: str, known: _Dialect, wanted: _Config, sent: _Config, expected: str, allow_path_change: bool
) -> None:
    """Compare two lists of destinations as sets, by the equality of their dialect."""
    group = f"{{{dialect}}}{known.group}"
    if (wanted.items is None) != (sent.items is None):
        raise _deviation(group, ", ".join(sent.items or ()), expected)
    if dialect == namespaces.FILESHARE and allow_path_change:
        return
    ours = {known.same(item) for item in wanted.items or ()}
    theirs = {known.same(item): item for item in sent.items or ()}
    added = [item for key, item in theirs.items() if key not in ours]
    if added and not wanted.addable:
        raise _deviation(f"{{{dialect}}}{known.item}", added[0], expected)
    if not ours <= theirs.keys():
        raise _deviation(group, ", ".join(theirs.values()), f"{expected}; some were left out")


def _shape(element: etree._Element) -> tuple[object, ...]:
    """Return the content of an element of an unknown dialect, without prefixes and blanks around text."""
    inside = tuple((_shape(child), trim(child.tail)) for child in element)
    return tag(element), tuple(sorted(element.items())), trim(element.text), inside


def _deviation(clark: str, value: str, expected: str = "the value of the stored scan process") -> InvalidArgument:
    return InvalidArgument(clark, value, expected)


def _named(number: int, dialect: str, check: Callable[[], object]) -> None:
    """Run a check of one filter, and add the filter to its error."""
    try:
        check()
    except InvalidArgument as error:
        expected = f"{error.expected}, in filter {number} ({dialect})"
        raise InvalidArgument(error.argument, error.value, expected) from None


def _is_share(value: str) -> bool:
    return bool(_UNC.fullmatch(value)) and not _CONTROL.search(value) and ".." not in value.split("\\")


def _is_address(value: str) -> bool:
    local, at, domain = value.partition("@")
    return bool(local and at and domain) and "@" not in domain and not _CONTROL.search(value)


def _is_site(value: str) -> bool:
    if _CONTROL.search(value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _same_share(value: str) -> str:
    return value.rstrip("\\").lower()


def _same_site(value: str) -> str:
    """Return the URL in normal form: scheme and host in lower case, no slash at the end."""
    parts = urlsplit(value)
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower()).geturl().rstrip("/")


_DIALECTS: Final = {
    namespaces.FILESHARE: _Dialect(
        config="FileShareConfig",
        flag=None,
        group="FileShares",
        item="ShareUNC",
        longest=STRING255,
        expected=r"a share as \\server\share, without a .. in it",
        valid=_is_share,
        same=_same_share,
    ),
    namespaces.EMAIL: _Dialect(
        config="EmailConfig",
        flag="SendToScanUser",
        group="SendToAddresses",
        item="EmailAddress",
        longest=STRING255,
        expected="a mail address with one @ and no control characters",
        valid=_is_address,
        same=str.lower,
        addable="CanAddAddresses",
    ),
    namespaces.SHAREPOINT: _Dialect(
        config="SharePointConfig",
        flag="SaveToMySite",
        group="SaveToSharePointSites",
        item="SaveToSharePointSiteURL",
        longest=LONGEST_URI,
        expected="an http or https URL with a host",
        valid=_is_site,
        same=_same_site,
    ),
}
"""The filters whose instructions are validated, by dialect."""
