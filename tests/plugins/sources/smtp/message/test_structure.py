"""The parts of a mail: those that the email package of Python finds, and bounds for hostile mails."""

from __future__ import annotations

import email
import email.policy
import sysconfig
import tempfile
import time
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins.sources.smtp.incoming import FileContent
from postscan.plugins.sources.smtp.message import structure
from postscan.plugins.sources.smtp.message.structure import BOUNDARY, DEPTH, FIELDS, PARTS, Content, parts
from postscan.plugins.sources.smtp.message.transfer_encoding import decoded
from postscan.plugins.sources.smtp.replies import Rejected

OF_PYTHON = sorted(Path(sysconfig.get_path("stdlib"), "test", "test_email", "data").glob("msg_*.txt"))
"""Odd mails that the tests of Python use, if they are installed."""

ODDER = {f"msg_{number}" for number in (14, 15, 17, 19, 25, 31, 35, 37, 38, 39, 41, 47)}
"""Those with no type, no boundary, a delimiter that is missing, doubled or the same at two levels, or no empty line."""

REPORTS = {"msg_16", "msg_36", "msg_43"}
"""Those with parts `message/*` that the email package divides further."""


def leaves(content: Content) -> list[tuple[str, bytes]]:
    """Return type and file of each part that holds no others."""
    return [(one.kind, b"".join(decoded(content, one))) for one in parts(content) if not one.holds]


def leaves_of_python(raw: bytes) -> list[tuple[str, bytes]]:
    """Return the same as the email package finds it."""
    found: list[Message] = [one for one in email.message_from_bytes(raw).walk() if not one.is_multipart()]
    return [(one.get_content_type(), _bytes(one.get_payload(decode=True))) for one in found]


def _bytes(payload: Any) -> bytes:
    assert isinstance(payload, bytes)
    return payload


def mail(*lines: str, kind: str = "multipart/mixed; boundary=b") -> bytes:
    """Return a mail of this type, with these lines."""
    return "\r\n".join(("Subject: s", f"Content-Type: {kind}", "", *lines)).encode()


def nested(depth: int) -> bytes:
    """Return mails in mails."""
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: inside\r\n\r\ntext"


@st.composite
def mails(draw: st.DrawFn, depth: int = 0) -> EmailMessage:
    """Build a mail, or what is inside one, as programs do."""
    built = EmailMessage(policy=email.policy.SMTP)
    kind = draw(st.sampled_from(["text", "octets", "mixed", "mail"] if depth < 3 else ["text", "octets"]))
    if kind == "text":
        built.set_content(draw(st.text(st.characters(codec="utf-8"), max_size=200)))
    elif kind == "octets":
        built.set_content(draw(st.binary(max_size=300)), "image", "png", filename="a.png")
    elif kind == "mixed":
        built.make_mixed()
        for inside in draw(st.lists(mails(depth=depth + 1), max_size=4)):
            built.attach(inside)
    else:
        built.set_content(draw(mails(depth=depth + 1)))
    return built


@given(mails())
def test_the_parts_are_those_of_the_email_package(built: EmailMessage) -> None:
    """For whatever programs send that keep to the standards."""
    raw = built.as_bytes()

    if built.get_content_maintype() != "multipart" or built.get_payload():
        assert leaves(raw) == leaves_of_python(raw)
        assert all(part.whole for part in parts(raw))


def test_odd_mails_are_read_as_the_email_package_reads_them() -> None:
    """Those of the tests of Python; the oddest are rejected, or no byte of them gets lost."""
    for file in OF_PYTHON:
        raw = file.read_bytes()
        if file.stem in ODDER:
            try:
                parts(raw)
            except Rejected:
                continue
        elif file.stem not in REPORTS and file.stem != "msg_42":
            assert leaves(raw) == leaves_of_python(raw), file.name


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_preamble_epilogue_and_the_ends_of_lines_are_no_part(end: str) -> None:
    """The end of the line before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1)."""
    raw = mail("preamble", "--b", "", "one", "", "--b  ", "Content-Type: a/b", "", "two", "--b--\t", "epilogue")

    found = leaves(raw.replace(b"\r\n", end.encode()))

    assert found == [("text/plain", b"one" + end.encode()), ("a/b", b"two")]


def test_a_line_that_only_begins_like_a_delimiter_is_content() -> None:
    """The whole line counts."""
    raw = mail("--b", "", "--bc", "x--b", "--b -", "--b---", " --b", "-- b", "--b--")

    assert leaves(raw) == [("text/plain", b"--bc\r\nx--b\r\n--b -\r\n--b---\r\n --b\r\n-- b")]


