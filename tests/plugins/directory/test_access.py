"""Who may read an object: SIDs, security descriptors, and the decision, without a directory."""

from __future__ import annotations

import contextlib
import struct
import uuid
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins.directory.security import sids
from postscan.plugins.directory.security.access import AUTHENTICATED_USERS, EVERYONE, OWNER_RIGHTS, may_read
from postscan.plugins.directory.security.descriptor import AccessEntry, SecurityDescriptor, parse

ME = "S-1-5-21-1-2-3-1104"
STAFF = "S-1-5-21-1-2-3-1109"
OTHER = "S-1-5-21-1-2-3-1200"
READS, WRITES = 0x10, 0x20
PROPERTY = uuid.UUID("7b6760ae-d6ed-44a6-b6be-9de62c09ec67")

numbers = st.integers(0, 2**32 - 1)
sid_texts = st.lists(numbers, min_size=2, max_size=16).map(lambda found: "-".join(map(str, ["S-1", *found])))


def sddl(*entries: AccessEntry, owner: str = "") -> bytes:
    """Return a descriptor as the directory stores it: the layout of [MS-DTYP], written independently of the parser."""
    head, body = 20, b""
    owner_at = head if owner else 0
    body += sids.sid_bytes(owner) if owner else b""
    aces = b"".join(map(ace, entries))
    acl = struct.pack("<BBHHH", 4, 0, 8 + len(aces), len(entries), 0) + aces
    return struct.pack("<BBHIIII", 1, 0, 0x8004, owner_at, 0, 0, head + len(body)) + body + acl


def ace(entry: AccessEntry) -> bytes:
    """Return one entry as bytes."""
    kind = (0x00 if entry.allows else 0x01) + (0x05 if entry.about else 0x09 if entry.conditional else 0)
    about = b"" if entry.about is None else struct.pack("<I", 1) + entry.about.bytes_le
    body = struct.pack("<I", entry.mask) + about + sids.sid_bytes(entry.sid)
    return struct.pack("<BBH", kind, 0x08 if entry.inherit_only else 0, 4 + len(body)) + body


entries = st.builds(
    AccessEntry,
    st.booleans(),
    st.sampled_from([READS, WRITES, READS | WRITES, 0x8000_0000, 0x1000_0000]),
    st.sampled_from([ME, STAFF, OTHER, EVERYONE, AUTHENTICATED_USERS]),
    inherit_only=st.booleans(),
) | st.builds(AccessEntry, st.booleans(), st.just(READS), st.sampled_from([ME, STAFF, OTHER]), st.just(PROPERTY))


@given(sid_texts)
def test_a_sid_is_the_same_behind_its_bytes(text: str) -> None:
    """Any number of sub-authorities, and any numbers."""
    assert sids.sid_text(sids.sid_bytes(text)) == text


def test_a_sid_has_the_published_layout() -> None:
    """The example of [MS-DTYP] section 2.4.2.3 and that of a user."""
    assert sids.sid_bytes("S-1-5-32-544").hex() == "01020000000000052000000020020000"
    assert (
        sids.sid_bytes(ME).hex()
        == "010500000000000515000000010000000200000003000000" + (1104).to_bytes(4, "little").hex()
    )


@pytest.mark.parametrize(
    "text", ["", "S-1-5", "s-1-5-21-1", "S-1-5-21-4294967296", "S-1-5-21-1*", "S-1-5-21-1 ", "S-2-5-21", "S-1-5-21-١"]
)
def test_what_is_no_sid_is_refused(text: str) -> None:
    """As text."""
    with pytest.raises(ValueError, match="is not a SID"):
        sids.sid_bytes(text)


@given(st.binary(max_size=80))
def test_bytes_are_a_sid_or_refused(data: bytes) -> None:
    """And nothing is left over, or read behind the end."""
    try:
        text = sids.sid_text(data)
    except ValueError:
        return
    assert sids.sid_bytes(text) == data


