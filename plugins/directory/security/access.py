"""Whether a user may read the properties of an object: the access check of Windows, reduced to this one right.

The entries are taken in their order, and the first that applies decides. Where an entry cannot be decided completely,
it counts against the user: one that allows a single property, or under a condition, does not allow, and one that denies
a single property, or under a condition, denies.

Source: [MS-DTYP] section 2.5.3.2 (access check), [MS-ADTS] section 5.1.3 (rights in the directory);
scan-process.md section 7.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from postscan.plugins.directory.security.descriptor import AccessEntry, SecurityDescriptor

READ_PROPERTY: Final = 0x0000_0010
_GENERIC_READ: Final = 0x8000_0000
_GENERIC_ALL: Final = 0x1000_0000
READS: Final = READ_PROPERTY | _GENERIC_READ | _GENERIC_ALL

EVERYONE: Final = "S-1-1-0"
AUTHENTICATED_USERS: Final = "S-1-5-11"
OWNER_RIGHTS: Final = "S-1-3-4"


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a user may read an object, and by which entry, for administrators."""

    granted: bool
    why: str


def may_read(descriptor: SecurityDescriptor, user: str, groups: AbstractSet[str]) -> Permission:
    """Return whether the user with this SID may read, with all *groups*, nested ones included, as SIDs.

    The user is one of the directory, and so also a member of Everyone and of Authenticated Users.
    """
    if descriptor.entries is None:
        return Permission(granted=False, why="the object has no list of rights that could be read")
    mine = {user, EVERYONE, AUTHENTICATED_USERS, *groups}
    if descriptor.owner in mine:
        mine.add(OWNER_RIGHTS)
    for entry in descriptor.entries:
        if entry.sid in mine and _applies(entry):
            word = "allows" if entry.allows else "denies"
            return Permission(entry.allows, f"an entry {word} {_name(entry.sid, user)} to read")
    return Permission(granted=False, why="no entry allows the user, or a group of the user, to read")


def _applies(entry: AccessEntry) -> bool:
    if entry.inherit_only or not entry.mask & READS:
        return False
    return not entry.allows or (entry.about is None and not entry.conditional)


_NAMES: Final = {
    EVERYONE: "Everyone",
    AUTHENTICATED_USERS: "Authenticated Users",
    OWNER_RIGHTS: "the owner",
}


def _name(sid: str, user: str) -> str:
    return "the user" if sid == user else f"{_NAMES.get(sid, 'the group')} ({sid})"
