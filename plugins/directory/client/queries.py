"""What is searched for: filters as values, never as text, so that no value can change a filter (T-F11, PSP-043).

On the wire a filter is a tree whose values are bytes with a length (RFC 4511 section 4.5.1); the text form with its
escapes (RFC 4515) is not used at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sansldap import FilterAnd, FilterEquality, FilterOr, FilterPresent, LDAPControl, LDAPFilter, SearchScope

Filter = LDAPFilter

ANY: Final[Filter] = FilterPresent("objectClass")

OWNER_GROUP_AND_RIGHTS: Final = LDAPControl("1.2.840.113556.1.4.801", True, bytes.fromhex("3003020107"))
"""Asks Active Directory for a security descriptor without its audit list, which only administrators may read.

Source: [MS-ADTS] section 3.1.1.3.4.1.11 (LDAP_SERVER_SD_FLAGS_OID), as a SEQUENCE of the INTEGER 7.
"""


class Scope(Enum):
    """How far below the base a search looks."""

    BASE = SearchScope.BASE
    ONE_LEVEL = SearchScope.ONE_LEVEL
    SUBTREE = SearchScope.SUBTREE


@dataclass(frozen=True)
class Search:
    """One search. `most` entries are the most that are wanted: with one more the answer is an error."""

    base: str
    scope: Scope
    wanted: Filter
    attributes: Sequence[str]
    most: int
    controls: tuple[LDAPControl, ...] = ()


@dataclass(frozen=True)
class DirectoryEntry:
    """One entry that was found: its name, and the values of its attributes, by name in lower case."""

    dn: str
    values: Mapping[str, Sequence[bytes]] = field(default_factory=dict)

    def all(self, name: str) -> Sequence[bytes]:
        """Return all values of an attribute, in no order."""
        return self.values.get(name.lower(), ())

    def one(self, name: str) -> bytes | None:
        """Return the only value of an attribute, None if it has none; raise `ValueError` if it has several."""
        found = self.all(name)
        if len(found) > 1:
            raise ValueError(f"{self.dn}: {name} has {len(found)} values; expected one")
        return found[0] if found else None

    def text(self, name: str) -> str:
        """Return the only value of an attribute as text, "" if it has none; raise `ValueError` for what is no text."""
        value = self.one(name)
        try:
            return "" if value is None else value.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"{self.dn}: {name} is not text in UTF-8") from None


def equals(attribute: str, value: str | bytes) -> Filter:
    """Return the filter for entries with this value."""
    return FilterEquality(attribute, value.encode("utf-8") if isinstance(value, str) else value)


def has(attribute: str) -> Filter:
    """Return the filter for entries that have any value of this attribute."""
    return FilterPresent(attribute)


def all_of(*filters: Filter) -> Filter:
    """Return the filter for what all of these find."""
    return FilterAnd(list(filters))


def any_of(filters: Iterable[Filter]) -> Filter:
    """Return the filter for what one of these finds."""
    return FilterOr(list(filters))