@pytest.mark.parametrize(
    "data", [sids.sid_bytes(ME) + b"\0", sids.sid_bytes(ME)[:-1], b"\1\0" + bytes(6), b"\1\20" + bytes(70)]
)
def test_bytes_of_another_length_are_no_sid(data: bytes) -> None:
    """Too long, too short, without a number, with too many (T-L3)."""
    with pytest.raises(ValueError, match="is not a SID"):
        sids.sid_text(data)


@given(st.lists(entries, max_size=20), st.sampled_from(["", ME, OTHER]))
def test_a_descriptor_is_read_as_it_was_written(written: Sequence[AccessEntry], owner: str) -> None:
    """Its owner and its entries, in their order."""
    assert parse(sddl(*written, owner=owner)) == SecurityDescriptor(owner, tuple(written))


@given(st.lists(entries, max_size=5), st.data())
def test_a_descriptor_that_breaks_off_or_is_changed_is_read_or_refused(
    written: Sequence[AccessEntry], data: st.DataObject
) -> None:
    """With a sentence, and with no other error; a service account may be given anything."""
    whole = bytearray(sddl(*written, owner=ME))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    part = bytes(whole[: data.draw(st.integers(0, len(whole)))])

    with contextlib.suppress(ValueError):
        parse(part)


@given(st.lists(entries, max_size=12))
def test_the_first_entry_that_applies_decides(written: Sequence[AccessEntry]) -> None:
    """The rule, said in another way: of those about reading and about me, the first that is no mere permission."""
    about_me = [
        one
        for one in written
        if one.sid in (ME, STAFF, EVERYONE, AUTHENTICATED_USERS)
        and one.mask != WRITES
        and not one.inherit_only
        and not (one.allows and one.about)
    ]

    found = may_read(SecurityDescriptor(OTHER, tuple(written)), ME, {STAFF})

    assert found.granted == (bool(about_me) and about_me[0].allows)
    assert found.why


@pytest.mark.parametrize(
    ("written", "granted"),
    [
        ([AccessEntry(True, READS, STAFF)], True),
        ([AccessEntry(True, 0x8000_0000, STAFF)], True),
        ([AccessEntry(True, 0x1000_0000, ME)], True),
        ([AccessEntry(True, WRITES, ME)], False),
        ([AccessEntry(True, READS, OTHER)], False),
        ([AccessEntry(False, READS, STAFF), AccessEntry(True, READS, ME)], False),
        ([AccessEntry(True, READS, ME), AccessEntry(False, READS, STAFF)], True),
        ([AccessEntry(True, READS, ME, inherit_only=True)], False),
        ([AccessEntry(True, READS, ME, PROPERTY)], False),
        ([AccessEntry(False, READS, ME, PROPERTY), AccessEntry(True, READS, ME)], False),
        ([AccessEntry(True, READS, ME, conditional=True)], False),
        ([AccessEntry(False, READS, ME, conditional=True), AccessEntry(True, READS, ME)], False),
        ([AccessEntry(True, READS, AUTHENTICATED_USERS)], True),
        ([], False),
    ],
)
def test_what_is_not_clear_counts_against_the_user(written: list[AccessEntry], granted: bool) -> None:
    """Groups, order, generic rights; entries about one property or with a condition."""
    assert may_read(parse(sddl(*written)), ME, {STAFF}).granted is granted


def test_the_owner_reads_by_an_entry_for_the_owner_alone() -> None:
    """To own an object is no right to read it."""
    entry = AccessEntry(True, READS, OWNER_RIGHTS)

    assert may_read(SecurityDescriptor(ME, (entry,)), ME, frozenset()).granted
    assert not may_read(SecurityDescriptor(OTHER, (entry,)), ME, frozenset()).granted
    assert not may_read(SecurityDescriptor(ME, ()), ME, frozenset()).granted


def test_without_a_list_nobody_may_read() -> None:
    """Windows would let everyone; it may as well be that the list could not be read."""
    assert parse(struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0)).entries is None
    assert not may_read(SecurityDescriptor("", None), ME, frozenset()).granted
