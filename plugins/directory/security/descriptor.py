"""A security descriptor as Active Directory stores it: self-relative, with an owner and a list of entries (the DACL).

Only what decides about reading is kept. Source: [MS-DTYP] sections 2.4.4 (ACEs), 2.4.5 (ACLs) and 2.4.6 (descriptors).
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import Final

from postscan.plugins.directory.security import sids

LARGEST: Final = 1 << 18  # bytes of a descriptor; an ACL has at most 64 KiB, and there are two

_SELF_RELATIVE: Final = 0x8000
_DACL_PRESENT: Final = 0x0004
_HEAD: Final = struct.Struct("<BBHIIII")
_ACL: Final = struct.Struct("<BBHHH")
_ACE: Final = struct.Struct("<BBH")
_ACL_REVISIONS: Final = (2, 4)  # 4: with entries about properties

_PLAIN: Final = {0x00: True, 0x01: False}  # ACCESS_ALLOWED, ACCESS_DENIED
_OBJECT: Final = {0x05: True, 0x06: False}  # the same about one property, or one class of children
_CONDITIONAL: Final = {0x09: True, 0x0A: False, 0x0B: True, 0x0C: False}  # the same with a condition
_WITH_PROPERTY: Final = 0x1
_WITH_CLASS: Final = 0x2
_INHERIT_ONLY: Final = 0x08


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """One ACE: whom (a SID as text) it allows or denies which rights (a mask).

    `about` is the GUID of the property, property set or extended right that it is limited to; None for all.
    `conditional` entries have a condition that is not evaluated. `inherit_only` ones do not apply to the object itself.
    """

    allows: bool
    mask: int
    sid: str
    about: uuid.UUID | None = None
    conditional: bool = False
    inherit_only: bool = False


@dataclass(frozen=True, slots=True)
class SecurityDescriptor:
    """The owner, "" if there is none, and the entries in their order; None where there is no list at all."""

    owner: str
    entries: tuple[AccessEntry, ...] | None


def parse(data: bytes) -> SecurityDescriptor:
    """Return a descriptor from its bytes; raise `ValueError` for bytes that are none."""
    try:
        return _parse(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"the security descriptor breaks off: {error}") from None


def _parse(data: bytes) -> SecurityDescriptor:
    if len(data) > LARGEST:
        raise ValueError(f"the security descriptor has {len(data)} bytes; expected at most {LARGEST}")
    revision, _, control, owner, _, _, dacl = _HEAD.unpack_from(data)
    if revision != 1 or not control & _SELF_RELATIVE:
        raise ValueError("the security descriptor has an unknown form")
    named = _sid(data, owner, len(data))[0] if owner else ""
    if not control & _DACL_PRESENT or not dacl:
        return SecurityDescriptor(named, None)
    return SecurityDescriptor(named, _entries(data, dacl))


def _entries(data: bytes, start: int) -> tuple[AccessEntry, ...]:
    revision, _, size, count, _ = _ACL.unpack_from(data, start)
    end = start + size
    if revision not in _ACL_REVISIONS or end > len(data):
        raise ValueError("the list of the security descriptor has an unknown form, or breaks off")
    found = []
    position = start + _ACL.size
    for _ in range(count):
        kind, flags, length = _ACE.unpack_from(data, position)
        if length < _ACE.size or position + length > end:
            raise ValueError("an entry of the security descriptor breaks off")
        entry = _entry(data, kind, flags, position + _ACE.size, position + length)
        if entry is not None:
            found.append(entry)
        position += length
    return tuple(found)


def _entry(data: bytes, kind: int, flags: int, start: int, end: int) -> AccessEntry | None:
    """Return the entry between two positions; None for a kind that neither allows nor denies."""
    allows = (_PLAIN | _OBJECT | _CONDITIONAL).get(kind)
    if allows is None:
        return None
    mask = _number(data, start, end)
    about: uuid.UUID | None = None
    position = start + 4
    if kind in _OBJECT or kind in (0x0B, 0x0C):
        parts = _number(data, position, end)
        position += 4
        if parts & _WITH_PROPERTY:
            about = _guid(data, position, end)
            position += 16
        if parts & _WITH_CLASS:
            position += 16
    sid, _ = _sid(data, position, end)
    return AccessEntry(allows, mask, sid, about, kind in _CONDITIONAL, bool(flags & _INHERIT_ONLY))


def _number(data: bytes, start: int, end: int) -> int:
    return int.from_bytes(_bytes(data, start, 4, end), "little")


def _guid(data: bytes, start: int, end: int) -> uuid.UUID:
    return uuid.UUID(bytes_le=_bytes(data, start, 16, end))


def _sid(data: bytes, start: int, end: int) -> tuple[str, int]:
    """Return the SID at a position, and where it ends."""
    size = sids.size(_bytes(data, start, 2, end))
    return sids.sid_text(_bytes(data, start, size, end)), start + size


def _bytes(data: bytes, start: int, size: int, end: int) -> bytes:
    if start + size > end:
        raise ValueError("a part of the security descriptor breaks off")
    return data[start : start + size]
