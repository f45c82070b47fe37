"""Mails as bytes: whatever is in the names, the headers are those that were meant, and no other ones."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.filters.cancellation import CancelSource
from postscan.core.model import formats
from postscan.plugins import Document, FilterFailed
from postscan.plugins.filters.email.address import is_address
from postscan.plugins.filters.email.message import MailMessage
from postscan.plugins.testing.runner import EXAMPLE_TIME

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
PART = ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition"]
MEAN = [
    "a\r\nBcc: eve@evil.example",
    "a\n\nbody",
    "a\rBcc: eve@evil.example",
    "a\u2028Bcc: eve@evil.example",
    "a\x85Bcc: eve@evil.example",
    "=?utf-8?q?a=0ABcc:_eve@evil.example?=",
    "=?utf-8?b?YQpCY2M6IGV2ZUBldmlsLmV4YW1wbGU=?=",
    "==?utf-8?q?=3D?utf-8?q?a=0ABcc:_x?=",
    '"; filename="evil.exe',
    "\\",
    "\0\ud800\u202egnp.exe",
    "ä" * 300,
    "日本語 " * 80,
    "x" * 2000,
    "",
]
texts = st.one_of(st.text(max_size=300), st.sampled_from(MEAN))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A file with all bytes, and with what the transport could trip over."""
    path = tmp_path_factory.mktemp("pages") / "page"
    path.write_bytes(b"\r\n.\r\n" + bytes(range(256)) + os.urandom(30_000))
    return path


@pytest.fixture(scope="module")
def token():
    """A token that nobody cancels."""
    with CancelSource() as source:
        yield source.token()


def document(path, name="page.png", format="png", id=1):
    content = path.read_bytes()
    return Document(id, format, len(content), hashlib.sha256(content).hexdigest(), path, name)


def message(*documents, **more):
    recipients = more.pop("recipients", ("anna@fabrikam.example",))
    base = MailMessage("token", "scans@fabrikam.example", recipients, "Scan", "text", EXAMPLE_TIME, documents)
    return dataclasses.replace(base, **more)


def written(one, path, token):
    one.write(path, token)
    return path.read_bytes()


def parsed(content):
    return email.message_from_bytes(content, policy=email.policy.default)


@given(subject=texts, name=texts, text=texts, utf8=st.booleans())
def test_no_text_makes_a_header(page, token, tmp_path_factory, subject, name, text, utf8):
    """Subject, text and file name may be anything, under both ways of writing addresses (T-F7, CVE-2024-6923)."""
    recipients = ("jürgen@exämple.example",) if utf8 else ("anna@fabrikam.example",)
    one = message(document(page, name), subject=subject, text=text, recipients=recipients)
    content = written(one, tmp_path_factory.getbasetemp() / "mail", token)

    mail = parsed(content)
    (part,) = mail.iter_attachments()
    assert mail.keys() == HEADERS
    assert part.keys() == PART
    assert part.get_payload(decode=True) == page.read_bytes()
    assert "\n" not in mail["Subject"]


@pytest.mark.parametrize("name", ["page.png", "Rechnung Nr. 5 (Mai); Kopie.png", "Übersicht.png", "日本語.png"])
def test_a_file_name_arrives_as_it_is(page, token, tmp_path, name):
    """In RFC 2231's form where it has to."""
    mail = parsed(written(message(document(page, name)), tmp_path / "mail", token))

    (part,) = mail.iter_attachments()
    assert part.get_filename() == name


def test_every_line_ends_with_crlf_and_is_short_enough(page, token, tmp_path):
    """RFC 5322, section 2.1.1: nothing that a server could take for the end of the mail in another way (T-F9)."""
    recipients = tuple(f"{'a' * 60}{number}@{'b' * 60}.{'c' * 60}.example" for number in range(30))
    one = message(document(page, "ä" * 200), subject="s" * 900, text="t" * 5000, recipients=recipients)
    content = written(one, tmp_path / "mail", token)

    assert content.count(b"\r") == content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert parsed(content)["To"] == ", ".join(recipients)


def test_the_size_of_a_message_is_known_before_it_is_written(page, token, tmp_path):
    """No part is larger than it may be, and none could have taken the next document."""
    documents = [document(page, id=number) for number in range(7)]
    for most in (45_000, 90_000, 140_000):
        parts, too_large = message(*documents).split(most)

        sizes = [len(written(part, tmp_path / "mail", token)) for part in parts]
        assert not too_large
        assert [one for part in parts for one in part.documents] == documents
        assert max(sizes) <= most < min(sizes[:-1]) + 42_000


@pytest.mark.parametrize("format", [*formats.MEDIA, "tiff-single-g4", "tiff-multi-uncompressed", "unheard-of"])
def test_an_attachment_has_the_media_type_of_its_format(page, token, tmp_path, format):
    """The same that the rest of the server knows."""
    mail = parsed(written(message(document(page, format=format)), tmp_path / "mail", token))

    (part,) = mail.iter_attachments()
    assert part.get_content_type() == formats.media_type(format)


def test_headers_that_would_say_something_else_are_not_sent(page):
    """The last fence: an address that the grammar would never let in."""
    with pytest.raises(FilterFailed, match=r"these headers would not keep their values: (Bcc, )?To"):
        _ = message(document(page), recipients=("=?utf-8?q?a=0ABcc:_x@y?=@fabrikam.example",)).head


@given(st.one_of(st.text(max_size=80), st.emails(), st.from_regex(r"[ -~]{1,40}@[ -~]{1,40}", fullmatch=True)))
def test_an_address_is_read_by_others_as_it_is_by_us(text):
    """What is an address here is one address in a header as well, and the same one."""
    if is_address(text):
        one = message(recipients=(text, "other@fabrikam.example"))
        read = email.message_from_bytes(one.head, policy=email.policy.default)["To"]

        assert [address.addr_spec for address in read.addresses] == [text, "other@fabrikam.example"]


def test_the_record_of_a_mail_to_very_many_is_short(page):
    """The server keeps 2,048 characters of it; the part is among them."""
    one = message(document(page), recipients=tuple(f"{'a' * 60}{n}@b.example" for n in range(500)), part=2, of=3)

    assert len(one.destination) < 2048
    assert one.destination.endswith(" more part 2 of 3")
