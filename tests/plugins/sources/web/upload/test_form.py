"""Forms: any cut of the bytes gives the same files, and half a form is none."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.plugins.sources.web.upload.form import (
    HEAD_BYTES,
    MOST_FIELDS,
    MOST_FILES,
    PREAMBLE_BYTES,
    BadForm,
    FormData,
    FormFile,
    FormFileEnd,
    FormParser,
    boundary,
)

MARK = b"----x7MA4YWxk"


def field(disposition: bytes, content: bytes, *more: bytes) -> bytes:
    """Return one field of a form, with its boundary."""
    head = b"\r\n".join((b"Content-Disposition: form-data; " + disposition, *more))
    return b"--" + MARK + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def file(name: bytes, content: bytes) -> bytes:
    """Return a field with a file, as browsers and curl write it."""
    return field(b'name="file"; filename="' + name + b'"', content, b"Content-Type: image/png")


END = b"--" + MARK + b"--\r\n"
TWO = b"".join((file(b"a.png", b"one\r\n--\r\n"), field(b'name="note"', b"hello"), file(b"b.png", b"\r\n\r\ntwo"), END))


def read(*pieces: bytes) -> list[tuple[str, bytes]]:
    """Return name and content of the files of a form that arrives in these pieces."""
    parser = FormParser(MARK)
    files: list[tuple[str, bytes]] = []
    is_open = False
    for piece in pieces:
        for event in parser.feed(piece):
            match event:
                case FormFile(name):
                    assert not is_open
                    files.append((name, b""))
                    is_open = True
                case FormData(data):
                    assert is_open
                    files[-1] = (files[-1][0], files[-1][1] + data)
                case FormFileEnd():
                    is_open = False
    parser.close()
    assert not is_open
    return files


def test_the_files_of_a_form_are_found() -> None:
    """Fields that are no files are left out, and nothing of the content is lost."""
    assert read(TWO) == [("a.png", b"one\r\n--\r\n"), ("b.png", b"\r\n\r\ntwo")]


def test_where_the_bytes_are_cut_does_not_matter() -> None:
    """Each of two pieces, and each byte by itself."""
    whole = read(TWO)

    assert all(read(TWO[:at], TWO[at:]) == whole for at in range(len(TWO) + 1))
    assert read(*(TWO[at : at + 1] for at in range(len(TWO)))) == whole


@given(content=st.binary(max_size=200), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_any_content_arrives_as_it_is(content: bytes, cuts: list[int]) -> None:
    """Also one with bytes of the boundary in it, but for the whole of it."""
    content = content.replace(b"\0", b"\r\n--" + MARK[:5])
    form = file(b"a.png", content) + END
    places = [0, *sorted(min(cut, len(form)) for cut in cuts), len(form)]

    assert read(*(form[a:b] for a, b in itertools.pairwise(places))) == [("a.png", content)]


def test_half_a_form_is_refused_wherever_it_ends() -> None:
    """The last boundary has to be there, with both of its hyphens."""
    end = TWO.rindex(MARK) + len(MARK) + 2
    for at in range(end):
        with pytest.raises(BadForm):
            read(TWO[:at])

    assert len(read(TWO[:end])) == 2


def test_what_follows_the_last_boundary_is_dropped() -> None:
    """RFC 2046 section 5.1.1 calls it an epilogue."""
    assert len(read(TWO, b"epilogue" * 1000)) == 2


def test_an_empty_file_is_one() -> None:
    """The receiver decides what that means."""
    assert read(file(b"a.png", b""), END) == [("a.png", b"")]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'name="f"; filename="a.png"', "a.png"),
        (b'name="f"; FILENAME=a.png', "a.png"),
        (b'name="f"; filename="C:\\scans\\a.png"', "a.png"),
        (b'name="f"; filename="a\\"b.png"', 'a"b.png'),
        (b'name="f"; filename="a%22b.png"', 'a"b.png'),
        (b'name="f"; filename="\xc3\xa4.png"', "ä.png"),
        (b'name="f"; filename="\xe4.png"', "ä.png"),
        (b"name=\"f\"; filename*=utf-8''%C3%A4.png", "ä.png"),
        (b'name="f"; filename="../../etc/passwd"', "passwd"),
    ],
)
def test_the_name_of_a_file_is_read_as_clients_write_it(disposition: bytes, name: str) -> None:
    """Quoted, bare, with the escapes of browsers and of older clients, in UTF-8 and in Latin-1."""
    assert read(field(disposition, b"x"), END) == [(name, b"x")]


@pytest.mark.parametrize(
    "form",
    [
        END,
        field(b'name="note"', b"hello") + END,
        field(b'name="f"; filename=""', b"") + END,
        b"x" * (PREAMBLE_BYTES + 200) + TWO,
        b"--" + MARK + b"x\r\n" + TWO,
        b"--" + MARK + b"\r\nContent-Disposition: form-data" + b"x" * HEAD_BYTES + b"\r\n\r\nx\r\n" + END,
        file(b"a.png", b"x") * (MOST_FILES + 1) + END,
        field(b'name="n"', b"x") * (MOST_FIELDS + 1) + file(b"a.png", b"x") + END,
    ],
    ids=["empty", "no-file", "no-name", "preamble", "boundary", "head", "files", "fields"],
)
def test_what_is_no_form_with_files_is_refused(form: bytes) -> None:
    """Each bound, and a form without a file."""
    with pytest.raises(BadForm):
        read(form)


def test_a_field_without_an_end_takes_no_memory() -> None:
    """The parser keeps no more than could be the beginning of a boundary."""
    parser = FormParser(MARK)
    list(parser.feed(file(b"a.png", b"")[:-2]))
    kept = [sum(len(event.data) for event in parser.feed(b"\r\n--" * 1000) if isinstance(event, FormData))]

    assert kept[0] >= 4000 - len(MARK) - 4


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("application/pdf", None),
        ("", None),
    ],
)
def test_a_form_is_known_by_its_media_type(content_type: str, found: bytes | None) -> None:
    """Any other body is a file."""
    assert boundary(content_type) == found


@pytest.mark.parametrize("content_type", ["multipart/form-data", f"multipart/form-data; boundary={'x' * 201}"])
def test_a_form_without_a_usable_boundary_is_refused(content_type: str) -> None:
    """It could not be read."""
    with pytest.raises(BadForm):
        boundary(content_type)
