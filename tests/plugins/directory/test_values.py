"""Small values: identifiers of processes, names, accounts, messages of a connection."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins import DirectoryProcess
from postscan.plugins.directory.client.framing import MessageSplitter
from postscan.plugins.directory.client.queries import DirectoryEntry
from postscan.plugins.directory.kinds.active_directory import why_disabled
from postscan.plugins.directory.kinds.identifiers import identifier_of, layouts
from postscan.plugins.directory.kinds.person import (
    NO_USER,
    StoredProcess,
    domain_of,
    normal,
    one_line,
    plain_mail,
    usable,
)

GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"


@given(st.uuids())
def test_each_layout_but_the_big_endian_one_is_read_back(guid: uuid.UUID) -> None:
    """Sixteen bytes are taken for Windows' layout."""
    windows, big_endian, *texts = layouts(str(guid))

    assert {identifier_of(one) for one in (windows, *texts)} == {str(guid).upper()}
    assert big_endian == guid.bytes


def test_the_layout_of_windows_is_the_published_example() -> None:
    """That of scan-process.md section 7."""
    assert layouts(GUID)[0].hex(" ").upper() == "54 9C 0E 7B 1A 2D 6B 4F 8C 3E 91 A5 D0 F2 B6 E7"


@pytest.mark.parametrize(
    "value", [b"", b"7B0E", b"\0" * 15, b"\0" * 17, b"7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6EZ", b"\xff" * 36]
)
def test_what_is_no_identifier_is_refused(value: bytes) -> None:
    """With the value in the sentence."""
    with pytest.raises(ValueError, match="is not the identifier of a scan process"):
        identifier_of(value)


@given(st.lists(st.binary(max_size=400), max_size=8), st.data())
def test_messages_are_the_same_however_the_bytes_were_cut(bodies: list[bytes], data: st.DataObject) -> None:
    """Short and long forms of a length."""
    messages = [_message(one) for one in bodies]
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    splitter = MessageSplitter(1000)

    found = [
        one
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for one in splitter.feed(stream[start:end])
    ]

    assert found == messages


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"HTTP/1.1 400", "is not LDAP"),
        (b"\x30\x80", "is not LDAP"),
        (b"\x30\x85\0\0\0\0\0", "is not LDAP"),
        (b"\x30\x84\x7f\xff\xff\xff", "2,147,483,653 bytes"),
        (b"\x30\x82\x03\xe5", "a message has 1,001 bytes; expected at most 1,000"),
    ],
)
def test_a_message_that_is_none_or_too_large_is_refused_by_its_head(head: bytes, problem: str) -> None:
    """Before its content is received."""
    with pytest.raises(ValueError, match=problem):
        MessageSplitter(1000).feed(head)


def test_a_message_may_be_as_large_as_is_allowed() -> None:
    """And not a byte larger."""
    assert MessageSplitter(1000).feed(b"\x30\x82\x03\xe4" + bytes(996)) != []


@pytest.mark.parametrize(
    ("dn", "domain"),
    [
        ("CN=amelie,CN=Users,DC=Fabrikam,DC=example", "fabrikam.example"),
        (r"CN=a\,DC\=evil,OU=x,dc=fabrikam, dc=example", "fabrikam.example"),
        ("CN=amelie,O=Fabrikam", ""),
    ],
)
def test_the_domain_is_that_of_the_distinguished_name(dn: str, domain: str) -> None:
    """Its DC components; a comma in a name is none."""
    assert domain_of(dn) == domain


def test_two_spellings_of_a_name_are_equal() -> None:
    """Case and blanks; another name is another one."""
    assert normal("cn=Staff, ou=groups ,DC=x") == normal("CN=staff,OU=groups,dc=x")
    assert normal(r"cn=a\,b,dc=x") != normal("cn=a,cn=b,dc=x")


def test_a_text_is_one_line_of_at_most_so_many_characters() -> None:
    """What a person wrote with line ends, or too long, is still shown."""
    assert one_line("Rechnung\r\nf\u00fcr\tAmélie\0\u2028!", 255) == "Rechnung für Amélie !"
    assert one_line("B" * 256, 255) == "B" * 255


@pytest.mark.parametrize(
    ("text", "mail"),
    [
        ("amelie@fabrikam.example", "amelie@fabrikam.example"),
        ("", ""),
        ("amelie", ""),
        ("amelie dupont@fabrikam.example", ""),
        ("a@b@c", ""),
        ("a@b\r\nBcc: x@y", ""),
        (f"{'a' * 250}@b.c", f"{'a' * 250}@b.c"),
        (f"{'a' * 251}@b.c", ""),
    ],
)
def test_what_cannot_be_a_mail_address_is_none(text: str, mail: str) -> None:
    """The user is found without it."""
    assert plain_mail(text) == mail


def test_an_entry_that_cannot_be_read_is_left_out_of_a_list() -> None:
    """It takes no process from other users."""
    process = StoredProcess(DirectoryProcess(GUID, "Invoices"), NO_USER)

    def read(entry: DirectoryEntry) -> StoredProcess:
        if entry.dn == "cn=bad":
            raise ValueError
        return process

    assert usable(read, [DirectoryEntry("cn=good"), DirectoryEntry("cn=bad")]) == [process]


def ticks(when: datetime) -> str:
    """Return a time as accountExpires has it."""
    return str((when - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10)


@pytest.mark.parametrize(
    ("control", "expires", "why"),
    [
        ("512", "", ""),
        ("512", "0", ""),
        ("512", str(0x7FFF_FFFF_FFFF_FFFF), ""),
        ("512", "9" * 18, ""),
        ("514", "0", "the account is disabled"),
        (str(0x10200 | 2), "0", "the account is disabled"),
        ("528", "0", ""),  # locked after wrong passwords
        ("512", ticks(datetime(2020, 5, 17, tzinfo=UTC)), "the account has expired on 2020-05-17"),
        ("512", ticks(datetime(2999, 5, 17, tzinfo=UTC)), ""),
    ],
)
def test_an_account_is_disabled_or_expired(control: str, expires: str, why: str) -> None:
    """Neither one that is locked after wrong passwords, nor one without an end."""
    assert why_disabled(control, expires) == why


def _message(body: bytes) -> bytes:
    size = len(body)
    return b"\x30" + (bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")) + body