def test_a_delimiter_ends_what_is_inside() -> None:
    """A part that is not finished does not reach into the next one."""
    raw = mail("--b", "Content-Type: multipart/mixed; boundary=c", "", "--c", "", "cut", "--b", "", "next", "--b--")

    assert leaves(raw) == [("text/plain", b"cut"), ("text/plain", b"next")]
    assert [part.whole for part in parts(raw)] == [True, True, False, True]


@pytest.mark.parametrize("at", range(1, 200))
def test_a_mail_that_is_cut_is_not_whole(at: int) -> None:
    """Wherever: the closing delimiter is missing. It needs no end of its line."""
    whole = mail("--b", "Content-Type: image/png", "", "x" * 100, "--b", "Content-Type: image/png", "", "y", "--b--")
    cut = whole[:-at]

    try:
        found = parts(cut)
    except Rejected:
        return
    assert len(found) < 3 or not all(part.whole for part in found)


def test_parts_behind_the_end_are_an_error() -> None:
    """One program would show them, another one not."""
    raw = mail("--b", "", "one", "--b--", "", "--b", "", "two", "--b--")

    with pytest.raises(Rejected, match="goes on after its end"):
        parts(raw)


@pytest.mark.parametrize(
    "kind", ["multipart/mixed", 'multipart/mixed; boundary=""', "multipart/x; boundary=" + "b" * 201]
)
def test_a_multipart_has_a_boundary(kind: str) -> None:
    """Of bounded length."""
    with pytest.raises(Rejected, match=f"1 to {BOUNDARY} bytes"):
        parts(mail("--b", "", "one", "--b--", kind=kind))


@pytest.mark.parametrize("kind", ["message/rfc822", "MESSAGE/Global"])
def test_a_mail_within_a_mail_is_opened(kind: str) -> None:
    """Of either type."""
    assert leaves(mail("Content-Type: image/png", "", "pixels", kind=kind)) == [("image/png", b"pixels")]


def test_the_parts_of_a_digest_are_mails() -> None:
    """If they do not name another type (RFC 2046 section 5.1.5)."""
    inside = ("--b", "", "Content-Type: image/png", "", "pixels", "--b--")

    assert leaves(mail(*inside, kind="multipart/digest; boundary=b")) == [("image/png", b"pixels")]


# --- bounds ------------------------------------------------------------------------------------------------------


def test_mails_are_opened_one_in_the_other_to_a_depth() -> None:
    """A mail that was forwarded a few times is opened."""
    assert leaves(nested(DEPTH - 1)) == [("text/plain", b"text")]
    with pytest.raises(Rejected, match=f"more than {DEPTH} parts one in the other"):
        parts(nested(DEPTH))
    with pytest.raises(Rejected, match="one in the other"):
        parts(nested(100_000))


def test_the_number_of_parts_is_bounded() -> None:
    """A mail has at most 2,000."""
    many = mail(*["--b", "", "x"] * (PARTS - 1), "--b--")
    more = mail(*["--b", "", "x"] * PARTS, "--b--")

    assert len(parts(many)) == PARTS
    with pytest.raises(Rejected, match="more than 2,000 parts"):
        parts(more)


def test_the_fields_are_bounded() -> None:
    """Of one part, and of all."""
    with pytest.raises(Rejected, match="of a part have more than 65,536 bytes"):
        parts(b"X: y\r\n" * 20_000)
    one = ("--b", *["X: " + "y" * 70] * 800, "", "z")
    assert len("\r\n".join(one)) * 40 > FIELDS
    with pytest.raises(Rejected, match="of the mail have more than 2,097,152 bytes"):
        parts(mail(*one * 40, "--b--"))


@pytest.mark.parametrize(
    "line", [b"\n--bc", b"\r\n--b-", b"\n--b" + b" " * 199 + b"x", b"\r", b"\n", b"x--b\t\n-", b"a" * 76 + b"\r\n"]
)
def test_hostile_content_costs_no_more_than_twice_as_much_for_twice_the_size(line: bytes) -> None:
    """Measured in processor time, with room for a busy machine."""

    def cost(size: int) -> float:
        raw = mail("--b", "", "") + line * (size // len(line)) + b"\r\n--b--"
        begin = time.process_time()
        assert len(parts(raw)) == 2
        return time.process_time() - begin

    cost(1 << 16)
    small, large = min(cost(1 << 20) for _ in range(3)), cost(1 << 24)

    assert large < max(0.5, 60 * small)


def test_a_mail_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delimiters are found wherever they lie in it, also across two of the windows that are searched."""
    monkeypatch.setattr(structure, "_WINDOW", 7)
    raw = mail("--b", "", "one", "--bc", "--b", "Content-Type: a/b", "", "two", "--b--")
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.flush()
        found = leaves(FileContent(file, len(raw)))

    assert found == [("text/plain", b"one\r\n--bc"), ("a/b", b"two")]
